"""The interaction store: one Delta table per task and kind, appended exactly once per batch.

A reader sees whole commits only, and every file's bytes are checked against the SHA-256 in its batch
record. Files are found through the Delta log, never by a glob, which would find uncommitted ones too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.amendments.corrections import Correction, account_of, read_corrections, read_pending
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
from data_contracts.home import Home, mark_format
from data_contracts.interactions import RESERVED, TAKEN, interaction_schema, outcome_schema, quarantine_schema
from data_contracts.storage import sha256_bytes, sha256_file

if TYPE_CHECKING:
    from deltalake import DeltaTable

BATCH_ID_LENGTH = 64  # hexadecimal digits
CHUNK_ROWS = 262_144  # rows that are read at a time by whoever does not hold them all
PARTITION: dict[str, str | None] = {"interactions": "day", "outcomes": "day", "quarantine": None}


def read_interactions(home: Home, task: str, *, version: int | None = None) -> pa.Table:
    """All accepted interactions (n rows, schema interactions.interaction_schema of the task), in no promised order.

    Raises StoreError when nothing was accepted yet, IntegrityError when a file is not as it was written.
    """
    rows = _read(home, task, "interactions", interaction_table_schema(home, task, version), version)
    if not rows.num_rows:
        raise StoreError(
            f"no interactions in task {task}: expected at least one accepted row, got none. "
            f"`sluice ingest {task} --from PATH` first."
        )
    return rows


def read_chunks(
    home: Home, task: str, *, columns: Sequence[str], files: Sequence[Path] | None = None, rows: int = CHUNK_ROWS
) -> Iterator[pa.Table]:
    """The newest version's interactions with `columns` only, at most `rows` at a time, by day.

    `files`: what `checked_files` gave; None: they are checked first. Raises as read_interactions.
    """
    schema = interaction_table_schema(home, task)
    wanted = pa.schema([schema.field(name) for name in columns])
    for path in checked_files(home, task) if files is None else files:
        days = pa.scalar(date.fromisoformat(path.parent.name.partition("=")[2]), pa.date32())
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            have = [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(rows, columns=have, use_threads=False):
                cells = {name: batch[name] for name in have}
                cells |= {"day": pa.repeat(days, batch.num_rows)} if "day" in columns else {}
                arrays = [
                    cells[f.name].cast(f.type) if f.name in cells else pa.nulls(batch.num_rows, f.type) for f in wanted
                ]
                yield pa.table(arrays, schema=wanted)


def checked_files(home: Home, task: str) -> list[Path]:
    """Live files of the newest version's interactions, in order of day; each has the bytes that its batch recorded.

    Raises IntegrityError that names the first that has not.
    """
    root, recorded = home.table(task, "interactions"), recorded_hashes(home, task, "interactions")
    live = [file.path for file in _live(home, task, "interactions")]
    for path in live:
        _check_hash(root / path, recorded.get(path))
    return [root / path for path in live]


def interaction_table_schema(home: Home, task: str, version: int | None = None) -> pa.Schema:
    """Columns of the task's interactions at a version of the table (default: the newest)."""
    dt = open_table(home.table(task, "interactions"), version)
    own = {} if dt is None else {f.name: f.type for f in table_schema(dt) if f.name not in (*RESERVED, *TAKEN)}
    return interaction_schema(own)


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
        if number == 0:
            dt = prepare_table(home, task, table, chunk.schema)
        files += write_files(root, chunk, partition_by=partition_by, stem=f"{batch_id}-{number}")
    if dt is None or not files:
        raise StoreError(f"nothing to append to table {table} of task {task}: expected at least one row, got none.")
    return commit_files(dt, files, partition_by=partition_by, batch_id=batch_id)


def prepare_table(home: Home, task: str, table: str, schema: pa.Schema) -> DeltaTable:
    """The table, made or widened so that rows of `schema` fit."""
    mark_format(home)
    dt = open_table(home.table(task, table))
    if dt is None:
        return create_table(home.table(task, table), schema, partition_by=PARTITION[table])
    widen_table(dt, schema)
    return dt


def live_data_files(home: Home, task: str, table: str) -> list[DataFile]:
    """Live files of the newest version, in order of path."""
    return _live(home, task, table)


def recorded_hashes(home: Home, task: str, table: str) -> dict[str, str]:
    """Path -> SHA-256 of every file that was ever in the table."""
    written = [record.table_files for record in read_batches(home, task)]
    written += [correction.added_files for correction in read_corrections(home, task)]
    return {path: sha for files in written for path, sha in files.get(table, {}).items()}


def read_data_file(path: Path, expected_sha256: str | None) -> pa.Table:
    """The rows of one file of a table as it stands (the partition's column is not in it). Raises IntegrityError."""
    data = _checked_bytes(path, expected_sha256)
    return pq.read_table(pa.BufferReader(data), page_checksum_verification=True)


