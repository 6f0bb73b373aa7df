"""A small log for the tests of ingest: a contract with every kind of column, its rows, and writers of three formats."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Column, Contract, Role
from data_contracts.home import Home
from data_contracts.ingest import IngestResult, ingest
from data_contracts.interactions import content_names
from data_contracts.log_columns import Kind
from data_contracts.row_digest import row_digests
from data_contracts.store import read_interactions

ACTIONS = ("0", "1", "2")
NOW = datetime(2026, 11, 1, tzinfo=UTC)
START = datetime(2026, 10, 1, tzinfo=UTC)
TASK = "small"

_RESERVED: tuple[Role, ...] = ("reserved",)
COLUMNS = (
    Column("interaction_id", "id", "string", _RESERVED, required=True, unique=True),
    Column("unit_id", "user", "string", _RESERVED, required=True),
    Column("occurred_at", "time", "timestamp", _RESERVED, required=True),
    Column("action", "item", "integer", _RESERVED, required=True),
    Column("policy_version", "policy", "string", _RESERVED, required=True),
    Column("propensity", "p", "number", _RESERVED, required=True),
    Column("reward", "click", "number", _RESERVED, required=True, minimum=0, maximum=1),
    Column("age", "age", "integer", ("observation",), required=True, minimum=0, maximum=120),
    Column("score", "score", "number", ("observation",), required=False),
    Column("member", "member", "boolean", ("observation",), required=True),
    Column("country", "country", "string", ("segment",), required=True, valid_values=("de", "fr")),
)
CONTRACT = Contract(
    id=TASK,
    version="1.2.0",
    path="small.odcs.yaml",
    sha256="0" * 64,
    columns=COLUMNS,
    outcome_columns=(),
    table_rules=(),
    owner="testers",
    support="#testers",
    runbook="infra/RUNBOOK.md",
    freshness_hours=48.0,
)

Row = dict[str, object]


def row(i: int, **changes: object) -> Row:
    """Row i in the log's own words; `changes` replace values, by the same words."""
    good: Row = {
        "id": f"row-{i}",
        "user": f"user-{i % 7}",
        "time": (START + timedelta(minutes=17 * i)).isoformat(),
        "item": i % 3,
        "policy": "1",
        "p": 0.25 + (i % 3) / 4,
        "click": float(i % 2),
        "age": 20 + i % 60,
        "score": None if i % 5 == 0 else i / 8,
        "member": i % 2 == 0,
        "country": "de" if i % 3 else "fr",
    }
    return {**good, **changes}


def rows(n: int, start: int = 0) -> list[Row]:
    return [row(i) for i in range(start, start + n)]


GARBAGE: Sequence[str | bytes | Row] = (
    "not json",
    "",
    b"\xff\xfe\x00",
    json.dumps(row(1)) + json.dumps(row(2)),
    json.dumps(row(9000))[:50],
    row(9001, p=0),
    row(9002, p=1.7),
    row(9003, item=99),
    row(9004, time="2026-10-01T00:00:00"),
    row(9005, age="30"),
    row(9006, unknown=1),
    '{"id": "row-9007", "id": "row-9007"}',
    json.dumps(row(9008, click=float("nan"))),
)


def with_garbage(items: list[Row], share: float, seed: int) -> list[Row | str | bytes]:
    rng = random.Random(seed)
    mixed: list[Row | str | bytes] = list(items)
    for k in range(round(share * len(items))):
        mixed.insert(rng.randrange(len(mixed) + 1), GARBAGE[k % len(GARBAGE)])
    return mixed


def jsonl(path: Path, items: Iterable[Mapping[str, object] | str | bytes]) -> Path:
    """One line per item: rows as JSON, text and bytes as they are."""
    data = b"".join(_line(item) + b"\n" for item in items)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def csv_file(path: Path, items: Sequence[Mapping[str, object]], *, extra: Iterable[str] = ()) -> Path:
    """A CSV of the rows with the columns of the first, then the lines `extra` as they are."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(items[0])
    writer.writerows([_cell(value) for value in item.values()] for item in items)
    data = (stream.getvalue() + "".join(line + "\n" for line in extra)).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def parquet(path: Path, items: Sequence[Mapping[str, object]]) -> Path:
    table = pa.Table.from_pylist([dict(item) for item in items])
    for name in ("time", "occurred_at", "observed_at"):
        if name in table.column_names and pa.types.is_string(table[name].type):
            moments = table[name].cast(pa.timestamp("ns", tz="UTC"))
            table = table.set_column(table.column_names.index(name), name, moments)
    pq.write_table(table, path)
    return path


def take_in(home: Home, *paths: Path, kind: Kind = "interactions", contract: Contract = CONTRACT) -> IngestResult:
    """Ingest and check P1 on the way."""
    result = ingest(home, task=TASK, contract=contract, actions=ACTIONS, paths=paths, kind=kind, now=NOW)
    assert result.n_read == result.n_accepted + result.n_quarantined + result.n_duplicate
    return result


def digests(rows: pa.Table) -> pa.ChunkedArray:
    """(n,) of what the log says in each row, whatever Sluice added."""
    return row_digests(rows, content_names(rows.column_names))


def accepted(home: Home) -> set[tuple[str, str]]:
    """(interaction_id, digest of its content) of every accepted interaction."""
    table = read_interactions(home, TASK)
    return set(zip(table["interaction_id"].to_pylist(), digests(table).to_pylist(), strict=True))


def _line(item: Mapping[str, object] | str | bytes) -> bytes:
    if isinstance(item, bytes):
        return item
    return item.encode() if isinstance(item, str) else json.dumps(item).encode()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
