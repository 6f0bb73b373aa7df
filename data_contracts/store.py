"""The interaction store: one Delta table per task and kind, appended exactly once per batch.

A reader sees whole commits only, and every file's bytes are checked against the SHA-256 in its batch
record. Files are found through the Delta log, never by a glob, which would find uncommitted ones too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.batches import BatchRecord, read_batches
from data_contracts.delta import (
    DataFile,
    commit_files,
    create_table,
    live_files,
    open_table,
    table_schema,
    widen_table,
    write_files,
)
from data_contracts.errors import IntegrityError, StoreError
from data_contracts.home import Home
from data_contracts.interactions import ADDED, RESERVED, interaction_schema, outcome_schema, quarantine_schema
from data_contracts.storage import sha256_bytes

PARTITION: dict[str, str | None] = {"interactions": "day", "outcomes": "day", "quarantine": None}


def read_interactions(home: Home, task: str, *, version: int | None = None) -> pa.Table:
    """All accepted interactions (n rows, schema interactions.interaction_schema of the task), in no promised order.

    Raises StoreError when nothing was accepted yet, IntegrityError when a file is not as it was written.
    """
    dt = open_table(home.table(task, "interactions"), version)
    own = {} if dt is None else {f.name: f.type for f in table_schema(dt) if f.name not in {**RESERVED, **ADDED}}
    rows = _read(home, task, "interactions", interaction_schema(own), version)
    if not rows.num_rows:
        raise StoreError(
            f"no interactions in task {task}: expected at least one accepted row, got none. "
            f"`sluice ingest {task} --from PATH` first."
        )
    return rows


def read_outcomes(home: Home, task: str, *, version: int | None = None) -> pa.Table:
    """All accepted outcomes (schema interactions.outcome_schema); empty when there are none."""
    return _read(home, task, "outcomes", outcome_schema(), version)


def read_quarantine(home: Home, task: str) -> pa.Table:
    """All quarantined lines (schema interactions.quarantine_schema); empty when there are none."""
    return _read(home, task, "quarantine", quarantine_schema(), None)


def table_version(home: Home, task: str, table: str = "interactions") -> int | None:
    """Newest version of a table; None when it does not exist."""
    dt = open_table(home.table(task, table))
    return None if dt is None else int(dt.version())


def table_files(home: Home, task: str, table: str, *, version: int | None = None) -> list[str]:
    """Live Parquet files, for DuckDB's read_parquet(…, hive_partitioning = true); empty when there is no table."""
    root = home.table(task, table)
    return [str(root / file.path) for file in _live(home, task, table, version)]


def append(home: Home, task: str, table: str, rows: pa.Table | Iterable[pa.Table], *, batch_id: str) -> int:
    """Append `rows` in one commit and return the table's version; a batch that is already there changes nothing.

    Several chunks of one schema may be given, so that a large batch need not be held at once.
    """
    root, partition_by = home.table(task, table), PARTITION[table]
    dt = open_table(root)
    if dt is not None and dt.transaction_version(batch_id) is not None:
        return int(dt.version())
    files: list[DataFile] = []
    for number, chunk in enumerate([rows] if isinstance(rows, pa.Table) else rows):
        if dt is None:
            dt = create_table(root, chunk.schema, partition_by=partition_by)
        if number == 0:
            widen_table(dt, chunk.schema)
        files += write_files(root, chunk, partition_by=partition_by, stem=f"{batch_id}-{number}")
    if dt is None or not files:
        raise StoreError(f"nothing to append to table {table} of task {task}: expected at least one row, got none.")
    return commit_files(dt, files, partition_by=partition_by, batch_id=batch_id)


def batch_files(home: Home, task: str, table: str, batch_id: str) -> tuple[int, dict[str, str]]:
    """Number of rows, and path in the table -> SHA-256, of the live files that one batch wrote."""
    root = home.table(task, table)
    mine = [file for file in _live(home, task, table) if Path(file.path).name.startswith(batch_id)]
    return sum(file.n_rows for file in mine), {f.path: sha256_bytes((root / f.path).read_bytes()) for f in mine}


