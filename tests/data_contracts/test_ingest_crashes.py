"""A killed ingest leaves whole commits, and its rerun ends in the same rows and counts (P3, P7)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from data_contracts.batches import count_accounting, read_batches
from data_contracts.errors import StoreError
from data_contracts.home import Home
from data_contracts.store import read_interactions, read_quarantine, table_version, verify_tables
from tests.data_contracts.small_log import CONTRACT, TASK, accepted, jsonl, row, rows, take_in, with_garbage

ROOT = Path(__file__).parents[2]

KILLED = """
import os, signal, sys
from pathlib import Path
from data_contracts import batch_commit
from data_contracts.home import Home
from tests.data_contracts.small_log import take_in

home, at, paths = Home(Path(sys.argv[1])), sys.argv[2], [Path(p) for p in sys.argv[3:]]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if at == "before rows":
    batch_commit.append = die
if at in ("interactions", "quarantine"):  # dies when this table is committed
    real = batch_commit.append
    def append(home, task, table, chunks, *, batch_id):
        real(home, task, table, chunks, batch_id=batch_id)
        if table == at:
            die()
    batch_commit.append = append
if at == "before record":
    batch_commit.write_batch = die
print("ready", flush=True)
take_in(home, *paths)
print("done", flush=True)
"""


@contextmanager
def started(home: Home, at: str, paths: Sequence[Path]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", KILLED, str(home.root), at, *map(str, paths)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        yield process


def killed(home: Home, at: str, paths: Sequence[Path]) -> None:
    with started(home, at, paths) as process:
        assert process.wait(timeout=60) == -signal.SIGKILL


def crash_files(tmp_path: Path) -> list[Path]:
    """Garbage, duplicates, and conflicts inside and between the files."""
    first = with_garbage(rows(1500), 0.01, 1)
    second = [*rows(1500, start=1400), row(3, age=1), row(1600, age=2)]
    return [jsonl(tmp_path / "a.jsonl", first), jsonl(tmp_path / "b.jsonl", second)]


def summary(home: Home) -> tuple[object, ...]:
    (record,) = read_batches(home, TASK)
    lines = sorted((r["file"], r["line"], r["raw"], r["reason"]) for r in read_quarantine(home, TASK).to_pylist())
    counts = (record.n_read, record.n_accepted, record.n_quarantined, record.n_duplicate, record.reasons)
    return counts, accepted(home), lines, read_interactions(home, TASK).num_rows


@pytest.mark.parametrize("at", ["before rows", "interactions", "quarantine", "before record"])
def test_a_rerun_after_a_kill_ends_in_the_same_rows_and_counts(tmp_path: Path, at: str) -> None:
    paths = crash_files(tmp_path)
    whole, home = Home(tmp_path / "whole"), Home(tmp_path / "killed")
    take_in(whole, *paths)
    killed(home, at, paths)
    assert read_batches(home, TASK) == []
    committed = table_version(home, TASK) is not None
    assert committed == (at != "before rows")
    if committed:  # rows without a record are noticed, and another batch that meets them does not take them twice
        assert "unfinished batch" in " ".join(verify_tables(home, TASK))
    take_in(home, *paths)
    assert summary(home) == summary(whole)
    assert verify_tables(home, TASK) == []


def test_a_batch_between_kill_and_rerun_does_not_change_the_sum(tmp_path: Path) -> None:
    paths = crash_files(tmp_path)
    home = Home(tmp_path / "killed")
    killed(home, "interactions", paths)
    between = take_in(home, jsonl(tmp_path / "c.jsonl", [row(5), row(6, age=3), row(5000)]))
    assert (between.n_accepted, between.n_duplicate, between.n_quarantined) == (1, 1, 1)
    take_in(home, *reversed(paths))  # the order of the files does not matter to a batch that was begun
    assert read_interactions(home, TASK).num_rows == 2901
    ages = {r["interaction_id"]: r["age"] for r in read_interactions(home, TASK).to_pylist()}
    assert (ages["row-3"], ages["row-1600"]) == (23, 60)
    conflicts = [r for r in read_quarantine(home, TASK).to_pylist() if r["reason"].startswith("conflicting")]
    assert sorted(json.loads(r["raw"])["age"] for r in conflicts) == [1, 2, 3]
    assert count_accounting(home, TASK).balanced
    assert verify_tables(home, TASK) == []


def test_a_batch_begun_under_another_contract_is_not_finished_under_this_one(tmp_path: Path) -> None:
    paths = crash_files(tmp_path)
    home = Home(tmp_path / "killed")
    killed(home, "interactions", paths)
    stricter = tuple(replace(c, maximum=30) if c.name == "age" else c for c in CONTRACT.columns)
    with pytest.raises(StoreError, match="half-finished batch"):
        take_in(home, *paths, contract=replace(CONTRACT, columns=stricter, version="2.0.0"))
    take_in(home, *paths)


@pytest.mark.slow
def test_kill_at_random_moments(tmp_path: Path) -> None:
    paths = crash_files(tmp_path)
    whole = Home(tmp_path / "whole")
    take_in(whole, *paths)
    rng = random.Random(20261101)
    for trial in range(6):
        home = Home(tmp_path / f"killed-{trial}")
        for _ in range(2):
            with started(home, "random", paths) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(rng.uniform(0.0, 0.6))  # a moment, not a wait for something
                process.kill()
        take_in(home, *paths)
        assert summary(home) == summary(whole)
        assert verify_tables(home, TASK) == []
