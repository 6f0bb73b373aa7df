"""Damaged files of every kind end in a balance or in a named error, with a fixed seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from data_contracts.batches import count_accounting
from data_contracts.errors import SluiceError
from data_contracts.home import Home
from data_contracts.store import read_interactions, read_quarantine, verify_tables
from tests.data_contracts.small_log import TASK, Row, csv_file, jsonl, parquet, rows, take_in

WRITERS: dict[str, Callable[[Path, list[Row]], Path]] = {"jsonl": jsonl, "csv": csv_file, "parquet": parquet}
N_MUTANTS = 60  # of each kind of file


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four accidents: a flipped bit, a cut, a doubled or lost piece, a foreign byte or token."""
    tokens = [b"\n", b'"', b",", b"{", b"}", b"\r", b"\x00", b"\xff", b"NaN", b"1e999", b"null", b"[", b"-", b"\n\n"]
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        other = min(len(data), at + rng.randrange(1, 60))
        kind = rng.randrange(5)
        if kind == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[other:]
        elif kind == 2:
            data = data[:other] + data[at:]
        elif kind == 3:
            data = data[:at] + rng.choice(tokens) + data[at:]
        elif kind == 4 and rng.random() < 0.2:
            data = data[:at]
    return data


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "jsonl.gz", "csv.gz"])
def test_mutated_files_end_in_a_balance_or_a_named_error(tmp_path: Path, suffix: str) -> None:
    seed = 20261102
    rng = random.Random(seed)
    home, path = Home(tmp_path / "home"), tmp_path / f"log.{suffix}"
    good = WRITERS[suffix.removesuffix(".gz")](path, rows(12)).read_bytes()
    named: list[str] = []
    for _ in range(N_MUTANTS):
        path.write_bytes(mutate(good, rng))
        try:
            take_in(home, path)
        except SluiceError as error:
            named.append(str(error))
    total = count_accounting(home, TASK)
    assert all(path.name in message for message in named), seed
    assert total.balanced
    assert total.n_batches + len(named) <= N_MUTANTS
    assert read_quarantine(home, TASK).num_rows == total.n_quarantined
    assert total.n_accepted == (read_interactions(home, TASK).num_rows if total.n_accepted else 0)
    assert verify_tables(home, TASK) == []
