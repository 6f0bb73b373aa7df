"""Gamma: its mean given the context is the exact difference, whatever the reward model says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.gate.judging.statistic import paired_differences, swap
from policies.gate.records import GateRows, Plan

N_ACTIONS = 4


def _contexts(n: int, rng: np.random.Generator, *, never: bool = False) -> GateRows:
    """n contexts with random policies and reward model; the behavior policy never takes action 3 if `never`."""
    behavior = rng.dirichlet(np.ones(N_ACTIONS), size=n)
    if never:
        behavior[:, 3] = 0
        behavior /= behavior.sum(axis=1, keepdims=True)
    ids = np.array([f"i{i}" for i in range(n)])
    return GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=np.full(n, "1"),
        action=np.zeros(n, np.int64),
        reward=np.zeros(n),
        propensity=behavior[:, 0],
        behavior=behavior,
        champion=rng.dirichlet(np.ones(N_ACTIONS), size=n),
        challenger=rng.dirichlet(np.ones(N_ACTIONS), size=n),
        reward_model=rng.uniform(-1, 2, (n, N_ACTIONS)),
    )


def _mean_given_context(rows: GateRows, means: NDArray[np.float64], plan: Plan, version: int) -> NDArray[np.float64]:
    """sum_a b_a Gamma(a, E[r|x, a]): Gamma is linear in r, so this is E[Gamma | x] exactly."""
    total = np.zeros(rows.n)
    for a in range(N_ACTIONS):
        taken = replace(rows, action=np.full(rows.n, a), reward=means[:, a])
        total += rows.behavior[:, a] * paired_differences(taken, plan=plan, first_stake=0.3)[version].value
    return total


@pytest.mark.parametrize("version", [0, 1], ids=["ips", "dr"])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (2.0, 5.0)])
def test_the_mean_given_the_context_is_exact(version: int, bounds: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    rows, means = _contexts(50, rng), rng.uniform(*bounds, (50, N_ACTIONS))
    exact = ((rows.challenger - rows.champion) * means).sum(axis=1)
    plan = Plan(1000, 1.0, *bounds)
    assert _mean_given_context(rows, means, plan, version) == pytest.approx(exact)


@pytest.mark.parametrize("version", [0, 1], ids=["ips", "dr"])
@pytest.mark.parametrize("direction", [lambda rows: rows, swap], ids=["lift", "harm"])
def test_actions_never_taken_count_at_their_worst(version: int, direction: Callable[[GateRows], GateRows]) -> None:
    rng = np.random.default_rng(2)
    rows = direction(_contexts(200, rng, never=True))
    means = rng.uniform(-1, 1, (200, N_ACTIONS))
    d = rows.challenger - rows.champion
    exact = (d * means).sum(axis=1)
    worst = (d[:, :3] * means[:, :3]).sum(axis=1) - np.abs(d[:, 3])
    found = _mean_given_context(rows, means, Plan(1000, 1.0, -1.0, 1.0), version)
    assert found == pytest.approx(worst)
    assert (found <= exact + 1e-12).all()


@pytest.mark.parametrize("version", [0, 1], ids=["ips", "dr"])
def test_no_action_and_reward_give_less_than_the_lowest(version: int) -> None:
    rng = np.random.default_rng(3)
    rows, plan = _contexts(300, rng), Plan(1000, 1.0, -1.0, 1.0)
    values = [
        paired_differences(replace(rows, action=np.full(300, a), reward=np.full(300, r)), plan=plan, first_stake=0.3)
        for a in range(N_ACTIONS)
        for r in (-1.0, 0.0, 1.0)
    ]
    lowest = values[0][version].lowest
    assert all((v[version].lowest == lowest).all() for v in values)  # known before action and reward
    assert np.min([v[version].value for v in values], axis=0) == pytest.approx(lowest)


def test_the_worst_mean_bounds_every_possible_mean() -> None:
    rng = np.random.default_rng(4)
    rows = _contexts(100, rng)
    d = rows.challenger - rows.champion
    ips, _ = paired_differences(rows, plan=Plan(1000, 1.0, -2.0, 1.0), first_stake=0.3)
    adversarial = (d * np.where(d > 0, -2.0, 1.0)).sum(axis=1)
    assert ips.worst_mean == pytest.approx(adversarial)


def test_worked_by_hand() -> None:
    one = np.array([[0.5, 0.5]])
    rows = GateRows(
        interaction_id=np.array(["a"]),
        unit_id=np.array(["a"]),
        policy_version=np.array(["1"]),
        action=np.array([1]),
        reward=np.array([1.0]),
        propensity=np.array([0.25]),
        behavior=np.array([[0.75, 0.25]]),
        champion=one,
        challenger=np.array([[0.25, 0.75]]),
        reward_model=np.array([[0.3, 0.9]]),
    )
    # d = -.25, .25; d / b = -1/3, 1; k = 1/4 / .5 = 1/2, so q~ = .3 (limit 1.5) and .5 (limit .5)
    ips, dr = paired_differences(rows, plan=Plan(10, 1.0, 0.0, 1.0), first_stake=0.5)
    assert ips.value[0] == pytest.approx(1.0)
    assert ips.lowest[0] == pytest.approx(-1 / 3)  # action 0 rewarded 1
    assert dr.value[0] == pytest.approx(-0.25 * 0.3 + 0.25 * 0.5 + 1 * (1 - 0.5))
    assert dr.lowest[0] == pytest.approx(0.05 + min(-(1 - 0.3) / 3, -0.5))  # action 1 rewarded 0
    assert ips.worst_mean[0] == pytest.approx(-0.25)


def test_equal_policies_and_swapped_policies() -> None:
    rows, plan = _contexts(40, np.random.default_rng(5)), Plan(1000, 1.0, 0.0, 1.0)
    for version in paired_differences(replace(rows, challenger=rows.champion), plan=plan, first_stake=0.1):
        assert (version.value == 0).all()
        assert (version.lowest == 0).all()
    there, back = (paired_differences(r, plan=plan, first_stake=0.1) for r in (rows, swap(rows)))
    for a, b in zip(there, back, strict=True):
        assert a.value == pytest.approx(-b.value)
