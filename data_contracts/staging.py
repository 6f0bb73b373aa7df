"""Rows of a batch on their way into the store: in memory while they are few, then on disk.

Nothing here is part of the store: a crash loses it, and the next ingest starts over.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.interactions import quarantine_schema

HELD_BYTES = 400_000_000  # rows beyond it go to disk, which costs a fifth of the time of an ingest
CHUNK_BYTES = 250_000_000  # of rows that are written to the store at once
LINE_BITS = 40  # a position is file number * 2^40 + line
POSITION, OFFSET = "sluice:position", "sluice:offset"  # names that no contract can give a column


def position(file_number: int, line: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sortable place of lines in the batch: by file, then by line."""
    return (file_number << LINE_BITS) + line


def place(at: int) -> tuple[int, int]:
    """(file number, line) of a position."""
    return at >> LINE_BITS, at & ((1 << LINE_BITS) - 1)


@contextmanager
def kept_memory() -> Iterator[None]:
    """Arrow allocates by the C library meanwhile, which keeps what is freed for the next block.

    Arrow's own allocator gives it back to the system, and has it cleared again: a tenth of the time of an ingest.
    """
    usual = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(usual)


class Staging:
    """Accepted rows with their position and offset, and quarantined lines; `folder` holds what is too much for memory.

    `batch_id` is the same in all rows, so it is not kept but put back.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.schema = schema
        kept = [field for field in schema if field.name != "batch_id"]
        fields = [*kept, pa.field(POSITION, pa.int64()), pa.field(OFFSET, pa.int64())]
        self._accepted = _Spool(folder / "accepted.arrow", pa.schema(fields))
        self._rejected = _Spool(folder / "rejected.arrow", quarantine_schema())
        self._batch_id = ""

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def accept(self, rows: pa.Table, *, positions: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        """Keep `rows` (n rows, columns of the schema) with their positions (n,) and byte offsets (n,)."""
        if rows.num_rows:
            self._batch_id = rows["batch_id"][0].as_py()
        placed = rows.append_column(POSITION, pa.array(positions)).append_column(OFFSET, pa.array(offsets))
        self._accepted.add(placed.drop_columns(["batch_id"]))

    def reject(self, lines: list[dict[str, object]]) -> None:
        """Keep lines with the fields of the quarantine table."""
        if lines:
            self._rejected.add(pa.Table.from_pylist(lines, schema=quarantine_schema()))

    def close(self) -> None:
        self._accepted.close()
        self._rejected.close()

    def accepted(self) -> pa.Table:
        """All accepted rows without their batch id; what is on disk is mapped. After close."""
        return self._accepted.read()

    def rejected(self) -> pa.Table:
        return self._rejected.read()

    def chunks(self, dropped: NDArray[np.int64]) -> Iterator[pa.RecordBatchReader]:
        """Accepted rows without those at the positions `dropped` (ascending), in chunks of a bounded size.

        Each chunk is to be read once, before the next one is asked for.
        """
        self._accepted.forget()
        group: list[pa.RecordBatch] = []
        size = 0
        for batch in self.accepted().to_batches():
            group.append(batch)
            size += batch.nbytes
            if size >= CHUNK_BYTES:
                yield self._complete(group, dropped)
                group, size = [], 0
                self._accepted.forget()
        if group:
            yield self._complete(group, dropped)

    def _complete(self, batches: Iterable[pa.RecordBatch], dropped: NDArray[np.int64]) -> pa.RecordBatchReader:
        def complete() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                kept = _without(batch, dropped)
                batch_ids = pa.repeat(self._batch_id, kept.num_rows)
                columns = [batch_ids if name == "batch_id" else kept[name] for name in self.schema.names]
                yield pa.record_batch(columns, schema=self.schema)

        return pa.RecordBatchReader.from_batches(self.schema, complete())


class _Spool:
    """Rows in order: in memory until they are more than HELD_BYTES, from then on all of them in an Arrow file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._held: list[pa.RecordBatch] = []
        self._size = 0
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._mapped: mmap.mmap | None = None

    def add(self, rows: pa.Table) -> None:
        self._held += rows.to_batches()
        self._size += rows.nbytes
        if self._size > HELD_BYTES:
            self._writer = self._writer or pa.ipc.new_file(self._path, self._schema)
            for batch in self._held:
                self._writer.write_batch(batch)
            self._held = []

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def read(self) -> pa.Table:
        if self._writer is None:
            return pa.Table.from_batches(self._held, schema=self._schema)
        if self._mapped is None:
            with self._path.open("rb") as stream:
                self._mapped = mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)
        return pa.ipc.open_file(pa.py_buffer(self._mapped)).read_all()

    def forget(self) -> None:
        """Give back the memory of what was read from disk; it is read again when it is touched."""
        if self._mapped is not None:
            self._mapped.madvise(mmap.MADV_DONTNEED)


def _without(batch: pa.RecordBatch, dropped: NDArray[np.int64]) -> pa.RecordBatch:
    """The rows of `batch` whose position is not in `dropped`."""
    at = batch[POSITION].to_numpy()
    if not len(at):
        return batch
    first, last = np.searchsorted(dropped, at.min()), np.searchsorted(dropped, at.max(), side="right")
    near = dropped[first:last]
    return batch.filter(pa.array(np.isin(at, near, invert=True))) if len(near) else batch
