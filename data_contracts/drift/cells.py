"""Rows become cells: days of the reference, and (batch, day) of the new rows in order of ingestion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MINIMUM_ROWS: Final = 50  # of a cell; fewer say nothing about a share of a few percent
MINIMUM_DAYS: Final = 5  # of a reference that is cut by day
BLOCK_ROWS: Final = 200  # at least, where the reference has fewer days
MAXIMUM_BLOCKS: Final = 30
WAITING: Final = -1  # cell of a row that waits for MINIMUM_ROWS to come together, or is not asked for
DAY: Final = 86_400_000_000  # microseconds
BATCH: Final = 1_000_000  # of a moment, which is batch * BATCH + day since 1970

Times = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True, repr=False)
class Cells:
    """Which of C cells each of n rows belongs to, and when the cells are judged."""

    of_row: NDArray[np.int32]  # (n,) number of the cell, or WAITING
    moment: NDArray[np.int64]  # (C,) of the cell's last row; increasing
    week: NDArray[np.float64]  # (C, 7) share of the cell's rows per UTC weekday, Monday first

    @property
    def n(self) -> int:
        return len(self.moment)

    @property
    def weekday(self) -> NDArray[np.int64]:
        """(C,) the weekday of the cells that have one, -1 where they have several."""
        return np.where(self.week.max(axis=1, initial=0.0) == 1.0, self.week.argmax(axis=1), -1)


def reference_cells(times: Times, asked: NDArray[np.bool_] | None = None) -> Cells:
    """Cells of the reference's rows, from their times (n,): UTC days, or equal blocks when there are too few.

    A day with too few rows joins the next one, the last joins the one before. Blocks of one day know nothing of
    the variation between days, so their intervals are too narrow for a world that has it.
    """
    keys = _Keys.of(_day(times), asked)
    cells = keys.merged(MINIMUM_ROWS)
    cells[cells == WAITING] = cells.max(initial=0)
    if len(np.unique(cells)) >= MINIMUM_DAYS:
        return keys.cells(cells)
    rows = np.arange(len(times)) if asked is None else np.flatnonzero(asked)
    n_blocks = min(MAXIMUM_BLOCKS, max(1, len(rows) // BLOCK_ROWS))
    of_row = np.full(len(times), WAITING, np.int32)
    of_row[rows[np.argsort(times[rows], kind="stable")]] = np.arange(len(rows)) * n_blocks // max(len(rows), 1)
    n = n_blocks if len(rows) else 0
    return Cells(of_row, np.zeros(n, np.int64), np.zeros((n, 7)))  # blocks have no moment and no weekday of their own


def new_cells(batch: NDArray[np.int32], times: Times, asked: NDArray[np.bool_] | None = None) -> Cells:
    """Cells of the new rows: of one batch and UTC day, in the order of `batch` (n,), then day.

    A cell of fewer than MINIMUM_ROWS joins the next one, also of the next batch, and then belongs to that.
    """
    moment = _day(times)
    moment += batch.astype(np.int64) * BATCH
    keys = _Keys.of(moment, asked)
    return keys.cells(keys.merged(MINIMUM_ROWS))


def _day(times: Times) -> NDArray[np.int64]:
    return times.astype("datetime64[us]").view(np.int64) // DAY


@dataclass(frozen=True, slots=True, repr=False)
class _Keys:
    """The distinct moments of the rows that are asked for: few, however many rows there are."""

    moment: NDArray[np.int64]  # (k,) increasing
    count: NDArray[np.int64]  # (k,) rows of each
    of_row: NDArray[np.int32]  # (n,) index of each row's moment; k where it is not asked for

    @classmethod
    def of(cls, moment: NDArray[np.int64], asked: NDArray[np.bool_] | None) -> _Keys:
        import pyarrow as pa

        encoded = pa.array(moment, mask=None if asked is None else ~asked).dictionary_encode()
        found = np.asarray(encoded.dictionary, np.int64)
        order = np.argsort(found)
        place = np.empty(len(found) + 1, np.int32)
        place[order], place[-1] = np.arange(len(found)), len(found)
        of_row = place[np.asarray(encoded.indices.fill_null(len(found)))]
        return cls(found[order], np.bincount(of_row, minlength=len(found) + 1)[: len(found)], of_row)

    def merged(self, minimum: int) -> NDArray[np.int32]:
        """(k,) number of each moment's cell; it joins the next until `minimum` rows are together, else WAITING."""
        cells = np.empty(len(self.moment), np.int32)
        cell, start, together = 0, 0, 0
        for i, count in enumerate(self.count):
            together += int(count)
            if together >= minimum:
                cells[start : i + 1] = cell
                cell, start, together = cell + 1, i + 1, 0
        cells[start:] = WAITING
        return cells

    def cells(self, cell: NDArray[np.int32]) -> Cells:
        """The cells of the rows, from those (k,) of their moments."""
        n = int(cell.max(initial=-1)) + 1
        inside = cell >= 0
        last, week = np.zeros(n, np.int64), np.zeros((n, 7))
        np.maximum.at(last, cell[inside], self.moment[inside])
        weekday = (self.moment[inside] % BATCH + 3) % 7  # 1970 began on a Thursday
        np.add.at(week, (cell[inside], weekday), self.count[inside])
        return Cells(np.append(cell, WAITING)[self.of_row], last, week / np.maximum(week.sum(axis=1, keepdims=True), 1))
