"""Median of means: by hand, the same for any order of rows, and unmoved by a handful of units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policies.ope import Estimate, estimate_all
from policies.ope.median_of_means import MEDIAN_COST, N_BLOCKS, assign_blocks, evaluate
from policies.ope.records import LoggedRewards, average


def _logged(n: int) -> LoggedRewards:
    zero = np.zeros(n, np.int64)
    return LoggedRewards(zero, np.zeros(n), np.ones(n), np.zeros((n, 1)), np.arange(n))


def test_the_median_of_three_block_means_by_hand() -> None:
    logged = _logged(6)
    terms = np.array([1.0, 3.0, 2.0, 10.0, 100.0, 300.0])  # blocks 0: 1 and 3; 1: 2 and 10; 2: 100 and 300
    mean = average(terms, logged, np.ones(6))
    found = evaluate(mean, logged, np.array([0, 0, 1, 1, 2, 2]))
    assert found.value == pytest.approx(6.0)  # of 2, 6, 200
    assert found.influence == pytest.approx(mean.influence * MEDIAN_COST)
    assert evaluate(mean, logged, np.array([0, 0, 0, 1, 1, 1])) is mean  # two blocks have no median


@pytest.mark.parametrize(("n_units", "n_blocks"), [(1, 1), (2, 1), (3, 3), (4, 3), (20, 19), (21, 21), (5000, 21)])
def test_blocks_are_odd_even_in_size_and_follow_the_name_alone(n_units: int, n_blocks: int) -> None:
    names = np.array([f"unit-{i}" for i in range(n_units)])
    block = assign_blocks(names)
    sizes = np.bincount(block)
    assert len(sizes) == n_blocks
    assert sizes.max() - sizes.min() <= 1
    order = np.random.default_rng(1).permutation(n_units)
    wide = np.append(names[order], "a name that makes the array wider")[:-1]
    assert assign_blocks(wide).tolist() == block[order].tolist()
    if n_units == 5000:
        assert assign_blocks(names, seed=7).tolist() != block.tolist()
        neighbours = np.mean(block[1:] == block[:-1])  # names that follow each other do not fall together
        assert abs(neighbours - 1 / N_BLOCKS) < 5 * np.sqrt(1 / N_BLOCKS / 5000)


def _log(n_units: int, n_trolls: int, rng: np.random.Generator) -> dict[str, Any]:
    """Five rows a unit, champion and challenger of equal value; trolls reward the challenger's action alone."""
    unit = np.repeat(np.arange(n_units), 5)
    n = len(unit)
    action = rng.integers(2, size=n)
    reward = (rng.random(n) < 0.3) * 1.0
    loud = unit < n_trolls
    return {
        "action": action,
        "reward": np.where(loud, action * 400.0, reward),
        "propensity": np.full(n, 0.5),
        "champion": np.tile([0.9, 0.1], (n, 1)),
        "challenger": np.tile([0.1, 0.9], (n, 1)),
        "reward_model": np.full((n, 2), 0.3),
        "unit_id": np.array([f"u{u}" for u in unit]),
    }


def _difference(estimates: tuple[Estimate, ...], estimator: str) -> Estimate:
    return next(e for e in estimates if (e.estimator, e.policy) == (estimator, "difference"))


def test_a_handful_of_units_moves_the_mean_and_not_the_median() -> None:
    rng = np.random.default_rng(2)
    for n_trolls in (1, 5):
        found = estimate_all(**_log(1000, n_trolls, rng))
        plain, median = _difference(found, "dr"), _difference(found, "median_of_means")
        assert plain.value > 0.1 * n_trolls
        assert abs(median.value) < 0.12
    honest = estimate_all(**_log(1000, 0, rng))
    assert _difference(honest, "median_of_means").value == pytest.approx(_difference(honest, "dr").value, abs=0.06)


def test_a_crowd_is_beyond_it() -> None:
    found = estimate_all(**_log(1000, 50, np.random.default_rng(3)))
    assert _difference(found, "median_of_means").value > 1


def test_its_interval_covers_where_rewards_are_not_skewed() -> None:
    rng = np.random.default_rng(4)
    n_covered = 0
    for _ in range(150):
        found = _difference(estimate_all(**_log(300, 0, rng)), "median_of_means")
        n_covered += found.lower <= 0 <= found.upper
    assert n_covered >= 132, n_covered  # 142.5 +- 2.7
