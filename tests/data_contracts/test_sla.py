"""Service levels judged on logs whose days are counted by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.checks import CheckResult
from data_contracts.contract import Completeness
from data_contracts.interactions import TIMESTAMP
from data_contracts.sla import daily_counts, sla_section, usual_rows
from tests.data_contracts.small_log import CONTRACT

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)  # of week 0
INTERACTIONS = Completeness("interactions", 90.0)
PROMISED = replace(CONTRACT, freshness_hours=24.0, completeness=(INTERACTIONS,))


def times(*moments: datetime) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(moments, TIMESTAMP)])


def log(per_day: list[int]) -> pa.ChunkedArray:
    """Day 0 is MONDAY; the rows of a day are spread over it."""
    return times(
        *(MONDAY + timedelta(days=day, minutes=1440 * k / n) for day, n in enumerate(per_day) for k in range(n))
    )


def checks(rows: pa.ChunkedArray, now: datetime, **more: object) -> dict[tuple[str, str | None], CheckResult]:
    contract = replace(PROMISED, **more)  # type: ignore[arg-type]
    section = sla_section(contract, rows, now=now)
    assert section.name == "sla"
    return {(c.rule, c.column): c for c in section.checks}


@pytest.mark.parametrize(("hours", "passed"), [(23.9, True), (24.0, True), (24.1, False)])
def test_the_newest_row_may_be_as_old_as_promised(hours: float, passed: bool) -> None:
    rows = times(MONDAY - timedelta(days=9), MONDAY)
    check = checks(rows, MONDAY + timedelta(hours=hours))["freshness", "occurred_at"]
    assert check.passed == passed
    assert check.level == "warn"
    assert check.observed == f"newest interaction {hours} h old, of 2026-06-01T00:00Z"
    assert check.limit == "at most 24 h"


def test_a_row_of_the_future_makes_nothing_fresh() -> None:
    now = MONDAY + timedelta(days=3)
    rows = times(MONDAY, now + timedelta(days=1))
    assert not checks(rows, now)["freshness", "occurred_at"].passed
    assert checks(rows, now)["freshness", "occurred_at"].n_rows == 1


def test_no_rows_are_not_fresh() -> None:
    check = checks(times(), MONDAY, freshness_severity="block")["freshness", "occurred_at"]
    assert not check.passed
    assert check.level == "block"
    assert check.observed == "no interaction"


def test_nothing_promised_nothing_checked() -> None:
    section = sla_section(replace(PROMISED, freshness_hours=None, completeness=()), times(MONDAY), now=MONDAY)
    assert section.checks == ()


WEEK = [10, 10, 10, 10, 10, 4, 4]  # half of the traffic stays at home on weekends


@pytest.mark.parametrize(
    ("last", "day", "passed", "observed"),
    [
        (10, 4, True, "10 rows on 2026-07-03, 100.0 % of the usual 10"),  # a Friday
        (9, 4, True, "9 rows on 2026-07-03, 90.0 % of the usual 10"),
        (8, 4, False, "8 rows on 2026-07-03, 80.0 % of the usual 10"),
        (4, 5, True, "4 rows on 2026-07-04, 100.0 % of the usual 4"),  # a Saturday like the others
        (0, 4, False, "0 rows on 2026-07-03, 0.0 % of the usual 10"),
    ],
)
def test_a_day_is_compared_with_the_same_weekday(last: int, day: int, passed: bool, observed: str) -> None:
    rows = log([*WEEK * 4, *WEEK[:day], last])
    judged_at = MONDAY + timedelta(weeks=4, days=day + 1, hours=25)  # the day ended more than 24 h ago
    check = checks(rows, judged_at)["completeness", "interactions"]
    assert (check.passed, check.observed) == (passed, observed)


def test_a_day_is_judged_when_it_should_be_whole() -> None:
    rows = log([*WEEK * 4, 10, 1])  # the Tuesday has begun
    for hours, observed in ((0, "10 rows on 2026-06-29"), (23, "10 rows on 2026-06-29"), (24, "1 rows on 2026-06-30")):
        now = MONDAY + timedelta(weeks=4, days=2, hours=hours)
        assert checks(rows, now)["completeness", "interactions"].observed.startswith(observed)


def test_one_lost_day_does_not_lower_what_is_usual() -> None:
    weeks = [*WEEK, *WEEK, 0, *WEEK[1:], *WEEK]  # the third Monday was lost
    counts = daily_counts(log([*weeks, 8]).to_numpy(), last=date(2026, 6, 29))
    assert [counts[date(2026, 6, 1) + timedelta(weeks=k)] for k in range(5)] == [10, 10, 0, 10, 8]
    assert usual_rows(counts, date(2026, 6, 29)) == 10  # median of 10, 0, 10; the log's first day does not count


def test_the_first_week_is_not_judged() -> None:
    now = MONDAY + timedelta(days=6)
    check = checks(log([10, 10, 10, 10, 1]), now)["completeness", "interactions"]
    assert check.passed
    assert "not judged" in check.observed
    assert "not judged" in checks(times(), now)["completeness", "interactions"].observed


def test_the_first_day_of_the_log_is_not_what_is_usual() -> None:
    counts = daily_counts(log([1, *WEEK[1:], 10, *WEEK[1:], 9]).to_numpy(), last=date(2026, 6, 15))
    assert usual_rows(counts, date(2026, 6, 8)) is None  # the log began late on the Monday before
    assert usual_rows(counts, date(2026, 6, 15)) == 10


def test_outcomes_of_matured_rows() -> None:
    contract = replace(PROMISED, completeness=(Completeness("outcomes", 75.0),), completeness_severity="block")
    rows = times(*[MONDAY] * 5, MONDAY + timedelta(days=9))
    matured = np.array([True, True, True, True, False, True])
    for answered, passed in (([1, 1, 1, 0, 0, 0], True), ([1, 1, 0, 0, 1, 1], False)):
        section = sla_section(
            contract, rows, now=MONDAY + timedelta(days=1), matured=matured, answered=np.array(answered, np.bool_)
        )
        [check] = [c for c in section.checks if c.rule == "completeness"]
        assert (check.passed, check.level, check.column, check.n_rows) == (passed, "block", "outcomes", 4)


def test_outcomes_that_nobody_counted_do_not_pass() -> None:
    contract = replace(PROMISED, completeness=(Completeness("outcomes", 75.0),))
    section = sla_section(contract, times(MONDAY), now=MONDAY)
    assert [c.passed for c in section.checks if c.rule == "completeness"] == [False]


def test_the_table_shows_the_days_compared() -> None:
    [table] = sla_section(PROMISED, log([*WEEK * 2, 7, 7]), now=MONDAY + timedelta(weeks=2, days=2)).tables
    assert table.rows == (("2026-06-15", "7"), ("2026-06-08", "10"), ("2026-06-01", "10"))
