"""Drift of five million rows against four of them, read from files, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.benchmarks.drift_world import ACTIONS, CONTRACT, batch_name, make_days  # noqa: F401 (CHECK reads them here)

pytestmark = pytest.mark.benchmark
N_A_DAY, REFERENCE_DAYS, DAYS, SEED = 50_000, 80, 20, 1
LIMIT_MB = 1_500

CHECK = """
import json, resource, sys, time
from pathlib import Path
from data_contracts.drift.check import check_drift_in_chunks
from data_contracts.drift.source import ParquetChunks
from tests.benchmarks.test_drift_memory import ACTIONS, CONTRACT, DAYS, REFERENCE_DAYS, batch_name
folder = Path(sys.argv[1])
order = tuple(batch_name(d) for d in range(REFERENCE_DAYS + DAYS))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
started = time.process_time()
found = check_drift_in_chunks(
    ParquetChunks(folder / "rows.parquet"), ParquetChunks(folder / "reference.parquet"), reference_name="r",
    contract=CONTRACT, actions=ACTIONS, batch_order=order, newest_batch=order[-1],
)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
seconds = time.process_time() - started
print(json.dumps({"before": before, "mb": after, "s": seconds, "level": found.level, "n_cells": found.n_cells}))
"""


def test_memory_of_five_million_rows(tmp_path: Path) -> None:
    _write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(tmp_path)], capture_output=True, text=True, check=True, timeout=600
    )
    found = json.loads(done.stdout)
    n = N_A_DAY * (REFERENCE_DAYS + DAYS)
    print(
        f"\n{n:,} rows of 37 columns, {N_A_DAY * REFERENCE_DAYS:,} of them the reference: peak {found['mb']:.0f} MB "
        f"({found['before']:.0f} before), {found['s']:.1f} CPU s; seed {SEED}"
    )
    assert (found["level"], found["n_cells"]) == ("ok", DAYS)
    assert found["mb"] < LIMIT_MB


def _write(folder: Path) -> None:
    rng = np.random.default_rng(SEED)
    days = (make_days(rng, first_day=d, n_days=1, n=N_A_DAY, tau=0.02) for d in range(REFERENCE_DAYS + DAYS))
    first = next(days)
    with (
        pq.ParquetWriter(folder / "rows.parquet", first.schema) as rows,
        pq.ParquetWriter(folder / "reference.parquet", first.schema) as reference,
    ):
        for number, day in enumerate(chain([first], days)):
            rows.write_table(day)
            if number < REFERENCE_DAYS:
                reference.write_table(day)
