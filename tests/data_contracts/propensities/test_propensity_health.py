"""E[w] = 1: what a bet against it must find, what it must leave alone, and what it must refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from data_contracts.errors import DegenerateData
from data_contracts.propensities.propensity_health import weight_e_value

N, K, EPSILON = 100_000, 10, 0.1  # rows and an epsilon-greedy logger; scenario A2 of statistics.md section 2
LIMIT = math.log(1000)


def weights_of(rng: np.random.Generator, factor: float) -> np.ndarray:
    """Uniform-policy weights of N rows whose exploring propensities are logged `factor` times too large."""
    explores = rng.random(N) < EPSILON * (K - 1) / K
    logged = np.where(explores, factor * EPSILON / K, 1 - EPSILON + EPSILON / K)
    return 1 / (K * logged)


def log_e_values(factor: float, *, seeds: range) -> np.ndarray:
    maximum = 1 / (EPSILON * min(factor, 1.0))
    return np.array(
        [weight_e_value(weights_of(np.random.default_rng(s), factor), maximum=maximum).log_e for s in seeds]
    )


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_ten_percent_wrong_propensities_are_found(factor: float) -> None:
    assert np.mean(log_e_values(factor, seeds=range(100)) >= LIMIT) >= 0.99


def test_a_true_log_is_left_alone() -> None:
    assert np.mean(log_e_values(1.0, seeds=range(100)) >= LIMIT) <= 0.01


def test_two_rows_by_hand() -> None:
    # One stake of 1/2 for weights 3 and 0 would give (1 + 1)(1 - 1/2) = 1 above; all nine stakes, and below with
    # maximum 3 (stakes halved):
    stakes = [0.5**k for k in range(1, 10)]
    above = sum((1 + 2 * s) * (1 - s) for s in stakes) / 9
    below = sum((1 - 2 * s / 2) * (1 + s / 2) for s in stakes) / 9
    health = weight_e_value(np.array([3.0, 0.0]), maximum=3.0)
    assert health.log_e == pytest.approx(math.log((above + below) / 2))
    assert health.mean == 1.5


def test_interval_contains_the_truth_and_shrinks() -> None:
    rng = np.random.default_rng(3)
    draws = rng.choice([0.25, 4.0], p=[0.8, 0.2], size=40_000)  # mean exactly 1
    few, many = weight_e_value(draws[:1000], maximum=4.0), weight_e_value(draws, maximum=4.0)
    assert few.lower < 1 < few.upper
    assert many.lower < 1 < many.upper
    assert many.upper - many.lower < (few.upper - few.lower) / 4  # 40 times the rows, about 1/sqrt(40) the width


def test_order_does_not_matter() -> None:
    draws = np.random.default_rng(0).gamma(2.0, 0.5, 1000)
    assert weight_e_value(draws, maximum=20.0) == weight_e_value(draws[::-1].copy(), maximum=20.0)


def test_uniform_log_says_nothing() -> None:
    assert weight_e_value(np.ones(1000), maximum=1.0).log_e == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "weights",
    [np.array([]), np.ones((2, 2)), np.array([1.0, np.nan]), np.array([-0.1]), np.array([5.1]), np.array([np.inf])],
)
def test_impossible_weights_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(DegenerateData):
        weight_e_value(weights, maximum=5.0)
