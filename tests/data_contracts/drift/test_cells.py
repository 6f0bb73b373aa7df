"""Which rows are judged together."""

from __future__ import annotations

import numpy as np

from data_contracts.drift.cells import WAITING, new_cells, reference_cells


def times(*days: tuple[int, int]) -> np.ndarray:
    """(day, number of rows) -> occurred_at."""
    return np.concatenate([np.full(n, np.datetime64("2026-03-01", "us") + np.timedelta64(d, "D")) for d, n in days])


def test_reference_is_cut_by_day() -> None:
    cells = reference_cells(times((0, 60), (1, 60), (2, 60), (3, 60), (4, 60)))
    assert np.bincount(cells).tolist() == [60] * 5


def test_a_short_day_joins_the_next_and_the_last_the_one_before() -> None:
    cells = reference_cells(times((0, 30), (1, 60), (2, 60), (3, 60), (4, 60), (5, 60), (6, 10)))
    assert np.bincount(cells).tolist() == [90, 60, 60, 60, 70]


def test_fewer_than_five_days_become_equal_blocks_in_order_of_time() -> None:
    occurred_at = times((1, 500), (0, 500))
    cells = reference_cells(occurred_at)
    assert np.bincount(cells).tolist() == [200] * 5
    assert cells[occurred_at == occurred_at.min()].max() <= cells[occurred_at == occurred_at.max()].min()


def test_new_rows_are_cut_by_batch_then_day() -> None:
    batch = np.repeat([1, 0], [120, 60])  # the rows of the first batch come last
    cells = new_cells(batch, np.concatenate([times((3, 60), (4, 60)), times((9, 60))]))
    assert cells.tolist() == [1] * 60 + [2] * 60 + [0] * 60


def test_small_cells_join_the_next_batch_and_the_last_ones_wait() -> None:
    batch = np.repeat([0, 1, 2], [30, 40, 49])
    cells = new_cells(batch, times((0, 119)))
    assert cells.tolist() == [0] * 70 + [WAITING] * 49


def test_no_rows() -> None:
    assert len(new_cells(np.empty(0, np.int64), times((0, 0)))) == 0
    assert len(reference_cells(times((0, 0)))) == 0
