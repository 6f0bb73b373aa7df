"""Ingest against DuckDB's own typed read, dedupe and Parquet write of the same file, one thread each, in CPU seconds.

DuckDB is lenient (a bad line is skipped, 7.9 is an integer) and keeps no accounting, hashes, conflicts, partitions or
quarantine. SLUICE_BENCH_ROWS (default 1,000,000) sets the lines; SLUICE_BENCH_LARGE_ROWS those of the test of memory,
SLUICE_BENCH_PAIRS how often both run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Literal

import pytest

from tests.benchmarks.wide_log import GARBAGE_EVERY, write_log

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
ROOT = Path(__file__).parents[2]
N_ROWS = int(os.environ.get("SLUICE_BENCH_ROWS", "1000000"))
N_LARGE = int(os.environ.get("SLUICE_BENCH_LARGE_ROWS", "10000000"))
N_PAIRS, SEED = int(os.environ.get("SLUICE_BENCH_PAIRS", "5")), 20261101
GOAL = 0.6  # of DuckDB's rows per CPU second
MEMORY = 2_000_000_000  # bytes, whatever the file's size


def _child(peer: str, path: Path, folder: Path) -> dict[str, float]:
    """What one run in a process of its own reports: rows kept, CPU seconds without imports, peak bytes."""
    command = [sys.executable, "-m", "tests.benchmarks.ingest_peers", peer, str(path), str(folder)]
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    environment = {**os.environ, **single, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_ingest_keeps_up_with_a_lenient_read_and_write(tmp_path: Path, kind: Literal["jsonl", "csv"]) -> None:
    path = write_log(tmp_path / f"log.{kind}", N_ROWS, kind=kind, seed=SEED)
    ratios = []
    for pair in range(N_PAIRS):
        runs = {}
        for peer in ("duckdb", "sluice") if pair % 2 else ("sluice", "duckdb"):
            folder = tmp_path / f"{peer}-{pair}"
            folder.mkdir()
            runs[peer] = _child(peer, path, folder)
        assert runs["sluice"]["rows"] == runs["duckdb"]["rows"]
        assert runs["sluice"]["rejected"] == N_ROWS // GARBAGE_EVERY
        ratios.append(runs["duckdb"]["seconds"] / runs["sluice"]["seconds"])
    print(
        f"\n{kind}: {N_ROWS:,} rows x 20 columns, seed {SEED}; ingest does {median(ratios):.2f}x of DuckDB's rows per "
        f"CPU second ({min(ratios):.2f} to {max(ratios):.2f} in {N_PAIRS} pairs; the last took "
        f"{runs['sluice']['seconds']:.2f} and {runs['duckdb']['seconds']:.2f} s)"
    )
    assert median(ratios) >= GOAL


def test_memory_is_bounded_whatever_the_size(tmp_path: Path) -> None:
    path = write_log(tmp_path / "log.jsonl", N_LARGE, kind="jsonl", seed=SEED)
    run = _child("sluice", path, tmp_path)
    print(
        f"\n{N_LARGE:,} rows x 20 columns ({path.stat().st_size / 1e9:.1f} GB), seed {SEED}: peak "
        f"{run['peak'] / 1e6:,.0f} MB, {run['seconds'] / N_LARGE * 1e6:.2f} CPU s per 1M rows"
    )
    assert run["peak"] < MEMORY
