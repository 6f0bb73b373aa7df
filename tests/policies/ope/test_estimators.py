"""One contract for every estimator: laws that must hold, and values worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.ope import Estimate, balanced, estimate_all
from policies.ope.balanced import Loggers
from policies.ope.estimates import estimate
from policies.ope.records import LoggedRewards

ESTIMATORS = ("ips", "snips", "dm", "dr", "median_of_means", "balanced")
Array = NDArray[np.float64]

# 3 rows, 2 actions, by hand: w = 1/.5, .5/.5, .5/.25 = 2, 1, 2; the champion takes action 0 with .5 everywhere
HAND: dict[str, Any] = {
    "action": np.array([0, 1, 0]),
    "reward": np.array([1.0, 0.0, 1.0]),
    "propensity": np.array([0.5, 0.5, 0.25]),
    "challenger": np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]),
    "champion": np.full((3, 2), 0.5),
    "reward_model": np.array([[0.5, 0.0], [0.5, 0.5], [1.0, 0.0]]),
    "unit_id": np.array(["a", "b", "b"]),
}


@dataclass(frozen=True)
class World:
    """4 contexts, 3 actions, binary rewards with known means; values of policies are exact sums."""

    means: Array
    behavior: Array
    champion: Array
    challenger: Array

    def value(self, policy: Array) -> float:
        return float((policy * self.means).sum(axis=1).mean())

    def log(self, n: int, rng: np.random.Generator, *, reward: float | None = None) -> dict[str, Any]:
        context = rng.integers(4, size=n)
        action = (rng.random(n)[:, None] > self.behavior[context].cumsum(axis=1)).sum(axis=1)
        drawn = (rng.random(n) < self.means[context, action]).astype(float)
        return {
            "action": action,
            "reward": drawn if reward is None else np.full(n, reward),
            "propensity": self.behavior[context, action],
            "champion": self.champion[context],
            "challenger": self.challenger[context],
            "reward_model": self.means[context] if reward is None else np.full((n, 3), reward),
            "unit_id": np.array([f"u{i // 2}" for i in range(n)]),
        }


def _policies(rng: np.random.Generator) -> Array:
    probabilities: Array = 0.1 + rng.dirichlet(np.ones(3), size=4) * 0.7
    return probabilities


@pytest.fixture
def world() -> World:
    rng = np.random.default_rng(1)
    return World(rng.uniform(0.1, 0.9, (4, 3)), _policies(rng), _policies(rng), _policies(rng))


def estimates_of(**log: Any) -> tuple[Estimate, ...]:
    """All estimates, and those of balanced weights for two loggers that act alike: of IPS in other words."""
    found = estimate_all(**log)
    unit = np.unique(log["unit_id"], return_inverse=True)[1]
    logged = LoggedRewards(log["action"], log["reward"], log["propensity"], log["reward_model"], unit)
    loggers = Loggers(np.arange(logged.n) % 2, np.repeat(log["propensity"][:, None], 2, axis=1))
    low, high = (
        balanced.evaluate(logged, log[name], loggers=loggers, n_looks=1) for name in ("champion", "challenger")
    )
    pairs = zip(("champion", "challenger", "difference"), (low, high, high - low), strict=True)
    return (*found, *(estimate("balanced", policy, evaluation, logged) for policy, evaluation in pairs))


def _find(estimates: tuple[Estimate, ...], estimator: str, policy: str) -> Estimate:
    return next(e for e in estimates if (e.estimator, e.policy) == (estimator, policy))


@pytest.mark.parametrize(
    ("estimator", "challenger", "champion"),
    [
        # terms of the challenger: w r = 2, 0, 2; of the champion, w = 1, 1, 2: w r = 1, 0, 2
        ("ips", 4 / 3, 1.0),
        ("snips", 4 / 5, 3 / 4),
        # sum_a p q: .5, .5, .5 and .25, .5, .5
        ("dm", 0.5, 1.25 / 3),
        # + w (r - q): 2 (1 - .5), 1 (0 - .5), 2 (1 - 1) and 1 (1 - .5), 1 (0 - .5), 0
        ("dr", 2 / 3, 1.25 / 3),
    ],
)
def test_values_worked_by_hand(estimator: str, challenger: float, champion: float) -> None:
    estimates = estimates_of(**HAND)
    assert _find(estimates, estimator, "challenger").value == pytest.approx(challenger)
    assert _find(estimates, estimator, "champion").value == pytest.approx(champion)
    assert _find(estimates, estimator, "difference").value == pytest.approx(challenger - champion)


def test_errors_are_clustered_by_unit_worked_by_hand() -> None:
    ips = _find(estimates_of(**HAND), "ips", "challenger")
    # influence 2/3, -4/3, 2/3; by unit 2/3, -2/3; sqrt(2/1 (4/9 + 4/9)) / 3 = 4/9
    assert ips.standard_error == pytest.approx(4 / 9)
    assert ips.upper - ips.value == pytest.approx(1.959964 * 4 / 9)
    # weights by unit 2 and 1 + 2: 25 / 13
    assert ips.effective_sample_size == pytest.approx(25 / 13)
    assert (ips.n, ips.n_units, ips.weight_maximum, ips.clipped) == (3, 2, 2.0, False)


def test_the_error_of_snips_by_hand() -> None:
    # value 4/5, mean weight 5/3: influence 2 (1/5) 3/5 = .24, -.48, .24; units a .24 and b -.24: sqrt(2 x .1152) / 3
    found = _find(estimates_of(**HAND), "snips", "challenger")
    assert found.value == pytest.approx(0.8)
    assert found.standard_error == pytest.approx(0.16)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_agrees_with_the_exact_truth(world: World, estimator: str) -> None:
    estimates = estimates_of(**world.log(20_000, np.random.default_rng(2)))
    truth = {"champion": world.value(world.champion), "challenger": world.value(world.challenger)}
    truth["difference"] = truth["challenger"] - truth["champion"]
    for policy, value in truth.items():
        found = _find(estimates, estimator, policy)
        assert abs(found.value - value) < 4 * found.standard_error
        assert found.standard_error < 0.02


def test_intervals_cover_at_their_rate(world: World) -> None:
    truth = world.value(world.challenger) - world.value(world.champion)
    rng = np.random.default_rng(3)
    n_covered = dict.fromkeys(("ips", "snips", "dr"), 0)
    for _ in range(200):
        for found in estimates_of(**world.log(500, rng)):
            if found.policy == "difference" and found.estimator in n_covered:
                n_covered[found.estimator] += found.lower <= truth <= found.upper
    assert all(180 <= n <= 199 for n in n_covered.values()), n_covered  # 190 +- 3 standard deviations


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_constant_reward_is_recovered(world: World, estimator: str) -> None:
    found = _find(estimates_of(**world.log(4000, np.random.default_rng(4), reward=0.3)), estimator, "challenger")
    if estimator in ("ips", "balanced"):  # only on average: 0.3 times the mean weight
        assert abs(found.value - 0.3) < 4 * found.standard_error
    else:
        assert found.value == pytest.approx(0.3)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_more_data_is_narrower(world: World, estimator: str) -> None:
    few, many = (
        _find(estimates_of(**world.log(n, np.random.default_rng(5))), estimator, "difference") for n in (500, 8000)
    )
    assert 0.2 < many.standard_error / few.standard_error < 0.32  # 1 / 4


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_equal_policies_differ_by_exactly_zero(world: World, estimator: str) -> None:
    log = world.log(300, np.random.default_rng(6))
    found = _find(estimates_of(**{**log, "challenger": log["champion"].copy()}), estimator, "difference")
    assert (found.value, found.lower, found.upper, found.standard_error) == (0, 0, 0, 0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_order_of_rows_does_not_matter(world: World, estimator: str) -> None:
    log = world.log(300, np.random.default_rng(7))
    order = np.random.default_rng(8).permutation(300)
    shuffled = {name: values[order] for name, values in log.items()}
    for policy in ("champion", "challenger", "difference"):
        a, b = (_find(estimates_of(**rows), estimator, policy) for rows in (log, shuffled))
        assert a.value == pytest.approx(b.value, abs=1e-12)
        assert a.standard_error == pytest.approx(b.standard_error, rel=1e-9)


@pytest.mark.parametrize("estimator", ["ips", "dm", "dr", "balanced"])
def test_parts_add_up_to_the_whole(world: World, estimator: str) -> None:
    log = world.log(900, np.random.default_rng(9))
    parts = [{name: values[rows] for name, values in log.items()} for rows in (slice(300), slice(300, None))]
    whole, first, second = (_find(estimates_of(**rows), estimator, "difference").value for rows in (log, *parts))
    assert whole == pytest.approx(first / 3 + second * 2 / 3)


def test_a_log_that_never_took_the_targets_actions_weighs_nothing() -> None:
    never = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    found = _find(estimates_of(**{**HAND, "challenger": never}), "snips", "challenger")
    assert (found.value, found.effective_sample_size, found.weight_maximum) == (0, 0, 0)


@pytest.mark.parametrize(
    ("field", "spoil", "message"),
    [
        ("reward", lambda v: v * np.nan, "bad reward"),
        ("propensity", lambda v: v * 0, "bad propensity"),
        ("propensity", lambda v: v * 4, "bad propensity"),
        ("action", lambda v: v + 2, "bad action"),
        ("challenger", lambda v: v * 0.9, "probabilities of the challenger"),
        ("champion", lambda v: v * np.nan, "probabilities of the champion"),
        ("champion", lambda v: v[:2], "expected shape"),
        ("reward_model", lambda v: v * math.inf, "bad reward_model"),
        ("unit_id", lambda v: np.full(3, "a"), "at least 2 units"),
        ("reward", lambda v: v[:2], "expected shape"),
    ],
)
def test_bad_rows_are_refused_by_name(field: str, spoil: Callable[[Any], Any], message: str) -> None:
    with np.errstate(invalid="ignore"):
        rows = {**HAND, field: spoil(HAND[field])}
    with pytest.raises(DegenerateData, match=message):
        estimate_all(**rows)
