"""10,000 damaged files: each ends in a balance or in a named error that commits nothing."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from data_contracts.batches import count_accounting
from data_contracts.errors import SluiceError
from data_contracts.home import Home
from data_contracts.log_columns import Kind
from data_contracts.store import read_interactions, read_outcomes, read_quarantine, verify_tables
from tests.data_contracts.damaged_files import damaged
from tests.data_contracts.small_log import TASK, take_in

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7200)]
N_FILES = int(os.environ.get("SLUICE_BENCH_FILES", "10000"))
N_PER_BATCH, N_PER_HOME = 8, 400  # a file that is refused leaves its batch, and the others are ingested without it
SEED = 20261104
KINDS: tuple[Kind, ...] = ("interactions", "outcomes")
TABLES = ("interactions", "outcomes", "quarantine")


def test_damaged_files_end_in_a_balance_or_a_named_error(tmp_path: Path) -> None:
    ends: Counter[str] = Counter()
    for start in range(0, N_FILES, N_PER_HOME):
        home = Home(tmp_path / f"home-{start}")
        files = [_write(tmp_path, number) for number in range(start, min(start + N_PER_HOME, N_FILES))]
        for kind in KINDS:
            some = [path for found, path in files if found == kind]
            for first in range(0, len(some), N_PER_BATCH):
                ends += _take_in(home, some[first : first + N_PER_BATCH], kind)
        _require_balance(home)
    print(f"\n{N_FILES:,} damaged files, seeds {SEED} + number: {dict(ends.most_common())}")
    assert ends.total() == N_FILES
    assert ends["accounted"] > N_FILES / 3
    assert ends["InputError"] > N_FILES / 20


def _write(folder: Path, number: int) -> tuple[Kind, Path]:
    kind, suffix, data = damaged(random.Random(SEED + number))
    path = folder / f"log-{number}.{suffix}"
    path.write_bytes(data)
    return kind, path


def _take_in(home: Home, paths: list[Path], kind: Kind) -> Counter[str]:
    """How each file ended. Any other exception than a SluiceError fails the test, and so does an unnamed file."""
    ends: Counter[str] = Counter()
    left = list(paths)
    while left:
        before = _state(home)
        try:
            result = take_in(home, *left, kind=kind)  # checks the balance of the lines
        except SluiceError as error:
            refused = [path for path in left if str(path) in str(error)]
            end = type(error).__name__
        else:
            assert [file.name for file in result.files] == [path.name for path in left]
            return ends + Counter({"accounted": len(left)})
        assert len(refused) == 1, (left, end)
        assert _state(home) == before, refused
        assert [p for p in home.batches(TASK).iterdir() if p.is_dir()] == [], refused
        left.remove(refused[0])
        ends[end] += 1
    return ends


def _state(home: Home) -> set[Path]:
    """Every commit of a table, and every record of a batch."""
    commits = [commit for table in TABLES for commit in home.table(TASK, table).glob("_delta_log/*.json")]
    return {*commits, *home.batches(TASK).glob("*.json")}


def _require_balance(home: Home) -> None:
    total = count_accounting(home, TASK)
    assert total.balanced
    assert read_quarantine(home, TASK).num_rows == total.n_quarantined
    interactions, outcomes = (count_accounting(home, TASK, kind) for kind in KINDS)
    assert read_interactions(home, TASK).num_rows == interactions.n_accepted
    assert read_outcomes(home, TASK).num_rows == outcomes.n_accepted
    assert verify_tables(home, TASK) == []
