"""Rows of a batch on their way into the store, on disk, so that no batch need fit into memory.

Nothing here is part of the store: a crash loses it, and the next ingest starts over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.interactions import quarantine_schema

CHUNK_ROWS = 1_000_000  # rows that are held at once when they are written to the store
LINE_BITS = 40  # a position is file number * 2^40 + line
POSITION, OFFSET = "sluice:position", "sluice:offset"  # names that no contract can give a column


def position(file_number: int, line: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sortable place of lines in the batch: by file, then by line."""
    return (file_number << LINE_BITS) + line


def place(at: int) -> tuple[int, int]:
    """(file number, line) of a position."""
    return at >> LINE_BITS, at & ((1 << LINE_BITS) - 1)


class Staging:
    """Two Arrow files in `folder`: accepted rows with their position and offset, and quarantined lines."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder = folder
        self.schema = schema
        self._accepted = self._writer("accepted", pa.schema([*schema, (POSITION, pa.int64()), (OFFSET, pa.int64())]))
        self._rejected = self._writer("rejected", quarantine_schema())

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def accept(self, rows: pa.Table, *, positions: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        """Keep `rows` (n rows, columns of the schema) with their positions (n,) and byte offsets (n,)."""
        whole = rows.append_column(POSITION, pa.array(positions)).append_column(OFFSET, pa.array(offsets))
        self._accepted.write_table(whole)

    def reject(self, lines: list[dict[str, object]]) -> None:
        """Keep lines with the fields of the quarantine table."""
        if lines:
            self._rejected.write_table(pa.Table.from_pylist(lines, schema=quarantine_schema()))

    def close(self) -> None:
        self._accepted.close()
        self._rejected.close()

    def accepted(self) -> pa.Table:
        """All accepted rows, mapped from disk. After close."""
        return pa.ipc.open_file(pa.memory_map(str(self.folder / "accepted.arrow"))).read_all()

    def rejected(self) -> pa.Table:
        return pa.ipc.open_file(pa.memory_map(str(self.folder / "rejected.arrow"))).read_all()

    def chunks(self, dropped: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Accepted rows without those at the positions `dropped`, in chunks of a bounded size."""
        held: list[pa.Table] = []
        for batch in self.accepted().to_batches():
            keep = np.isin(batch[POSITION].to_numpy(), dropped, invert=True)
            held.append(pa.table(batch).filter(pa.array(keep)).select(self.schema.names))
            if sum(table.num_rows for table in held) >= CHUNK_ROWS:
                yield pa.concat_tables(held)
                held = []
        if any(table.num_rows for table in held):
            yield pa.concat_tables(held)

    def _writer(self, name: str, schema: pa.Schema) -> pa.ipc.RecordBatchFileWriter:
        return pa.ipc.new_file(self.folder / f"{name}.arrow", schema)
