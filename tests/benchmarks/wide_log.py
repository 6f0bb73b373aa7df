"""A log of 20 columns for the benchmarks of ingest: its contract, and files of any size, written in a stream."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from data_contracts.contract import Column, Contract, LogicalType

TASK = "wide"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
ACTIONS = tuple(str(a) for a in range(8))
GARBAGE_EVERY = 1000  # one line in so many is cut in half
DAYS = 7
CHUNK = 100_000

_RESERVED: dict[str, LogicalType] = {
    "interaction_id": "string",
    "unit_id": "string",
    "occurred_at": "timestamp",
    "action": "string",
    "policy_version": "string",
    "propensity": "number",
    "reward": "number",
}
_OWN: dict[str, LogicalType] = {
    "age": "integer",
    "n_visits": "integer",
    "session_seconds": "integer",
    "score": "number",
    "price": "number",
    "rating": "number",  # missing in every fifth row
    "member": "boolean",
    "is_new": "boolean",
    "country": "string",
    "device": "string",
    "category": "string",
    "referrer": "string",
    "signed_up_at": "timestamp",
}
BOUNDS: dict[str, tuple[float, float]] = {"reward": (0, 1), "age": (0, 120), "score": (-10, 10)}
COLUMNS: dict[str, LogicalType] = {**_RESERVED, **_OWN}


def _column(name: str, kind: LogicalType) -> Column:
    low, high = BOUNDS.get(name, (None, None))
    role: Literal["reserved", "observation"] = "reserved" if name in _RESERVED else "observation"
    return Column(name, name, kind, (role,), required=name != "rating", minimum=low, maximum=high)


CONTRACT = Contract(
    id=TASK,
    version="1.0.0",
    path="wide.odcs.yaml",
    sha256="0" * 64,
    columns=tuple(_column(name, kind) for name, kind in COLUMNS.items()),
    outcome_columns=(),
    table_rules=(),
    owner="benchmarks",
    support="#benchmarks",
    runbook="infra/RUNBOOK.md",
    freshness_hours=None,
)

_CELLS = [f"coalesce({name}::varchar, '')" for name in COLUMNS]
_LINE = {
    "jsonl": f"to_json({{{', '.join(f'{name}: {name}' for name in COLUMNS)}}})::varchar",
    "csv": f"concat_ws(',', {', '.join(_CELLS)})",
}


def write_log(path: Path, n_lines: int, *, kind: Literal["jsonl", "csv"], seed: int) -> Path:
    """`n_lines` lines (a CSV has its header besides): 1 % repeat a row, .1 % are garbage."""
    import duckdb

    rows = Path(__file__).with_suffix(".sql").read_text()
    query = f"select {_LINE[kind]} from ({rows}) order by line"
    step = DAYS * 86_400_000_000 // n_lines
    with duckdb.connect(config={"threads": 1}) as database, path.open("wb") as stream:
        if kind == "csv":
            stream.write(",".join(COLUMNS).encode() + b"\n")
        for first in range(0, n_lines, CHUNK):
            last = min(n_lines, first + CHUNK)
            bound = {"first": first, "last": last, "seed": seed, "step": step}
            lines = [line for (line,) in database.execute(query, bound).fetchall()]
            for at in range(GARBAGE_EVERY // 2, len(lines), GARBAGE_EVERY):
                lines[at] = lines[at][: len(lines[at]) // 2]
            stream.write("\n".join(lines).encode() + b"\n")
    return path
