"""A decision on a million rows and fifty looks: under ten CPU-seconds and one gigabyte, rows and libraries included."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.gate_rates import size

pytestmark = pytest.mark.benchmark


def test_a_million_rows_and_fifty_looks_are_cheap() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.benchmarks.gate_cost", str(size("COST_ROWS", 1_000_000))]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(f"\n1M rows x 5 actions x 50 looks, policies that differ on every row: {found}")
    assert found["cpu_seconds"] < 10
    assert found["peak_gb"] < 1
