"""The gate is not a toy: fresh random worlds with exactly known values, equal, worse and better challengers.

The seeds of the worlds change from run to run and are printed; `SLUICE_WORLD_SEED` repeats a run.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.gate.judging.planning import make_plan
from policies.gate.records import GateDecision, GateRows
from policies.gate.settings import GateSettings
from tests.gate_looks import decide_look

Array = NDArray[np.float64]
Family = Literal["own_log", "negative_reward", "old_log"]
FAMILIES: tuple[Family, ...] = ("own_log", "negative_reward", "old_log")
SETTINGS = GateSettings(looks=5, min_rows_per_look=500)
N_ROWS, N_ROWS_POWER, N_PLANNING = 3000, 9000, 1500


@dataclass(frozen=True)
class World:
    """C cells, K actions. Reward 1 with probability `good`, -1 with probability `bad`, else 0."""

    family: Family
    share: Array  # (C,) of the traffic
    good: Array  # (C, K)
    bad: Array  # (C, K)
    champion: Array  # (C, K)
    older: Array  # (C, K) another known policy, which logged 4 of 5 rows in `old_log`

    @property
    def means(self) -> Array:
        return self.good - self.bad

    def value(self, policy: Array) -> float:
        return float(self.share @ (policy * self.means).sum(axis=1))


def _head(choice: NDArray[np.int64], n_actions: int, exploration: float) -> Array:
    return np.eye(n_actions)[choice] * (1 - exploration) + exploration / n_actions


def make_world(family: Family, rng: np.random.Generator) -> World:
    n_cells, n_actions = 8, int(rng.integers(3, 11))
    exploration = rng.uniform(0.1, 0.3)
    good = np.clip(rng.uniform(0.1, 0.6) + rng.normal(0, 0.15, (n_cells, n_actions)), 0.02, 0.9)
    rare = family == "negative_reward"
    return World(
        family=family,
        share=rng.dirichlet(np.full(n_cells, 3.0)),
        good=good,
        bad=rng.uniform(0.002, 0.02, (n_cells, n_actions)) if rare else np.zeros((n_cells, n_actions)),
        champion=_head(rng.integers(n_actions, size=n_cells), n_actions, exploration),
        older=_head(rng.integers(n_actions, size=n_cells), n_actions, exploration),
    )


def _best(world: World) -> Array:
    return _head(world.means.argmax(axis=1), world.means.shape[1], 0.0)


def _worst(world: World) -> Array:
    return _head(world.means.argmin(axis=1), world.means.shape[1], 0.0)


def challenger_of_value(world: World, value: float, rng: np.random.Generator) -> Array:
    """A policy that acts differently and has exactly this value: a mixture of a better and a worse one.

    In `old_log` it resembles the older logger as far as the value allows.
    """
    n_cells, n_actions = world.means.shape
    start = world.older if world.family == "old_log" else _head(rng.integers(n_actions, size=n_cells), n_actions, 0.1)
    end = _best(world) if world.value(start) < value else _worst(world)
    part = (value - world.value(start)) / (world.value(end) - world.value(start))
    mixed = (1 - part) * start + part * end
    assert 0 <= part <= 1
    assert world.value(mixed) == pytest.approx(value)
    assert np.abs(mixed - world.champion).sum(axis=1).max() > 0.2
    return mixed


def draw(world: World, challenger: Array, n: int, rng: np.random.Generator) -> GateRows:
    cell = rng.choice(len(world.share), size=n, p=world.share)
    old = np.arange(n) < (0.8 * n if world.family == "old_log" else 0)
    behavior = np.where(old[:, None], world.older[cell], world.champion[cell])
    action = (rng.random(n)[:, None] > behavior.cumsum(axis=1)).sum(axis=1).clip(max=behavior.shape[1] - 1)
    luck = rng.random(n)
    good, bad = world.good[cell, action], world.bad[cell, action]
    ids = np.array([f"i{i}" for i in range(n)])
    return GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=np.where(old, "old", "1"),
        action=action,
        reward=(luck < good).astype(float) - (luck > 1 - bad),
        propensity=behavior[np.arange(n), action],
        behavior=behavior,
        champion=world.champion[cell],
        challenger=challenger[cell],
        reward_model=np.tile(world.share @ world.means, (n, 1)),  # knows the actions, not the contexts
    )


def look_at(world: World, challenger: Array, n: int, rng: np.random.Generator) -> GateDecision:
    """All five looks; a threshold crossed at any of them counts."""
    low = -1.0 if world.family == "negative_reward" else 0.0
    planning = draw(world, challenger, N_PLANNING, rng)
    return decide_look(
        draw(world, challenger, n, rng),
        SETTINGS,
        make_plan(planning, n_planned=n, reward_minimum=low, reward_maximum=1.0),
        look=5,
        look_ends=tuple(n * look // 5 for look in range(1, 6)),
        rows_per_day=1000.0,
    )


@pytest.fixture(scope="module")
def seed() -> int:
    return int(os.environ.get("SLUICE_WORLD_SEED") or np.random.SeedSequence().generate_state(1)[0])


def _decisions(kind: str, n: int, seed: int) -> list[GateDecision]:
    """`n` fresh worlds, the families in turn; `kind` says how the challenger's value compares."""
    decisions = []
    for i in range(n):
        rng = np.random.default_rng([seed, i, len(kind)])
        world = make_world(FAMILIES[i % len(FAMILIES)], rng)
        value = world.value(world.champion)
        if kind == "better":
            challenger = _head(world.means.argmax(axis=1), world.means.shape[1], 0.1)
        else:
            lost = min(rng.uniform(0.02, 0.1) * abs(value), (value - world.value(_worst(world))) / 2)
            lost *= kind == "worse"
            challenger = challenger_of_value(world, value - lost, rng)
        decisions.append(look_at(world, challenger, N_ROWS_POWER if kind == "better" else N_ROWS, rng))
    return decisions


