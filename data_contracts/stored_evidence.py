"""What the files of a store say of their columns up to a moment, without reading the rows where the footers suffice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, reduce
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.column_notes import NOTHING, Note, all_null, from_footer, note
from data_contracts.store import CHUNK_ROWS
from data_contracts.witnesses import MOST_VALUES

MOMENT: Final = "occurred_at"
PART_ROWS: Final = 131_072  # fewer rows are not worth a query of their own


def microseconds(moment: datetime) -> int:
    """Since 1970, as the notes have times."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@dataclass(frozen=True, repr=False)
class FileEvidence:
    """One file, whose bytes have been checked, of which the rows until `until` count."""

    path: Path
    until: datetime

    @cached_property
    def notes(self) -> dict[str, Note]:
        """Of all its rows."""
        return from_footer(self.metadata.metadata, n_rows=self.metadata.num_rows)

    @cached_property
    def metadata(self) -> pq.FileMetaData:
        return pq.read_metadata(self.path)

    @cached_property
    def columns(self) -> frozenset[str]:
        return frozenset(self.metadata.schema.to_arrow_schema().names)

    @cached_property
    def moments(self) -> Note:
        """Of all its rows."""
        return self.notes[MOMENT] if MOMENT in self.notes else self._read(MOMENT)

    @property
    def is_visible(self) -> bool:
        """Some row counts."""
        return self.moments.least is not None and self.moments.least <= self._limit

    @property
    def is_whole(self) -> bool:
        """All rows count."""
        return not self.moments.n_nulls and self.moments.largest is not None and self.moments.largest <= self._limit

    def note(self, column: str) -> Note:
        """Of the rows that count."""
        if not self.is_whole:
            return self._read_visible(column)
        if column not in self.columns:
            return all_null(self.metadata.num_rows)
        return self.notes[column] if column in self.notes else self._read(column)

    def texts(self, column: str) -> set[str]:
        """All values of a text column, as its dictionary holds them; rows that do not count are in it too."""
        found: set[str] = set()
        if column not in self.columns or (column in self.notes and self.notes[column].is_empty):
            return found
        for batch in self._batches([column], as_dictionary=[column]):
            found |= {value for value in batch[column].dictionary.to_pylist() if value is not None}
            if len(found) > MOST_VALUES:
                break
        return found

    def span(self, column: str) -> tuple[str, str] | None:
        """Least and largest value of a text column; None when the footer does not say."""
        names = [self.metadata.schema.column(i).path for i in range(self.metadata.num_columns)]
        if column not in names:
            return None
        groups = [self.metadata.row_group(i).column(names.index(column)) for i in range(self.metadata.num_row_groups)]
        said = [group.statistics for group in groups]
        if not said or any(s is None or not s.has_min_max for s in said):
            return None
        return min(s.min for s in said), max(s.max for s in said)

    def _read(self, column: str) -> Note:
        return reduce(Note.plus, (note(batch[column]) for batch in self._batches([column])), NOTHING)

    def _read_visible(self, column: str) -> Note:
        total = NOTHING
        for batch in self._batches([*({column, MOMENT} & self.columns)]):
            seen = batch.filter(pc.less_equal(batch[MOMENT], pa.scalar(self.until, batch[MOMENT].type)))
            total = total.plus(note(seen[column]) if column in self.columns else all_null(seen.num_rows))
        return total

    def _batches(self, columns: list[str], *, as_dictionary: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(
            self.path, page_checksum_verification=True, pre_buffer=False, read_dictionary=list(as_dictionary)
        ) as file:
            yield from file.iter_batches(CHUNK_ROWS, columns=columns, use_threads=False)

    @cached_property
    def _limit(self) -> float:
        return microseconds(self.until)


@dataclass(frozen=True, repr=False)
class StoredEvidence:
    """All files of a table together."""

    files: tuple[FileEvidence, ...]

    @classmethod
    def of(cls, paths: Sequence[Path], *, until: datetime) -> StoredEvidence:
        every = (FileEvidence(path, until) for path in paths)
        return cls(tuple(file for file in every if file.is_visible))

    def note(self, column: str) -> Note:
        """Of the rows that count."""
        return reduce(Note.plus, (file.note(column) for file in self.files), NOTHING)

    def texts(self, column: str) -> set[str] | None:
        """All values of a text column, perhaps more; None when they are too many."""
        found: set[str] = set()
        for file in self.files:
            found |= file.texts(column)
            if len(found) > MOST_VALUES:
                return None
        return found

    def apart(self, column: str) -> list[list[Path]]:
        """Files in groups of which no two share a value of a text column; one group where that is not known."""
        spans = [file.span(column) for file in self.files]
        known = [span for span in spans if span is not None]
        if len(known) < len(spans) or not all(file.is_whole for file in self.files):
            return [[file.path for file in self.files]]
        order = sorted(range(len(known)), key=lambda i: known[i])
        groups: list[list[Path]] = []
        highest, n_rows = "", PART_ROWS
        for i in order:
            if n_rows >= PART_ROWS and (not groups or known[i][0] > highest):
                groups.append([])
                n_rows = 0
            groups[-1].append(self.files[i].path)
            highest, n_rows = max(highest, known[i][1]), n_rows + self.files[i].metadata.num_rows
        return groups
