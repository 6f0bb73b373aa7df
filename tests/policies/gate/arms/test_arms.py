"""Arms are compared by unit, with the gate's own judge; a world where that and nothing else tells the truth."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.gate.arms.arms import ArmsJudged, arm_rows, arms_balanced, arms_plan, judge_arms
from policies.gate.arms.before_stage import look_back, outcome_variance, predict_outcomes
from policies.gate.arms.unit_outcomes import UnitOutcomes, unit_outcomes
from policies.gate.judging.differences import one_step
from tests.worlds import email_fatigue as world

SEED = 20261121


def units(arm: NDArray[np.bool_], outcome: NDArray[np.float64]) -> UnitOutcomes:
    n = len(arm)
    return UnitOutcomes(
        unit_id=np.array([f"u{i:05}" for i in range(n)]),
        challenger=arm,
        complete_at=np.full(n, np.datetime64("2026-09-08", "us")),
        outcome=outcome,
        n_rows=np.ones(n, np.int64),
    )


def compare(
    found: UnitOutcomes,
    predicted: NDArray[np.float64],
    *,
    share: float = 0.1,
    n_looks: int = 1,
    variance: float = 0.02,
) -> ArmsJudged:
    look = 1 + np.arange(found.n) * n_looks // found.n
    plan = arms_plan(share=share, n_planned=found.n, variance=variance, bounds=(0, 1))
    return judge_arms(
        found, predicted, look=look, looks_taken=n_looks, share=share, plan=plan, alpha_harm=0.05, alpha_lift=0.05,
        n_looks=n_looks, min_units=1,
    )  # fmt: skip


def test_the_difference_of_a_unit_by_hand() -> None:
    found = units(np.array([True, False]), np.array([0.5, 0.25]))
    rows = arm_rows(found, np.array([0.1, 0.2]), share=0.2)
    plan = arms_plan(share=0.2, n_planned=2, variance=0.1, bounds=(0, 1))
    both = one_step(rows, look=np.ones(2, np.int64), plan=plan, first_stake=0.1)
    # (0.5 - 0.1) / 0.2 in the challenger's arm, -(0.25 - 0.2) / 0.8 in the champion's
    np.testing.assert_allclose(both.lift.value, [2.0, -0.0625])
    np.testing.assert_allclose(both.harm.value, [-2.0, 0.0625])
    assert plan.sigma_squared == pytest.approx(0.1 * (5 + 1.25))


@pytest.mark.parametrize("quality", ["none", "good", "nonsense"])
def test_any_prediction_leaves_the_mean_as_it_is(quality: str) -> None:
    rng = np.random.default_rng(SEED)
    n, share = 40_000, 0.25
    level, arm = rng.random(n) * 0.5, rng.random(n) < 0.25
    outcome = level + np.where(arm, 0.02, 0.0) + rng.normal(0, 0.05, n)
    predicted = {"none": np.zeros(n), "good": level, "nonsense": 3 * (0.5 - level)}[quality]
    found = compare(units(arm, outcome), predicted, share=share, variance=0.05)
    assert found.numbers.lower < 0.02 < found.numbers.upper
    width = found.numbers.upper - found.numbers.lower
    assert width < {"none": 0.04, "good": 0.006, "nonsense": 0.1}[quality]
    assert found.better or quality != "good"


def test_a_proven_difference_needs_arms_as_designed() -> None:
    rng = np.random.default_rng(SEED)
    n = 20_000
    arm = rng.random(n) < 0.1
    outcome = np.where(arm, rng.random(n) < 0.05, rng.random(n) < 0.1).astype(float)
    whole = compare(units(arm, outcome), np.full(n, 0.1), variance=0.09)
    assert whole.worse
    assert not whole.better
    assert whole.balance.passed
    # a quarter of the challenger's units is never logged
    there = ~arm | (rng.random(n) < 0.75)
    lost = compare(units(arm, outcome).select(there), np.full(int(there.sum()), 0.1), variance=0.09)
    assert lost.harm.proven
    assert not lost.worse
    assert not lost.balance.passed
    assert lost.balance.effect == "refuse"


def test_looks_spend_one_error_together() -> None:
    rng = np.random.default_rng(SEED)
    n = 4_000
    found = compare(units(rng.random(n) < 0.1, rng.random(n)), np.full(n, 0.5), n_looks=4, variance=0.1)
    limits = [look.boundary or math.inf for look in found.harm.looks]
    assert len(limits) == 4
    assert limits[0] > 3 > limits[-1] > 1.6449, "a first look at a quarter of the units needs far more than the last"


def test_shares_of_arms() -> None:
    assert arms_balanced(9_000, 1_000, share=0.1).passed
    assert not arms_balanced(9_000, 1_250, share=0.1).passed
    assert not arms_balanced(9_250, 750, share=0.1).passed
    assert arms_balanced(0, 0, share=0.1).passed
    # by hand: 12 of 12 at 1/2 have e = 2^12 / 13 = 315, 14 of 14 have 2^14 / 15 = 1,092
    assert arms_balanced(0, 12, share=0.5).passed
    assert not arms_balanced(0, 14, share=0.5).passed


def test_shares_of_arms_are_rarely_accused_wrongly() -> None:
    rng = np.random.default_rng(SEED)
    drawn = np.cumsum(rng.random((400, 2_000)) < 0.05, axis=1)[:, 99::100]
    ever = [
        any(not arms_balanced(100 * (i + 1) - k, int(k), share=0.05).passed for i, k in enumerate(r)) for r in drawn
    ]
    assert sum(ever) <= 3  # at most 1 in 1,000 each: 4 or more of 400 have a chance of .0008


def test_equal_arms_are_rarely_found_worse_over_fifty_looks() -> None:
    rng = np.random.default_rng(SEED)
    worse = 0
    for _ in range(40):
        level = rng.beta(4, 36, 2_000)
        outcome = rng.binomial(7, level) / 7
        worse += compare(units(rng.random(2_000) < 0.1, outcome), np.full(2_000, 0.1), n_looks=50).worse
    assert worse <= 6  # at 5 % each, 7 or more of 40 have a chance of .0034


def test_the_world_wears_out_as_it_says() -> None:
    rng = np.random.default_rng(SEED)
    appetite = np.full(20_000, 0.1)
    assert world.long_run_clicks(1.0) / world.long_run_clicks(0.0) == pytest.approx(0.6)
    for share in (0.0, 0.5, 1.0):
        sent, fresh = world.send(rng, np.full(20_000, share), n_days=160, appetite=appetite)
        late = sent.click[:, 120:].mean()
        # standard error of 800,000 clicks at .1: .0003; freshness is within 1 % of its limit after 120 days
        assert late == pytest.approx(0.1 * world.long_run_clicks(share), abs=0.0015)
        assert fresh.mean() == pytest.approx(1 / (1 + share), abs=0.01)


def test_who_wears_out_is_seen_by_unit_and_in_time_only() -> None:
    rng = np.random.default_rng(SEED)
    n, share = 6_000, 0.5
    appetite = world.readers(rng, n)
    past, _ = world.send(rng, np.zeros(n), n_days=28, appetite=appetite)
    arm = rng.random(n) < share
    sent, _ = world.send(rng, arm.astype(float), n_days=28, appetite=appetite)
    before = past.rows()
    known = look_back(before.unit_id, before.occurred_at, before.reward)
    found = {}
    for days in (7, 28):
        outcomes = unit_outcomes(
            sent.rows(challenger=arm), horizon=timedelta(days=days), attribution_window=timedelta(0),
            as_of=world.days(28), kind="mean", max_rows=100,
        )  # fmt: skip
        predicted = predict_outcomes(known, outcomes.unit_id, kind="mean", horizon_days=days, max_rows=100)
        variance = outcome_variance(known, kind="mean", horizon_days=days, max_rows=100, bounds=(0, 1))
        found[days] = compare(outcomes, predicted, share=share, variance=variance)
    assert found[7].better
    assert not found[7].worse
    assert found[28].worse
    assert not found[28].better
