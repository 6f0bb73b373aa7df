"""Which rows the next look reads, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from data_contracts.errors import UsageError
from policies.gate.looks.schedule import Moments, NextLook, next_look

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
FIRST = MONDAY + timedelta(hours=9)  # the first gate row


def _hours(n: int, *, start: datetime = FIRST) -> Moments:
    """n rows, one an hour."""
    return np.datetime64(start.replace(tzinfo=None), "us") + np.arange(n) * np.timedelta64(1, "h")


def _next(moment: Moments, **changes: Any) -> NextLook:
    options: dict[str, Any] = {
        "first_at": None,
        "read_until": None,
        "matured_until": MONDAY + timedelta(days=16),
        "as_of": MONDAY + timedelta(days=18),  # attribution: two days
        "min_rows": 200,
        "close_on_days": 7,
        "rows_per_day": 24.0,
    }
    return next_look(moment, **{**options, **changes})


def test_a_look_reads_whole_weeks_from_the_midnight_of_its_first_row() -> None:
    """360 rows from Monday 9:00 on; two weeks end at hour 336 - 9 of them."""
    look = _next(_hours(360))
    assert look.ready
    assert look.reads.tolist() == [True] * 327 + [False] * 33
    assert (look.n_rows, look.closes_at, look.why_not) == (327, MONDAY + timedelta(days=14), None)


def test_a_week_that_has_not_matured_is_not_read_although_its_rows_are_there() -> None:
    """Matured until Sunday 23:59 of the second week: only the first week (159 rows) is closed, and 200 are needed."""
    look = _next(_hours(360), matured_until=MONDAY + timedelta(days=14, minutes=-1), as_of=MONDAY + timedelta(days=16))
    assert not look.ready
    assert look.n_rows == 159
    assert look.ready_at == MONDAY + timedelta(days=16, minutes=1)
    assert "the one that ends 2026-03-16 to have matured, which it will at 2026-03-18 00:01 UTC" in str(look.why_not)
    assert _next(_hours(360), matured_until=MONDAY + timedelta(days=14), as_of=MONDAY + timedelta(days=16)).ready


def test_too_few_rows_say_how_many_and_when() -> None:
    look = _next(_hours(100), min_rows=1000)
    assert not look.ready
    assert (look.n_rows, look.n_missing) == (100, 900)
    assert look.why_not == "expected 1,000 unread matured gate rows, got 100"
    assert look.ready_at == MONDAY + timedelta(days=18 + 900 / 24)
    assert _next(_hours(100), min_rows=1000, rows_per_day=0.0).ready_at is None


def test_the_next_look_counts_weeks_from_the_first_row_of_all_and_closes_another() -> None:
    """A look read two weeks; late rows of these weeks alone are enough, and wait for the third week to close."""
    late = _hours(300)
    read_until = MONDAY + timedelta(days=14)
    options = {"first_at": FIRST, "read_until": read_until, "matured_until": MONDAY + timedelta(days=20)}
    waiting = _next(late, as_of=MONDAY + timedelta(days=22), **options)
    assert (waiting.ready, waiting.n_missing, waiting.ready_at) == (False, 0, MONDAY + timedelta(days=23))
    later = {**options, "matured_until": MONDAY + timedelta(days=21)}
    ready = _next(late, as_of=MONDAY + timedelta(days=23), **later)
    assert (ready.ready, ready.n_rows, ready.closes_at) == (True, 300, MONDAY + timedelta(days=21))


def test_whoever_starts_in_mid_week_has_weeks_of_their_own() -> None:
    wednesday = FIRST + timedelta(days=2)
    look = _next(_hours(300, start=wednesday), matured_until=MONDAY + timedelta(days=15), min_rows=100)
    assert look.closes_at == MONDAY + timedelta(days=9)


def test_without_rounding_all_rows_are_read() -> None:
    look = _next(_hours(200), close_on_days=None)
    assert look.ready
    assert look.reads.all()
    assert look.closes_at is None
    assert not _next(_hours(199), close_on_days=None).ready


def test_no_rows_at_all() -> None:
    for close_on_days in (7, None):
        look = _next(_hours(0), close_on_days=close_on_days)
        assert (look.ready, look.n_missing, len(look.reads)) == (False, 200, 0)


def test_the_order_of_the_rows_does_not_matter() -> None:
    moment = _hours(360)
    order = np.random.default_rng(5).permutation(360)
    assert np.array_equal(_next(moment[order]).reads, _next(moment).reads[order])


def test_a_schedule_that_cannot_be() -> None:
    for changes in ({"min_rows": 0}, {"close_on_days": 0}, {"matured_until": MONDAY + timedelta(days=19)}):
        with pytest.raises(UsageError, match="no schedule of looks"):
            _next(_hours(10), **changes)