def verify_tables(home: Home, task: str) -> list[str]:
    """Problems of a task's stored rows, each naming its file; empty when every byte and count is as recorded."""
    try:
        records = read_batches(home, task)
        live = {table: {file.path: file for file in _live(home, task, table)} for table in PARTITION}
    except StoreError as error:  # a damaged record, or a table whose log cannot be read
        return [str(error)]
    problems = [problem for record in records for problem in _unbalanced(home, task, record, live)]
    for table, files in live.items():
        root, recorded = home.table(task, table), _recorded(records, table)
        for path in files:
            try:
                _checked_bytes(root / path, recorded.get(path))
            except IntegrityError as error:
                problems.append(str(error))
            if path not in recorded:
                problems.append(
                    f"unfinished batch in {root / path}: expected a batch record with its hash, got none. "
                    "Ingest the same files again."
                )
        lost = sorted(recorded.keys() - files.keys())
        problems += [f"lost file {root / path}: expected it in the table's log, got nothing." for path in lost]
    return problems


def _read(home: Home, task: str, table: str, schema: pa.Schema, version: int | None) -> pa.Table:
    files = _live(home, task, table, version)
    if not files:
        return schema.empty_table()
    root, recorded = home.table(task, table), _recorded(read_batches(home, task), table)
    return pa.concat_tables([_read_file(root, file, recorded.get(file.path), schema) for file in files])


def _live(home: Home, task: str, table: str, version: int | None = None) -> list[DataFile]:
    dt = open_table(home.table(task, table), version)
    return [] if dt is None else live_files(dt)


def _recorded(records: list[BatchRecord], table: str) -> dict[str, str]:
    return {path: sha for record in records for path, sha in record.table_files.get(table, {}).items()}


def _read_file(root: Path, file: DataFile, expected_sha256: str | None, schema: pa.Schema) -> pa.Table:
    data = _checked_bytes(root / file.path, expected_sha256)
    found = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
    if file.partition is not None:
        found = found.append_column("day", pa.repeat(pa.scalar(file.partition, pa.date32()), found.num_rows))
    columns = [
        found[f.name].cast(f.type) if f.name in found.column_names else pa.nulls(found.num_rows, f.type) for f in schema
    ]
    return pa.table(columns, schema=schema)


def _checked_bytes(path: Path, expected_sha256: str | None) -> bytes:
    """The file's bytes; without a record (the batch is not finished) only the page checksums guard them."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"missing file {path}: {error}. Restore it from a backup.", path=str(path)) from error
    if expected_sha256 is not None and sha256_bytes(data) != expected_sha256:
        raise IntegrityError(
            f"changed bytes in {path}: expected SHA-256 {expected_sha256[:12]}…, got {sha256_bytes(data)[:12]}…. "
            "Restore it from a backup.",
            path=str(path),
        )
    return data


def _unbalanced(home: Home, task: str, record: BatchRecord, live: dict[str, dict[str, DataFile]]) -> list[str]:
    """Counts of a batch record that disagree with each other, or with the rows of the files that it names."""
    wrong = []
    if record.n_read != record.n_accepted + record.n_quarantined + record.n_duplicate:
        wrong.append(f"{record.n_read} lines in all, got another sum")
    for table, stated in ((record.kind, record.n_accepted), ("quarantine", record.n_quarantined)):
        n_rows = sum(live[table][path].n_rows for path in record.table_files.get(table, {}) if path in live[table])
        if n_rows != stated:
            wrong.append(f"{stated} rows in {table}, got {n_rows}")
    path = home.batches(task) / f"{record.batch_id}.json"
    return [f"wrong counts in {path}: expected {what}. Restore it from a backup." for what in wrong]
