"""Rows of a batch on their way into the store: in memory while they are few, then on disk.

Nothing here is part of the store: a crash loses it, and the next ingest starts over.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.interactions import quarantine_schema

HELD_BYTES = 400_000_000  # rows beyond it go to disk, which costs a fifth of the time of an ingest
CHUNK_BYTES = 250_000_000  # of rows that are written to the store at once
END = 8  # bytes that end a stream
LINE_BITS = 40  # a position is file number * 2^40 + line
POSITION, OFFSET = "sluice:position", "sluice:offset"  # names that no contract can give a column


def position(file_number: int, line: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sortable place of lines in the batch: by file, then by line."""
    return (file_number << LINE_BITS) + line


def place(at: int) -> tuple[int, int]:
    """(file number, line) of a position."""
    return at >> LINE_BITS, at & ((1 << LINE_BITS) - 1)


class Staging:
    """Accepted rows with their position and offset, and quarantined lines; `folder` holds what is too much for memory.

    Columns that say nothing of a row are not kept but put back: `batch_id`, the same in all, and those without a value.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.schema = schema
        places = [pa.field(POSITION, pa.int64()), pa.field(OFFSET, pa.int64())]
        self._accepted = _Spool(folder / "accepted.arrows", pa.schema([*schema, *places]))
        self._rejected = _Spool(folder / "rejected.arrows", quarantine_schema())
        self._batch_id = ""

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def accept(self, rows: pa.Table, *, positions: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        """Keep `rows` (n rows, columns of the schema) with their positions (n,) and byte offsets (n,)."""
        if not rows.num_rows:
            return
        self._batch_id = rows["batch_id"][0].as_py()
        told = [name for name in rows.column_names if name != "batch_id" and rows[name].null_count < rows.num_rows]
        placed = rows.select(told).append_column(POSITION, pa.array(positions)).append_column(OFFSET, pa.array(offsets))
        self._accepted.add(placed)

    def reject(self, lines: list[dict[str, object]]) -> None:
        """Keep lines with the fields of the quarantine table."""
        if lines:
            self._rejected.add(pa.Table.from_pylist(lines, schema=quarantine_schema()))

    def close(self) -> None:
        self._accepted.close()
        self._rejected.close()

    def accepted(self) -> pa.Table:
        """All accepted rows with the columns that were kept; what is on disk is mapped. After close."""
        return self._accepted.read()

    def rejected(self) -> pa.Table:
        return self._rejected.read()

    def forget(self) -> None:
        """Give back the memory of accepted rows that were read from disk; they are read again when they are touched."""
        self._accepted.forget()

    def chunks(self, dropped: NDArray[np.int64]) -> Iterator[pa.RecordBatchReader]:
        """Accepted rows without those at the positions `dropped` (ascending), in chunks of a bounded size.

        Each chunk is to be read once, before the next one is asked for.
        """
        self.forget()
        group: list[pa.RecordBatch] = []
        size = 0
        for batch in self.accepted().to_batches():
            group.append(batch)
            size += batch.nbytes
            if size >= CHUNK_BYTES:
                yield self._complete(group, dropped)
                group, size = [], 0
                self.forget()
        if group:
            yield self._complete(group, dropped)

    def _complete(self, batches: Iterable[pa.RecordBatch], dropped: NDArray[np.int64]) -> pa.RecordBatchReader:
        def complete() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                kept = _without(batch, dropped)
                cells = dict(zip(kept.schema.names, kept.columns, strict=True))
                cells["batch_id"] = pa.repeat(self._batch_id, kept.num_rows)
                columns = [cells[f.name] if f.name in cells else pa.nulls(kept.num_rows, f.type) for f in self.schema]
                yield pa.record_batch(columns, schema=self.schema)

        return pa.RecordBatchReader.from_batches(self.schema, complete())


class _Spool:
    """Rows in order, the first HELD_BYTES of them in memory and the others in a file, some with fewer columns.

    They are copied into one stretch of memory, so that what a block needed is free for the next one, and the system
    clears fewer pages. Large pages would cost more: it looks for them.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._memory = mmap.mmap(-1, HELD_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # none is taken yet
        self._mapped: mmap.mmap | None = None
        self._held = 0  # bytes of the memory
        self._sink: pa.NativeFile = pa.FixedSizeBufferWriter(pa.py_buffer(self._memory))
        self._stream: pa.ipc.RecordBatchStreamWriter | None = None  # one after another, each of one schema
        self._of_stream: pa.Schema | None = None

    def add(self, rows: pa.Table) -> None:
        for batch in rows.to_batches():
            if not self._has_room(batch):
                self._end_stream()
                self._sink = pa.OSFile(str(self._path), "wb")
            if self._stream is None or batch.schema != self._of_stream:
                self._end_stream()
                self._stream, self._of_stream = pa.ipc.new_stream(self._sink, batch.schema), batch.schema
            self._stream.write_batch(batch)

    def close(self) -> None:
        self._end_stream()
        self._sink.close()

    def read(self) -> pa.Table:
        if self._mapped is None and self._path.exists():
            with self._path.open("rb") as file:
                self._mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        parts = [*_streams(pa.py_buffer(self._memory)[: self._held]), *_streams(pa.py_buffer(self._mapped or b""))]
        return pa.concat_tables(parts, promote_options="default") if parts else self._schema.empty_table()

    def forget(self) -> None:
        if self._mapped is not None:
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def _has_room(self, batch: pa.RecordBatch) -> bool:
        """Whether the rows may be written where the ones before them were: a file always has room."""
        size = pa.ipc.get_record_batch_size(batch) + batch.schema.serialize().size + 2 * END
        return isinstance(self._sink, pa.OSFile) or self._sink.tell() + size <= HELD_BYTES

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if not isinstance(self._sink, pa.OSFile) and not self._sink.closed:
            self._held = self._sink.tell()


def _streams(data: pa.Buffer) -> Iterator[pa.Table]:
    """The tables of streams one after another; no copy."""
    with pa.BufferReader(data) as reader:
        while reader.tell() < data.size:
            yield pa.ipc.open_stream(reader).read_all()


def _without(batch: pa.RecordBatch, dropped: NDArray[np.int64]) -> pa.RecordBatch:
    """The rows of `batch` whose position is not in `dropped`."""
    at = batch[POSITION].to_numpy()
    if not len(at):
        return batch
    first, last = np.searchsorted(dropped, at.min()), np.searchsorted(dropped, at.max(), side="right")
    near = dropped[first:last]
    return batch.filter(pa.array(np.isin(at, near, invert=True))) if len(near) else batch
