"""Which rows are judged together."""

from __future__ import annotations

import numpy as np

from data_contracts.drift.cells import BATCH, WAITING, new_cells, reference_cells


def times(*days: tuple[int, int]) -> np.ndarray:
    """(day, number of rows) -> occurred_at."""
    return np.concatenate([np.full(n, np.datetime64("2026-03-01", "us") + np.timedelta64(d, "D")) for d, n in days])


def test_reference_is_cut_by_day() -> None:
    cells = reference_cells(times((0, 60), (1, 60), (2, 60), (3, 60), (4, 60)))
    assert np.bincount(cells.of_row).tolist() == [60] * 5
    assert cells.weekday.tolist() == [6, 0, 1, 2, 3]  # 1 March 2026 is a Sunday


def test_a_short_day_joins_the_next_and_the_last_the_one_before() -> None:
    cells = reference_cells(times((0, 30), (1, 60), (2, 60), (3, 60), (4, 60), (5, 60), (6, 10)))
    assert np.bincount(cells.of_row).tolist() == [90, 60, 60, 60, 70]
    assert cells.weekday.tolist() == [-1, 1, 2, 3, -1]
    assert cells.week[0].tolist() == [60 / 90, 0, 0, 0, 0, 0, 30 / 90]


def test_fewer_than_five_days_become_equal_blocks_in_order_of_time() -> None:
    occurred_at = times((1, 500), (0, 500))
    cells = reference_cells(occurred_at).of_row
    assert np.bincount(cells).tolist() == [200] * 5
    assert cells[occurred_at == occurred_at.min()].max() <= cells[occurred_at == occurred_at.max()].min()


def test_only_the_rows_asked_for_have_cells() -> None:
    asked = np.arange(300) % 2 == 0
    cells = reference_cells(times((0, 300)), asked)
    assert (cells.of_row >= 0).tolist() == asked.tolist()
    assert cells.n == 1


def test_new_rows_are_cut_by_batch_then_day() -> None:
    batch = np.repeat([1, 0], [120, 60])  # the rows of the first batch come last
    cells = new_cells(batch, np.concatenate([times((3, 60), (4, 60)), times((9, 60))]))
    assert cells.of_row.tolist() == [1] * 60 + [2] * 60 + [0] * 60
    assert (cells.moment // BATCH).tolist() == [0, 1, 1]


def test_small_cells_join_the_next_batch_and_the_last_ones_wait() -> None:
    batch = np.repeat([0, 1, 2], [30, 40, 49])
    cells = new_cells(batch, times((0, 119)))
    assert cells.of_row.tolist() == [0] * 70 + [WAITING] * 49
    assert (cells.moment // BATCH).tolist() == [1]


def test_no_rows() -> None:
    assert new_cells(np.empty(0, np.int64), times((0, 0))).n == 0
    assert reference_cells(times((0, 0))).n == 0
