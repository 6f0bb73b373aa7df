"""Delta tables on disk: our own Parquet files (zstd, page checksums), committed to the Delta log in one step.

The writer is pyarrow's, not deltalake's: 5x less CPU on 20 columns, every file's SHA-256 is known
before the commit, and the names follow from the batch, so a rerun after a crash leaves no orphans.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.column_notes import Note, note, to_footer
from data_contracts.errors import StoreError
from data_contracts.storage import write_atomic

if TYPE_CHECKING:
    from deltalake import DeltaTable

# Versions and the exactly-once ledger must outlive the default month, or snapshots cannot be rebuilt.
CONFIGURATION: dict[str, str | None] = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}
STATISTICS = ("interaction_id", "occurred_at", "observed_at")  # columns whose least and greatest value a reader may ask
GROUP_ROWS = 131_072  # rows that wait, in all files together, until each file writes its own
SAMPLE = 2000  # rows that decide how the columns of a file are encoded


@dataclass(frozen=True, slots=True)
class DataFile:
    """A live Parquet file; `path` is relative to the table, `partition` the value of the partition column."""

    path: str
    n_rows: int
    size: int
    partition: date | None


def open_table(root: Path, version: int | None = None) -> DeltaTable | None:
    """The table at `root`, or None when there is none. Raises StoreError when the version does not exist."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if not DeltaTable.is_deltatable(str(root)):
        return None
    try:
        return DeltaTable(str(root), version=version)
    except DeltaError as error:
        raise StoreError(
            f"unreadable table {root}: expected version {'newest' if version is None else version}, got {error}. "
            "Use a version that `sluice snapshot` recorded, or restore the folder from a backup.",
            path=str(root),
        ) from error


def table_schema(dt: DeltaTable) -> pa.Schema:
    return pa.schema(dt.schema())


def live_files(dt: DeltaTable) -> list[DataFile]:
    """Files of this version, in order of their path."""
    actions = pa.table(dt.get_add_actions(flatten=True))
    days = actions["partition.day"].to_pylist() if "partition.day" in actions.column_names else [None] * len(actions)
    columns = (actions[name].to_pylist() for name in ("path", "num_records", "size_bytes"))
    return sorted((DataFile(*row) for row in zip(*columns, days, strict=True)), key=lambda file: file.path)


def create_table(root: Path, schema: pa.Schema, *, partition_by: str | None) -> DeltaTable:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    root.mkdir(parents=True, exist_ok=True)
    columns = [partition_by] if partition_by else None
    try:
        return DeltaTable.create(str(root), schema=schema, partition_by=columns, configuration=CONFIGURATION)
    except DeltaError as error:
        raise StoreError(
            f"no table made at {root}: expected a writable folder, got {error}. Use another home."
        ) from error


def widen_table(dt: DeltaTable, schema: pa.Schema) -> None:
    """Add the columns of `schema` that the table lacks. Raises StoreError when a column changed its type."""
    from deltalake import Field, Schema

    have = table_schema(dt)
    changed = [f.name for f in schema if f.name in have.names and not _same(have.field(f.name).type, f.type)]
    if changed:
        raise StoreError(
            f"changed types in table {dt.table_uri}: expected {have.field(changed[0]).type} in column {changed[0]}, "
            f"got {schema.field(changed[0]).type}. Give the changed column a new name in the contract."
        )
    if any(f.name not in have.names for f in schema):
        fields: list[Field] = [f for f in Schema.from_arrow(schema).fields if f.name not in have.names]
        dt.alter.add_columns(fields)


def write_files(
    root: Path, rows: pa.Table | pa.RecordBatchReader, *, partition_by: str | None, stem: str
) -> list[DataFile]:
    """Write `rows` as one Parquet file per partition value, in the order of the rows; not yet in the table."""
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
    files: dict[date | None, _ParquetFile] = {}
    n_waiting = 0
    for batch in batches:
        for value, part in _partitions(batch, partition_by):
            if value not in files:
                files[value] = _ParquetFile(part)
            files[value].add(part)
        n_waiting += batch.num_rows
        if n_waiting >= GROUP_ROWS:
            for file in files.values():
                file.write()
            n_waiting = 0
    folders = {value: "" if value is None else f"{partition_by}={value}/" for value in sorted(files, key=str)}
    return [files[value].finish(root, f"{folder}{stem}.parquet", value) for value, folder in folders.items()]


