"""Everything of one unit that a task's part of the store holds, found before anything is changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.amendments.subject import Subject
from data_contracts.amendments.tombstones import id_fields, id_words
from data_contracts.contract import Contract
from data_contracts.home import Home
from data_contracts.log_columns import columns_of
from data_contracts.store import PARTITION, read_quarantine, table_files

IDS = ["unit_id", "interaction_id"]


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """The unit, its interactions, and what of it stands where; counts are of the newest versions of the tables."""

    subject: Subject
    n_interactions: int
    n_outcomes: int
    n_quarantined: int
    snapshots: tuple[str, ...]
    looks: tuple[str, ...]  # ids of their evidence

    @property
    def anything(self) -> bool:
        return bool(self.n_interactions or self.n_outcomes or self.n_quarantined or self.subject.interactions)


def find_unit(home: Home, task: str, unit: str, contract: Contract) -> Found:
    """Look for `unit` in every file of rows: live or not, sealed or not. Reads two columns of each."""
    live = table_files(home, task, "interactions")
    ids: set[str] = set()
    for path in row_files(home, task):
        ids |= _own_ids(path, unit)
    lines = read_quarantine(home, task)
    columns = [*columns_of(contract, "interactions"), *columns_of(contract, "outcomes")]
    words = id_words(columns)
    ids |= set(_quarantined_ids(lines, Subject(unit, frozenset(), words)))
    ids |= set(_served_ids(home.served(task), unit))
    subject = Subject(unit, frozenset(ids - _of_others(live, unit, ids)), words)
    return Found(
        subject=subject,
        n_interactions=_count(live, subject),
        n_outcomes=_count(table_files(home, task, "outcomes"), subject),
        n_quarantined=len(mentioning(lines, subject)),
        snapshots=_holding(home.snapshots(task), subject),
        looks=_holding(home.looks(task), subject),
    )


def row_files(home: Home, task: str) -> Iterator[Path]:
    """Parquet files with interactions, whether a table still knows them or not."""
    for root in (home.table(task, "interactions"), home.snapshots(task), home.looks(task)):
        yield from (path for path in sorted(root.rglob("*.parquet")) if "_delta_log" not in path.parts)


def data_files(home: Home, task: str) -> Iterator[tuple[str, Path]]:
    """(table, file) of every Parquet file that lies in a table's folder."""
    for table in PARTITION:
        for path in sorted(home.table(task, table).rglob("*")):
            if path.is_file() and "_delta_log" not in path.parts:
                yield table, path


def mentioning(lines: pa.Table, subject: Subject) -> list[int]:
    """Rows of the quarantine whose bytes, or whose reason, hold one of the ids."""
    headers = lines["header"].to_pylist() if "header" in lines.column_names else [None] * lines.num_rows
    texts = zip(lines["raw"].to_pylist(), headers, lines["reason"].to_pylist(), strict=True)
    return [
        i
        for i, (raw, header, reason) in enumerate(texts)
        if subject.mentioned_in(raw or b"", header) or subject.mentioned_in((reason or "").encode())
    ]


def _own_ids(path: Path, unit: str) -> set[str]:
    schema = pq.read_schema(path)
    if not set(IDS) <= set(schema.names):
        return set()
    table = pq.read_table(path, columns=IDS, partitioning=None)
    return set(table.filter(pc.equal(table["unit_id"], unit))["interaction_id"].to_pylist())


def _of_others(live: Iterable[str], unit: str, ids: set[str]) -> set[str]:
    """Those of the interactions that a correction has given to another unit: they belong to that one."""
    found: set[str] = set()
    wanted = pa.array(sorted(ids), pa.string())
    for path in live:
        table = pq.read_table(path, columns=IDS, partitioning=None)
        other = pc.and_(pc.not_equal(table["unit_id"], unit), pc.is_in(table["interaction_id"], value_set=wanted))
        found |= set(table.filter(other)["interaction_id"].to_pylist())
    return found


def _quarantined_ids(lines: pa.Table, unit: Subject) -> Iterator[str]:
    """Interactions that lines of the unit name: a quarantined one may have outcomes that were accepted."""
    rows = lines.filter(pc.equal(lines["kind"], "interactions"))
    for row in rows.take(pa.array(mentioning(rows, unit), pa.int64())).select(["raw", "header"]).to_pylist():
        found = id_fields(row["raw"], unit.words, row["header"])
        yield from (value for kind, value in found if kind == "interaction_id" and value)


def _served_ids(folder: Path, unit: str) -> Iterator[str]:
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            row = json.loads(line) if line.startswith(b"{") else {}
            if row.get("unit_id") == unit and "interaction_id" in row:
                yield str(row["interaction_id"])


def _count(files: Iterable[str], subject: Subject) -> int:
    n = 0
    for path in files:
        n += int(subject.rows_of(read_ids(path)).sum())
    return n


def read_ids(path: str | Path) -> pa.Table:
    """The columns of a Parquet file that say whose its rows are."""
    names = [name for name in IDS if name in pq.read_schema(path).names]
    return pq.read_table(path, columns=names, partitioning=None)


def _holding(root: Path, subject: Subject) -> tuple[str, ...]:
    """Folders below `root` with rows of the subject."""
    return tuple(sorted({p.parent.name for p in root.glob("*/*.parquet") if _count([str(p)], subject)}))
