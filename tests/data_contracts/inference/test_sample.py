"""A log described column by column, whatever it is written in."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import InputError
from data_contracts.inference.sample import Sample, read_sample

ROWS = [
    {"id": "a", "at": "2026-01-01T00:00:00Z", "n": 1, "x": 0.5, "on": True, "p": [0.5, 0.5], "word": "red"},
    {"id": "b", "at": "2026-01-01T00:00:01+02:00", "n": 2, "x": 1, "on": False, "p": [1.0, 0.0], "word": "007"},
    {"id": "c", "at": "2026-01-02 00:00:00.5Z", "n": -3, "x": None, "on": True, "p": [0.2, 0.8], "word": "12"},
]
KINDS = {"id": "string", "at": "timestamp", "n": "integer", "x": "number", "on": "boolean", "p": "array",
         "word": "string"}  # fmt: skip


def jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def kinds(sample: Sample) -> dict[str, str]:
    return {c.name: c.kind for c in sample.columns}


def test_json_lines(tmp_path: Path) -> None:
    sample = read_sample(jsonl(tmp_path / "log.jsonl", ROWS))
    assert kinds(sample) == KINDS
    column = {c.name: c for c in sample.columns}
    x, n, p = column["x"], column["n"], column["p"]
    assert (x.n, x.n_missing, x.minimum, x.maximum) == (3, 1, 0.5, 1.0)
    assert (n.minimum, n.maximum, n.is_unique, n.written_as_number) == (-3, 2, True, True)
    assert p.length == 2
    assert all(c.has_offset for c in sample.columns)


def test_csv_is_text_and_an_empty_field_is_missing(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("id,n,x,on,at\na,1,.5,true,2026-01-01T00:00:00\nb,2,,FALSE,2026-01-02 00:00\n")
    sample = read_sample(tmp_path / "log.csv")
    assert kinds(sample) == {"id": "string", "n": "integer", "x": "number", "on": "boolean", "at": "timestamp"}
    column = {c.name: c for c in sample.columns}
    assert (column["n"].written_as_number, column["x"].n_missing, column["at"].has_offset) == (False, 1, False)


def test_parquet_and_gzip(tmp_path: Path) -> None:
    rows = [{**row, "at": datetime(2026, 1, 1, tzinfo=UTC)} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    assert kinds(read_sample(tmp_path / "log.parquet")) == KINDS
    (tmp_path / "log.jsonl.gz").write_bytes(gzip.compress(jsonl(tmp_path / "log.jsonl", ROWS).read_bytes()))
    assert read_sample(tmp_path / "log.jsonl.gz").columns == read_sample(tmp_path / "log.jsonl").columns


def test_broken_lines_are_counted_and_only_the_first_rows_are_read(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "log.jsonl", ROWS)
    path.write_text(path.read_text() + '{"id": "d"\n[1]\n"text"\n\n')
    sample = read_sample(path)
    assert (sample.n, sample.n_broken) == (3, 4)
    assert read_sample(path, most=2).n == 2


def test_a_value_that_does_not_fit_makes_the_column_wider(tmp_path: Path) -> None:
    sample = read_sample(
        jsonl(tmp_path / "log.jsonl", [{"n": 1, "t": "2026-01-01T00:00:00Z"}, {"n": 2.5, "t": "soon"}])
    )
    assert kinds(sample) == {"n": "number", "t": "string"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.txt", b"a,b\n1,2\n"),
        ("log.jsonl", b"no json\n"),
        ("log.csv", b""),
        ("log.parquet", b"PAR1 not really"),
        ("log.csv.gz", b"not gzip"),
        ("log.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 100, mtime=0)[:30]),
        ("log.csv", b"a,b\n" + b"x" * 200_000 + b",1\n"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"no sample in .*{name}: expected rows"):
        read_sample(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.csv"):
        read_sample(tmp_path / "gone.csv")
