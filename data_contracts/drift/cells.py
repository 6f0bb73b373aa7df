"""Rows become cells: days of the reference, and (batch, day) of the new rows in order of ingestion."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

MINIMUM_ROWS: Final = 50  # of a cell; fewer say nothing about a share of a few percent
MINIMUM_DAYS: Final = 5  # of a reference that is cut by day
BLOCK_ROWS: Final = 200  # at least, where the reference has fewer days
MAXIMUM_BLOCKS: Final = 30
WAITING: Final = -1  # cell of a row that waits for MINIMUM_ROWS to come together

Cells = NDArray[np.int64]


def reference_cells(occurred_at: NDArray[np.datetime64]) -> Cells:
    """Cell of each reference row, from the rows' times (n,): UTC days, or equal blocks when there are too few.

    A day with too few rows joins the next one, the last joins the one before. Blocks of one day know nothing of
    the variation between days, so their intervals are too narrow for a world that has it.
    """
    days = occurred_at.astype("datetime64[D]").astype(np.int64)
    cells = _merged(days, MINIMUM_ROWS)
    cells[cells == WAITING] = cells.max(initial=0)
    if len(np.unique(cells)) >= MINIMUM_DAYS:
        return cells
    n = len(occurred_at)
    n_blocks = min(MAXIMUM_BLOCKS, max(1, n // BLOCK_ROWS))
    blocks = np.empty(n, np.int64)
    blocks[np.argsort(occurred_at, kind="stable")] = np.arange(n) * n_blocks // max(n, 1)
    return blocks


def new_cells(batch: NDArray[np.int64], occurred_at: NDArray[np.datetime64]) -> Cells:
    """Cell of each new row, or WAITING: rows of one batch and UTC day, in the order of `batch` (n,), then day.

    A cell of fewer than MINIMUM_ROWS joins the next one, also of the next batch, and then belongs to that.
    """
    days = occurred_at.astype("datetime64[D]").astype(np.int64)
    span = int(days.max(initial=0)) - int(days.min(initial=0)) + 1
    return _merged(batch * span + (days - days.min(initial=0)), MINIMUM_ROWS)


def _merged(key: NDArray[np.int64], minimum: int) -> Cells:
    """Number the distinct keys (n,) in their order, joining each with the next until `minimum` rows are together."""
    _, position, counts = np.unique(key, return_inverse=True, return_counts=True)
    cell_of_key = np.empty(len(counts), np.int64)
    cell, start, together = 0, 0, 0
    for i, count in enumerate(counts):
        together += int(count)
        if together >= minimum:
            cell_of_key[start : i + 1] = cell
            cell, start, together = cell + 1, i + 1, 0
    cell_of_key[start:] = WAITING
    return cell_of_key[position]
