"""Delays are estimated although the newest interactions still wait, and arms are compared at equal age only."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import CensoredData, ecdf

from data_contracts.rewards.maturity import (
    NEVER,
    Arrivals,
    delay_curve,
    expected_outcomes,
    late_share,
    still_expected,
)

DAY = 86_400_000_000


def arrivals(first: list[int], age: list[int], weight: list[float] | None = None) -> Arrivals:
    """Interactions of as many units; NEVER is written as -1."""
    came = np.where(np.array(first) < 0, NEVER, np.array(first))
    return Arrivals(came, np.array(age), np.ones(len(age)) if weight is None else np.array(weight), np.arange(len(age)))


def simulated(n: int, *, rate: float, delay: float, chance: np.random.Generator, span: float = 10.0) -> Arrivals:
    """n interactions spread over `span` days; a share `rate` has an outcome after an exponential delay in days."""
    age = (chance.random(n) * span * DAY).astype(np.int64)
    first = (chance.exponential(delay, n) * DAY).astype(np.int64)
    known = (chance.random(n) < rate) & (first <= age)
    return Arrivals(np.where(known, first, NEVER), age, np.ones(n), np.arange(n))


def test_a_curve_worked_by_hand() -> None:
    """Five interactions; outcomes at 1, 2 and 4; one is censored at 2 (still at risk then), one at 3."""
    curve = delay_curve(arrivals([1, 2, -1, -1, 4], [9, 9, 2, 3, 9]), horizon=9)
    assert curve.age.tolist() == [1, 2, 4]
    assert curve.hazard.tolist() == pytest.approx([1 / 5, 1 / 4, 1])
    assert curve.survival.tolist() == pytest.approx([4 / 5, 3 / 5, 0])
    assert curve.arrived(np.array([0, 1, 3, 9])).tolist() == pytest.approx([0, 0.2, 0.4, 1])
    assert curve.variance.tolist() == pytest.approx([0.2 * 0.8 / 5, 0.25 * 0.75 / 4, 0])
    assert (curve.n, curve.n_outcomes) == (5, 3)
    assert curve.quantiles([0.2, 0.5, 1]) == [timedelta(microseconds=t) for t in (1, 4, 4)]
    assert delay_curve(arrivals([4], [9]), horizon=3).n_outcomes == 0, "later than the horizon is not come"


@settings(max_examples=100, deadline=None, database=None)
@given(rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), min_size=1, max_size=30))
def test_equal_weights_give_what_scipy_gives(rows: list[tuple[int, int]]) -> None:
    first = [delay if delay <= age else -1 for delay, age in rows]
    curve = delay_curve(arrivals(first, [age for _, age in rows]), horizon=20)
    came = [delay for delay in first if delay >= 0]
    waiting = [age for delay, (_, age) in zip(first, rows, strict=True) if delay < 0]
    if not came:
        assert curve.n_outcomes == 0
        return
    reference = ecdf(CensoredData(uncensored=came, right=waiting))
    ages = np.arange(14)
    assert curve.arrived(ages) == pytest.approx(reference.cdf.evaluate(ages), abs=1e-12)


def test_a_weight_of_two_is_the_row_twice_and_variance_knows_better() -> None:
    weighted = delay_curve(arrivals([1, -1, 3], [5, 2, 5], [1.0, 2.0, 1.0]), horizon=5)
    repeated = delay_curve(arrivals([1, -1, -1, 3], [5, 2, 2, 5]), horizon=5)
    assert weighted.survival.tolist() == pytest.approx(repeated.survival.tolist())
    # hazard 1/4 at age 1: (1 (3/4)^2 + (4 + 1) (1/4)^2) / 4^2 against (1/4) (3/4) / 4
    assert weighted.variance[0] == pytest.approx((9 / 16 + 5 / 16) / 16)
    assert repeated.variance[0] == pytest.approx(3 / 64)


def test_downsampled_silence_is_weighted_back() -> None:
    """Of 1,000 interactions 100 had an outcome at age 1; a tenth of the silent ones was logged."""
    full = arrivals([1] * 100 + [-1] * 900, [5] * 1000)
    kept = arrivals([1] * 100 + [-1] * 90, [5] * 190, [1.0] * 100 + [10.0] * 90)
    assert delay_curve(full, horizon=5).arrived(5) == pytest.approx(0.1)
    assert delay_curve(kept, horizon=5).arrived(5) == pytest.approx(0.1)


def test_the_share_that_comes_too_late() -> None:
    first, age = [1] * 60 + [3] * 20 + [8] * 20 + [-1] * 100, [10] * 200
    curve = delay_curve(arrivals(first, age), horizon=10)
    late = late_share(curve, after=5, alpha=0.05)
    assert late is not None
    assert late.mean == pytest.approx(0.2)
    assert late.lower < 0.2 < late.upper
    # without censoring the share among 100 outcomes is a plain proportion: sd .04
    assert (late.upper - late.lower) / 2 == pytest.approx(1.645 * 0.04, rel=0.1)
    nothing = late_share(curve, after=8, alpha=0.05)
    assert nothing is not None
    assert (nothing.mean, nothing.lower) == (pytest.approx(0.0, abs=1e-12), pytest.approx(0.0, abs=1e-12))
    assert late_share(delay_curve(arrivals([-1], [5]), horizon=10), after=5, alpha=0.05) is None


def test_one_late_outcome_proves_nothing() -> None:
    late = late_share(delay_curve(arrivals([8, -1], [10, 10]), horizon=10), after=5, alpha=0.01)
    assert late is not None
    assert (late.mean, late.lower) == (pytest.approx(1.0), pytest.approx(0.01))


def test_the_late_share_is_unbiased_by_recent_rows_and_its_bound_holds() -> None:
    """Exponential delays of 1 day, window 1 day, horizon 3: (e^-1 - e^-3) / (1 - e^-3); 20 of 200 misses expected."""
    truth = (np.exp(-1) - np.exp(-3)) / (1 - np.exp(-3))
    chance, means, missed = np.random.default_rng(), [], 0
    for _ in range(200):
        curve = delay_curve(simulated(1000, rate=0.5, delay=1.0, chance=chance), horizon=3 * DAY)
        late = late_share(curve, after=DAY, alpha=0.1)
        assert late is not None
        means.append(late.mean)
        missed += late.lower > truth
    assert abs(np.mean(means) - truth) < 6 * np.std(means) / np.sqrt(200)
    assert missed < 45


def test_what_young_interactions_may_still_expect() -> None:
    curve = delay_curve(arrivals([1, 2, 3, 4, -1, -1, -1, -1], [9] * 8), horizon=9)
    found = still_expected(curve, np.array([0, 2, 3, 4, 7]), window=4)
    # of 8, six are silent at age 2 and four for ever: (6 - 4) / 6
    assert found.tolist() == pytest.approx([4 / 8, 2 / 6, 1 / 5, 0, 0])


def test_expected_outcomes_worked_by_hand() -> None:
    """A span of 2. The past: two of ages 3 and 4 then, one outcome at age 1 each. Now a third is 1 old and had none."""
    rows = arrivals([1, 1, -1], [5, 6, 1])
    found = expected_outcomes(rows, span=2, window=10)
    # past hazard at age 1: 2 of 2; the two are done, the third passed age 1 without: one was expected
    assert (found.observed, found.expected, found.n) == (0.0, 1.0, 1)
    split = expected_outcomes(arrivals([1, -1, -1, 1], [5, 6, 1, 1]), span=2, window=10)
    assert (split.observed, split.expected, split.n) == (1.0, 1.0, 3)  # hazard 1/2; the silent old one is past it


def test_a_feed_that_runs_as_before_is_as_expected_and_one_that_stops_is_not() -> None:
    """400 interactions an hour, 20 % with an outcome a day later on average; no deviation above 6 of normal."""
    chance = np.random.default_rng()
    rows = simulated(40_000, rate=0.2, delay=1.0, chance=chance, span=8.0)
    same = expected_outcomes(rows, span=2 * DAY, window=4 * DAY)
    assert abs(same.observed - same.expected) < 6 * np.sqrt(same.variance + same.past_variance)
    assert same.expected > 1000
    silent = np.where(rows.first > rows.age - 2 * DAY, NEVER, rows.first)
    stopped = expected_outcomes(Arrivals(silent, rows.age, rows.weight, rows.unit), span=2 * DAY, window=4 * DAY)
    assert stopped.observed == 0
    assert stopped.expected > same.expected, "those that wait longer are expected more often"


def test_the_variance_of_what_is_expected_is_right() -> None:
    """Standardised surprises of 300 clean feeds have a deviation of 1, give or take .04."""
    chance, scores = np.random.default_rng(), []
    for _ in range(300):
        found = expected_outcomes(
            simulated(1500, rate=0.3, delay=1.0, chance=chance, span=8.0), span=2 * DAY, window=3 * DAY
        )
        scores.append((found.observed - found.expected) / np.sqrt(found.variance + found.past_variance))
    assert 0.75 < np.std(scores) < 1.3
    assert abs(np.mean(scores)) < 0.35


def test_units_that_answer_together_widen_the_variance() -> None:
    chance = np.random.default_rng(5)
    one = simulated(2000, rate=0.3, delay=1.0, chance=chance, span=8.0)
    ten = Arrivals(*(np.tile(part, 10) for part in (one.first, one.age, one.weight, one.unit)))
    alone, together = (expected_outcomes(rows, span=2 * DAY, window=3 * DAY) for rows in (one, ten))
    assert together.expected == pytest.approx(10 * alone.expected)
    assert together.variance == pytest.approx(100 * alone.variance, rel=0.2)  # ten copies are no ten rows


def naive(first: NDArray[np.int64], chosen: NDArray[np.bool_]) -> float:
    return float((first[chosen] != NEVER).mean())


def test_immature_arms_with_other_delays_are_biased_and_matured_ones_are_not() -> None:
    """Both arms answer alike in the end, one after 2 days on average and one after 4; the window is 14 days.

    200,000 rows an arm, rate .1: a share has a deviation of .0007 (.0013 on the third that has matured).
    """
    chance = np.random.default_rng()
    fast, slow = (simulated(200_000, rate=0.1, delay=days, chance=chance, span=21.0) for days in (2.0, 4.0))
    everybody, window = np.ones(200_000, np.bool_), 14 * DAY
    assert naive(fast.first, everybody) - naive(slow.first, everybody) > 0.004, "a lift of a tenth out of nothing"
    inside = [np.where(rows.first <= window, rows.first, NEVER) for rows in (fast, slow)]
    matured = [naive(first, rows.age >= window) for first, rows in zip(inside, (fast, slow), strict=True)]
    truth = 0.1 * (1 - np.exp([-7.0, -3.5]))
    assert matured == pytest.approx(truth, abs=6 * 0.0013)
    estimated = [float(delay_curve(rows, horizon=window).arrived(window)) for rows in (fast, slow)]
    assert estimated == pytest.approx(truth, abs=6 * 0.001)