def commit_files(
    dt: DeltaTable, files: Sequence[DataFile], *, partition_by: str | None, batch_id: str, gone: Sequence[DataFile] = ()
) -> int:
    """Append the files, and take `gone` out, in one commit that carries the batch as its transaction; returns the
    new version.

    `dt` must be the object that was asked for the batch: Delta then refuses a second commit of it. Files that are
    taken out stay on disk for the older versions.
    """
    from deltalake import CommitProperties, Transaction
    from deltalake.transaction import AddAction, RemoveAction

    now = int(time.time() * 1000)  # provenance in Delta's own log; nothing reads it
    added = [
        AddAction(
            path=file.path,
            size=file.size,
            partition_values=_partition_values(file, partition_by),
            modification_time=now,
            data_change=True,
            stats=json.dumps({"numRecords": file.n_rows}),
        )
        for file in files
    ]
    removed = [
        RemoveAction(
            path=file.path,
            data_change=True,
            deletion_timestamp=now,
            size=file.size,
            partition_values=_partition_values(file, partition_by),
        )
        for file in gone
    ]
    transaction = Transaction(batch_id, dt.version() + 1)
    dt.create_write_transaction(
        [*removed, *added],
        mode="append",
        schema=dt.schema(),
        partition_by=[partition_by] if partition_by else None,
        commit_properties=CommitProperties(app_transactions=[transaction]),
    )
    dt.update_incremental()
    return int(dt.version())


def _partition_values(file: DataFile, partition_by: str | None) -> dict[str, str | None]:
    return {partition_by: file.partition.isoformat()} if partition_by and file.partition else {}


def _partitions(batch: pa.RecordBatch, partition_by: str | None) -> Iterator[tuple[date | None, pa.RecordBatch]]:
    """The rows of each value; a batch whose values stand together, as logs in order of time have it, is not copied."""
    if partition_by is None:
        yield None, batch
        return
    values = batch[partition_by].dictionary_encode()
    order = values.indices.to_numpy()
    if (order[1:] < order[:-1]).any():
        batch, order = batch.take(pc.array_sort_indices(values.indices)), np.sort(order)
    bounds = np.searchsorted(order, np.arange(len(values.dictionary) + 1))
    for value, (first, last) in zip(values.dictionary.to_pylist(), pairwise(bounds.tolist()), strict=True):
        yield value, batch.slice(first, last - first).drop_columns([partition_by])


class _ParquetFile:
    """One file under way, in memory; its first rows decide how its columns are encoded."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self._sink = pa.BufferOutputStream()
        self._waiting: list[pa.RecordBatch] = []
        self._n_rows = 0
        self._notes: dict[str, Note] = {}
        repetitive = _repetitive(rows)
        self._writer = pq.ParquetWriter(
            self._sink,
            rows.schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=repetitive,
            column_encoding=_encodings(rows.schema, repetitive),
            write_statistics=[name for name in STATISTICS if name in rows.schema.names],
        )

    def add(self, rows: pa.RecordBatch) -> None:
        self._waiting.append(rows)
        self._n_rows += rows.num_rows
        for name, column in zip(rows.schema.names, rows.columns, strict=True):
            found = note(column)
            self._notes[name] = self._notes[name].plus(found) if name in self._notes else found

    def write(self) -> None:
        """What waits becomes a row group: a large one is cheaper to write, and to read."""
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting))
            self._waiting = []

    def finish(self, root: Path, name: str, partition: date | None) -> DataFile:
        self.write()
        self._writer.add_key_value_metadata(to_footer(self._notes))
        self._writer.close()
        data = self._sink.getvalue()
        write_atomic(root / name, data)
        return DataFile(name, self._n_rows, data.size, partition)


def _repetitive(rows: pa.RecordBatch) -> list[str]:
    """Columns worth a dictionary: half of a sample's values or more are repetitions. A vain try costs as much again."""
    sample = rows.slice(0, SAMPLE)
    flat = [f.name for f in rows.schema if not pa.types.is_nested(f.type) and not pa.types.is_boolean(f.type)]
    return [name for name in flat if 2 * pc.count_distinct(sample[name]).as_py() <= sample.num_rows]


def _encodings(schema: pa.Schema, repetitive: Sequence[str]) -> dict[str, str]:
    """How the other columns are laid out, where that is cheaper to compress: times, and whole numbers."""
    whole = [f.name for f in schema if pa.types.is_timestamp(f.type) or pa.types.is_integer(f.type)]
    return {name: "DELTA_BINARY_PACKED" for name in whole if name not in repetitive}


def _same(a: pa.DataType, b: pa.DataType) -> bool:
    """Delta calls the item of a list `element`, Arrow calls it `item`."""
    return bool(a.equals(b)) or (
        pa.types.is_list(a) and pa.types.is_list(b) and bool(a.value_type.equals(b.value_type))
    )
