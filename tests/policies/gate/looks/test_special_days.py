"""The second verdict, without the calendar's days."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from policies.gate.judging.differences import TwoSided, one_step
from policies.gate.judging.judge import judge, split_alpha
from policies.gate.looks.special_days import (
    SpecialDay,
    WithoutSpecialDays,
    met_days,
    ordinary_rows,
    without_special_days,
)
from policies.gate.records import GateRows, Plan, concatenate

MakeRows = Callable[..., GateRows]
ALPHA = split_alpha(0.05)
MONDAY = np.datetime64("2026-03-02T09:00", "us")
SALE = SpecialDay(day=date(2026, 3, 3), name="sale")


def test_special_days_leave_the_second_verdict_by_their_utc_date() -> None:
    calendar = TypeAdapter(list[SpecialDay]).validate_python(
        ["2026-03-03", {"day": date(2026, 3, 5), "name": "sale"}, date(2027, 1, 1)]
    )
    moment = MONDAY + np.arange(96) * np.timedelta64(1, "h")  # to Friday 8:00
    ordinary = ordinary_rows(moment, calendar)
    days = moment.astype("datetime64[D]")
    assert set(days[ordinary].astype(str)) == {"2026-03-02", "2026-03-04", "2026-03-06"}
    assert int((~ordinary).sum()) == 48
    assert [day.words for day in met_days(moment, calendar)] == ["2026-03-03", "2026-03-05 (sale)"]
    assert ordinary_rows(moment, []).all()
    with pytest.raises(ValidationError):
        SpecialDay.model_validate("some day")


def _days(n: int) -> NDArray[np.datetime64]:
    """n rows, a third on each of Monday, Tuesday (the sale) and Wednesday."""
    return MONDAY + np.repeat(np.arange(3), n // 3) * np.timedelta64(1, "D")


def _stream(make_rows: MakeRows, plan: Plan, *lifts: float, n: int = 3000) -> TwoSided:
    """Each day with a lift of its own; three looks, one a day."""
    rows = concatenate([make_rows(n // 3, lift=lift, seed=i, start=i * n) for i, lift in enumerate(lifts)])
    return one_step(rows, look=np.repeat([1, 2, 3], n // 3), plan=plan, first_stake=0.1)


def _judged(two: TwoSided, plan: Plan, *calendar: SpecialDay) -> WithoutSpecialDays | None:
    options: dict[str, Any] = {"plan": plan, "alpha": ALPHA, "fractions": (1 / 3, 2 / 3, 1.0)}
    proven, harm = judge(two.lift, **options).proven, judge(two.harm, **options).proven
    return without_special_days(two, _days(two.lift.n), calendar, proven=proven, harm=harm, **options)


def test_a_lift_of_one_day_alone_is_seen(make_rows: MakeRows, plan: Plan) -> None:
    """+.3 on the day of the sale and nothing else: proven with it, not without."""
    found = _judged(_stream(make_rows, plan, 0.0, 0.3, 0.0), plan, SALE)
    assert found is not None
    assert (found.days, found.n_special, found.n_ordinary) == (("2026-03-03 (sale)",), 1000, 2000)
    assert found.mean == pytest.approx(0.0, abs=0.04)
    assert found.mean_special == pytest.approx(0.3, abs=0.05)
    assert (found.proven, found.harm, found.agrees) == (False, False, False)
    assert found.sentence == (
        "Without 2026-03-03 (sale) (1,000 rows) the challenger is not proven either way; with them it is better."
    )
    json.dumps(asdict(found), allow_nan=False)


def test_what_every_day_shows_is_shown_without_one(make_rows: MakeRows, plan: Plan) -> None:
    better = _judged(_stream(make_rows, plan, 0.15, 0.15, 0.15), plan, SALE)
    worse = _judged(_stream(make_rows, plan, -0.15, -0.15, -0.15), plan, SALE)
    assert better is not None
    assert worse is not None
    assert (better.proven, better.harm, better.agrees) == (True, False, True)
    assert (worse.proven, worse.harm, worse.agrees) == (False, True, True)
    assert worse.sentence.endswith("the challenger is worse; as with them.")


def test_a_calendar_that_meets_no_row_or_every_row(make_rows: MakeRows, plan: Plan) -> None:
    two = _stream(make_rows, plan, 0.1, 0.1, 0.1)
    assert _judged(two, plan) is None
    assert _judged(two, plan, SpecialDay(day=date(2026, 4, 1))) is None
    everything = _judged(two, plan, *(SpecialDay(day=date(2026, 3, 2) + timedelta(days=i)) for i in range(3)))
    assert everything is not None
    assert (everything.n_ordinary, everything.mean, everything.proven) == (0, None, False)