@pytest.mark.parametrize("kind", ["equal", "worse"])
def test_challengers_that_are_no_better_are_not_promoted(kind: str, seed: int) -> None:
    decisions = _decisions(kind, 200, seed)
    verdicts = [decision.verdict for decision in decisions]
    print(f"{kind}: worlds of seed {seed}: { ({v: verdicts.count(v) for v in set(verdicts)}) }")
    assert verdicts.count("promote") <= 0.05 * 200
    assert verdicts.count("refuse") <= 0.05 * 200  # sound logs: else nothing was tested
    # Ville: P(e ever >= 20) <= 1/20 where there is no difference; 4 standard deviations of 200 above it
    log_e = np.array([decision.evidence["log_e_promote"] or 0.0 for decision in decisions])
    assert (log_e >= math.log(20)).sum() <= 10 + 4 * math.sqrt(200 * 0.05 * 0.95)
    assert (log_e != 0).sum() >= 190
    intervals = [d.evidence["lift"] for d in decisions if d.evidence["lift"]]
    if kind == "equal":
        assert np.mean([lift["lower"] <= 0 <= lift["upper"] for lift in intervals]) >= 0.9


def test_clearly_better_challengers_are_promoted(seed: int) -> None:
    """The best action of every cell against a champion that chose at random: lift / standard error about 4 ... 11."""
    verdicts = [decision.verdict for decision in _decisions("better", 60, seed)]
    shares = {f: verdicts[i :: len(FAMILIES)].count("promote") / 20 for i, f in enumerate(FAMILIES)}
    print(f"better: worlds of seed {seed}: promoted {shares}")
    assert "block" not in verdicts
    assert verdicts.count("promote") >= 0.6 * 60


def _digits_like(n: int, rng: np.random.Generator) -> GateRows:
    """10 actions, one right: the champion, which logs, knows it in 70 % (exploring .3), the challenger in 93 % (.1)."""
    right = rng.integers(10, size=n)

    def classify(accuracy: float) -> NDArray[np.int64]:
        return np.where(rng.random(n) < accuracy, right, (right + rng.integers(1, 10, size=n)) % 10)

    champion, challenger = _head(classify(0.7), 10, 0.3), _head(classify(0.93), 10, 0.1)
    action = (rng.random(n)[:, None] > champion.cumsum(axis=1)).sum(axis=1).clip(max=9)
    ids = np.array([f"i{i}" for i in range(n)])
    return GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=np.full(n, "1"),
        action=action,
        reward=(action == right).astype(float),
        propensity=champion[np.arange(n), action],
        behavior=champion,
        champion=champion,
        challenger=challenger,
        reward_model=0.05 + 0.5 * np.eye(10)[classify(0.8)],
    )


def test_a_digits_like_challenger_is_proven_beyond_doubt(seed: int) -> None:
    # exact values: champion .7 (.7 + .03) + .3 * .03 = .52, challenger .93 * .91 + .07 * .01 = .847
    lift, n_covered, log10_e = 0.327, 0, []
    for i in range(10):
        rng = np.random.default_rng([seed, i])
        plan = make_plan(_digits_like(3000, rng), n_planned=11_000, reward_minimum=0, reward_maximum=1)
        decision = decide_look(_digits_like(7000, rng), SETTINGS, plan, look=1, look_ends=(7000,), rows_per_day=1000.0)
        assert decision.verdict == "promote"
        log10_e.append(decision.evidence["log_e_promote"] / math.log(10))
        n_covered += decision.evidence["lift"]["lower"] < lift < decision.evidence["lift"]["upper"]
    print(f"digits-like: worlds of seed {seed}: log10 e {min(log10_e):.1f} ... {max(log10_e):.1f}")
    assert n_covered >= 7  # of 10 intervals of 95 %: six or fewer have a chance of .001
