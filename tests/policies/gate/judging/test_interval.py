"""The anytime-valid interval of the lift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from policies.gate.judging.betting import place_bets
from policies.gate.judging.interval import Interval, lift_interval
from policies.gate.judging.statistic import swap
from policies.gate.records import GateRows, Plan, concatenate

MakeRows = Callable[..., GateRows]


def _interval(
    rows: GateRows, plan: Plan, *, ends: tuple[int, ...], coverage: float = 0.95, estimate: float = 0.0
) -> Interval:
    for_lift, for_harm = (place_bets(r, plan=plan, threshold=1000) for r in (rows, swap(rows)))
    return lift_interval(
        for_lift,
        for_harm,
        look_ends=ends,
        coverage=coverage,
        reward_range=plan.reward_maximum - plan.reward_minimum,
        estimate=estimate,
    )


def test_covers_the_exact_lift_at_every_look(make_rows: MakeRows, plan: Plan) -> None:
    looks = (200, 500, 1000, 2000)
    covered = []
    for seed in range(150):
        found = _interval(make_rows(2000, lift=0.1, seed=seed), plan, ends=looks, estimate=0.1)
        covered.append(found.lower < 0.1 < found.upper)
    assert np.mean(covered) >= 0.95


def test_misses_when_the_coverage_asked_for_is_low(make_rows: MakeRows, plan: Plan) -> None:
    """The test above could not fail if intervals were always everything."""
    narrow = [_interval(make_rows(2000, lift=0.1, seed=s), plan, ends=(2000,), coverage=0.51) for s in range(60)]
    missed = [not found.lower < 0.1 < found.upper for found in narrow]
    assert any(missed)
    assert np.mean([found.upper - found.lower for found in narrow]) < 0.25


def test_more_rows_and_less_coverage_are_narrower(make_rows: MakeRows, plan: Plan) -> None:
    rows = make_rows(2000, lift=0.1, seed=3)
    few = _interval(replace_all(rows, 400), plan, ends=(400,), estimate=0.1)
    many = _interval(rows, plan, ends=(400, 2000), estimate=0.1)
    assert few.lower <= many.lower < 0.1 < many.upper <= few.upper
    wide = _interval(rows, plan, ends=(400, 2000), coverage=0.999, estimate=0.1)
    assert wide.lower < many.lower < many.upper < wide.upper


def test_an_early_look_is_not_forgotten(make_rows: MakeRows, plan: Plan) -> None:
    """The interval runs over the looks: it never says less than an earlier look did."""
    good, bad = make_rows(1000, lift=0.3, seed=4), make_rows(1000, lift=-0.3, seed=5, start=1000)
    rows = concatenate([good, bad])
    early = _interval(good, plan, ends=(1000,), estimate=0.3)
    late = _interval(rows, plan, ends=(1000, 2000), estimate=0.3)
    assert late.lower >= early.lower > 0


def test_stays_in_the_possible_range_and_contains_the_estimate(make_rows: MakeRows, plan: Plan) -> None:
    assert _interval(make_rows(3), plan, ends=(3,)) == Interval(-1.0, 1.0)
    found = _interval(make_rows(2000, lift=0.3, seed=6), plan, ends=(2000,), estimate=-0.9)
    assert found.lower == -0.9


def test_equal_policies_keep_everything_possible_but_centre_on_zero(make_rows: MakeRows, plan: Plan) -> None:
    rows = make_rows(2000)
    found = _interval(replace(rows, challenger=rows.champion.copy()), plan, ends=(2000,))
    assert found.lower == pytest.approx(-found.upper)
    assert found.lower < 0 < found.upper


def replace_all(rows: GateRows, n: int) -> GateRows:
    return rows.select(np.arange(n))