def batch_of(path: str) -> str:
    """Id of the batch whose rows a file of a table holds: every name begins with it."""
    return Path(path).name[:BATCH_ID_LENGTH]


def batch_files(home: Home, task: str, table: str, batch_id: str) -> tuple[int, dict[str, str]]:
    """Number of rows, and path in the table -> SHA-256, of the live files that one batch wrote."""
    root = home.table(task, table)
    mine = [file for file in _live(home, task, table) if Path(file.path).name.startswith(batch_id)]
    return sum(file.n_rows for file in mine), {f.path: sha256_file(root / f.path) for f in mine}


def verify_tables(home: Home, task: str) -> list[str]:
    """Problems of a task's stored rows, each naming its file; empty when every byte and count is as recorded."""
    try:
        records, corrections = read_batches(home, task), read_corrections(home, task)
        live = {table: {file.path: file for file in _live(home, task, table)} for table in PARTITION}
    except StoreError as error:  # a damaged record, or a table whose log cannot be read
        return [str(error)]
    problems = [problem for record in records for problem in _unbalanced(home, task, record, corrections, live)]
    known = {record.batch_id for record in records}
    for table, files in live.items():
        root, recorded = home.table(task, table), recorded_hashes(home, task, table)
        gone = {path for correction in corrections for path in correction.removed_files.get(table, ())}
        for path in files:
            try:
                _checked_bytes(root / path, recorded.get(path))
            except IntegrityError as error:
                problems.append(str(error))
            if path not in recorded or batch_of(path) not in known:
                problems.append(
                    f"unfinished batch in {root / path}: expected a batch record with its hash, got none. "
                    "Ingest the same files again."
                )
        lost = sorted(recorded.keys() - gone - files.keys())
        problems += [f"lost file {root / path}: expected it in the table's log, got nothing." for path in lost]
        back = sorted(gone & files.keys())
        problems += [f"unexpected file {root / path}: expected a correction to have removed it." for path in back]
    return problems


def _read(home: Home, task: str, table: str, schema: pa.Schema, version: int | None) -> pa.Table:
    files = _live(home, task, table, version)
    if not files:
        return schema.empty_table()
    root, recorded = home.table(task, table), recorded_hashes(home, task, table)
    if version is not None:
        _require_kept(home, task, table, files, version)
    return pa.concat_tables([_read_file(root, file, recorded.get(file.path), schema) for file in files])


def _live(home: Home, task: str, table: str, version: int | None = None) -> list[DataFile]:
    """Files of a version; those of the newest as a pending correction leaves them."""
    pending = read_pending(home, task) if version is None else None
    dt = open_table(home.table(task, table), version)
    files = [] if dt is None else live_files(dt)
    return files if pending is None else pending.applied(table, files)


def _require_kept(home: Home, task: str, table: str, files: Sequence[DataFile], version: int) -> None:
    """Raises StoreError when an erasure has removed a file of this version for good."""
    root = home.table(task, table)
    n_missing = sum(not (root / file.path).exists() for file in files)
    if n_missing and home.erasures(task).exists():
        raise StoreError(
            f"version {version} of table {table} of task {task} cannot be read: expected all its files, got "
            f"{n_missing} that an erasure removed. Read the newest version; older ones end at the erasure.",
            version=version,
        )


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
        raise _changed(path, expected_sha256, sha256_bytes(data))
    return data


def _check_hash(path: Path, expected_sha256: str | None) -> None:
    """The same as _checked_bytes, for whoever does not want the bytes."""
    try:
        found = sha256_file(path)
    except OSError as error:
        raise IntegrityError(f"missing file {path}: {error}. Restore it from a backup.", path=str(path)) from error
    if expected_sha256 is not None and found != expected_sha256:
        raise _changed(path, expected_sha256, found)


def _changed(path: Path, expected: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"changed bytes in {path}: expected SHA-256 {expected[:12]}…, got {found[:12]}…. Restore it from a backup.",
        path=str(path),
    )


def _unbalanced(
    home: Home, task: str, record: BatchRecord, corrections: list[Correction], live: dict[str, dict[str, DataFile]]
) -> list[str]:
    """Counts of a batch that disagree with each other, or with the rows it has in the tables."""
    account = account_of(record, corrections)
    wrong = [] if account.balanced else [f"{account.n_read} lines in all, got another sum"]
    for table, stated in ((record.kind, account.n_accepted), ("quarantine", account.n_quarantined)):
        n_rows = sum(file.n_rows for path, file in live[table].items() if batch_of(path) == record.batch_id)
        if n_rows != stated:
            wrong.append(f"{stated} rows in {table}, got {n_rows}")
    path = home.batches(task) / f"{record.batch_id}.json"
    return [f"wrong counts in {path}: expected {what}. Restore it from a backup." for what in wrong]
