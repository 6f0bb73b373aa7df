"""Bounds that hold: exact for independent 0/1 rows, wider for clusters, cautious where nothing was seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from data_contracts.rewards.survey_bounds import mean_bounds, share_bounds

ONES = np.ones(200)
UNITS = np.arange(200)


@pytest.mark.parametrize("hits", [0, 1, 17, 200])
def test_independent_rows_have_the_bounds_of_clopper_and_pearson(hits: int) -> None:
    value = (np.arange(200) < hits).astype(float)
    bounds = mean_bounds(value, weight=ONES, unit=UNITS, alpha=0.01)
    exact = binomtest(hits, 200).proportion_ci(0.98, method="exact")
    assert (bounds.mean, bounds.lower, bounds.upper) == pytest.approx((hits / 200, exact.low, exact.high), abs=1e-9)


def test_a_unit_that_repeats_itself_counts_once() -> None:
    value = np.repeat((np.arange(20) < 5).astype(float), 10)
    clustered = mean_bounds(value, weight=ONES, unit=np.repeat(np.arange(20), 10), alpha=0.01)
    exact = binomtest(5, 20).proportion_ci(0.98, method="exact")
    assert (clustered.lower, clustered.upper) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_weights_give_the_mean_of_the_full_log_and_a_wider_bound() -> None:
    value = np.concatenate([np.ones(100), np.zeros(90)])
    weight = np.concatenate([np.ones(100), np.full(90, 10.0)])
    bounds = mean_bounds(value, weight=weight, unit=np.arange(190), alpha=0.01)
    full = mean_bounds(np.arange(1000) < 100.0, weight=np.ones(1000), unit=np.arange(1000), alpha=0.01)
    assert bounds.mean == pytest.approx(0.1)
    assert bounds.lower < full.lower < bounds.mean < full.upper < bounds.upper


def test_values_of_any_scale_are_bounded_in_their_own_unit() -> None:
    value = np.tile([-2.0, 6.0], 100)
    bounds = mean_bounds(value, weight=ONES, unit=UNITS, alpha=0.01)
    share = share_bounds(0.5, variance=0.25 / 200, n=200, alpha=0.01)
    assert (bounds.lower, bounds.upper) == pytest.approx((-2 + 8 * share.lower, -2 + 8 * share.upper))


def test_bounds_hold_as_often_as_they_say() -> None:
    """400 logs of 150 units with 1 to 9 rows each that agree: a miss of 10 % gives 40, give or take 6."""
    chance, missed = np.random.default_rng(), 0
    for _ in range(400):
        size = chance.integers(1, 10, 150)
        unit = np.repeat(np.arange(150), size)
        value = (chance.random(150) < 0.15).astype(float)[unit]
        missed += mean_bounds(value, weight=np.ones(len(unit)), unit=unit, alpha=0.1).lower > 0.15
    assert missed < 76
