"""Where rows wait, and in how many pieces they are written, changes nothing about what is stored."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts import delta, duplicates, staging
from data_contracts.delta import write_files
from data_contracts.home import Home
from data_contracts.quarantine import summarize
from data_contracts.readers import lines
from data_contracts.store import read_interactions, verify_tables
from tests.data_contracts.small_log import TASK, accepted, jsonl, row, rows, take_in, with_garbage


def files(tmp_path: Path) -> list[Path]:
    first = with_garbage(rows(900), 0.02, 1)
    return [jsonl(tmp_path / "a.jsonl", first), jsonl(tmp_path / "b.jsonl", [*rows(900, start=800), row(3, age=1)])]


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (staging, "HELD_BYTES", 1),  # every row on disk
        (staging, "HELD_BYTES", 100_000),  # the first ones in memory, then all on disk
        (staging, "CHUNK_BYTES", 1),  # a chunk for every block
        (duplicates, "BUCKET_BITS", 1),  # nearly every row is suspected to be known
        (delta, "SAMPLE", 1),
        (delta, "GROUP_ROWS", 40),  # row groups of a few rows
    ],
)
def test_limits_change_no_row_and_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str, value: int
) -> None:
    usual, other = Home(tmp_path / "usual"), Home(tmp_path / "other")
    monkeypatch.setattr(lines, "BLOCK_BYTES", 20_000)
    paths = files(tmp_path)
    expected = take_in(usual, *paths)
    monkeypatch.setattr(duplicates, "TOUCHED_BYTES", 0)  # what was read from disk is given back each time
    monkeypatch.setattr(module, name, value)
    found = take_in(other, *paths)
    assert (found.n_accepted, found.n_duplicate, found.reasons) == (
        expected.n_accepted,
        expected.n_duplicate,
        expected.reasons,
    )
    assert accepted(other) == accepted(usual)
    assert summarize(other, TASK) == summarize(usual, TASK)
    order = [("interaction_id", "ascending")]
    assert read_interactions(other, TASK).sort_by(order).equals(read_interactions(usual, TASK).sort_by(order))
    assert verify_tables(other, TASK) == []
    assert take_in(other, paths[1], jsonl(tmp_path / "c.jsonl", rows(10, start=895))).n_accepted == 0


def test_rows_of_a_day_keep_their_order_whatever_days_stand_between_them(tmp_path: Path) -> None:
    rng = random.Random(7)
    days = [date(2026, 10, rng.randint(1, 5)) for _ in range(500)]
    table = pa.table({"n": np.arange(500), "day": days, "same": ["x"] * 500, "list": [[1.0]] * 500})
    chunked = pa.concat_tables([table.slice(a, 90) for a in range(0, 500, 90)])
    written = write_files(tmp_path, chunked, partition_by="day", stem="batch-0")
    assert [file.partition for file in written] == sorted(set(days))
    assert sum(file.n_rows for file in written) == 500
    for file in written:
        path = tmp_path / file.path
        found = pq.ParquetFile(path, page_checksum_verification=True)
        assert file.size == path.stat().st_size
        assert found.read(["n"])["n"].to_pylist() == [n for n, day in enumerate(days) if day == file.partition]
        assert found.metadata.num_row_groups == 1  # of six chunks
        columns = {c.path_in_schema: c for c in (found.metadata.row_group(0).column(k) for k in range(3))}
        assert "RLE_DICTIONARY" in columns["same"].encodings
        assert "RLE_DICTIONARY" not in columns["n"].encodings
        assert {c.compression for c in columns.values()} == {"ZSTD"}


def test_no_rows_make_no_file(tmp_path: Path) -> None:
    empty = pa.table({"n": pa.array([], pa.int64()), "day": pa.array([], pa.date32())})
    assert write_files(tmp_path, empty, partition_by="day", stem="batch-0") == []


def test_a_flipped_byte_of_a_page_is_seen_by_its_checksum(tmp_path: Path) -> None:
    rows = pa.table({"x": np.random.default_rng(1).random(5000)})
    [file] = write_files(tmp_path, rows, partition_by=None, stem="batch-0")
    path = tmp_path / file.path
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        pq.read_table(pa.BufferReader(bytes(whole)), page_checksum_verification=True)
