"""Validation of 5M stored rows against Great Expectations on a data frame of the same files: CPU time and memory.

Both sides prove the same 15 things of the same columns. This one also proves what every contract implies (numbers are
finite, ids, times and actions are there, distributions, moments), checks each file's SHA-256, has Great Expectations
judge the findings, and writes Data Docs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data_contracts.home import Home
from tests.benchmarks.validation_peers import write_store

pytestmark = pytest.mark.benchmark
SEED = 20261121
ROWS = int(os.environ.get("SLUICE_BENCH_ROWS", "5000000"))
PAIRS = 3
LEAST_RATIO, MOST_MIB = 10.0, 1536.0


def run(peer: str, home: Path, scratch: Path) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.validation_peers", peer, str(home), str(scratch)]
    environment = {**os.environ, "GX_ANALYTICS_ENABLED": "false", "TQDM_DISABLE": "1"}
    answer = subprocess.run(command, capture_output=True, check=True, env=environment, text=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def test_time_and_memory(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write_store(Home(home), ROWS, seed=SEED)
    ours, theirs = [], []
    for pair in range(PAIRS):  # each with a folder of its own: Data Docs that are there are not written again
        ours.append(run("sluice", home, tmp_path / str(pair)))
        theirs.append(run("pandas", home, tmp_path / str(pair)))
    ratios = [b["cpu_seconds"] / a["cpu_seconds"] for a, b in zip(ours, theirs, strict=True)]
    peak = max(found["peak_mib"] for found in ours)
    print(
        f"\nvalidation of {ROWS:,} rows, seed {SEED}: {ours[0]['n_checks']} checks in "
        f"{statistics.median(f['cpu_seconds'] for f in ours):.2f} CPU-s, {peak:.0f} MiB; Great Expectations on pandas "
        f"{theirs[0]['n_checks']} checks in {statistics.median(f['cpu_seconds'] for f in theirs):.2f} CPU-s, "
        f"{max(f['peak_mib'] for f in theirs):.0f} MiB; ratio {statistics.median(ratios):.1f} "
        f"({min(ratios):.1f}-{max(ratios):.1f})"
    )
    assert statistics.median(ratios) >= LEAST_RATIO
    assert peak < MOST_MIB
