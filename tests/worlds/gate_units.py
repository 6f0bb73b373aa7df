"""A log in which units come back, and in which the same change is good for some of them and bad for others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.betting import first_stake
from policies.gate.judging.differences import one_step
from policies.gate.judging.judge import Judged, judge, split_alpha
from policies.gate.judging.planning import make_plan
from policies.gate.judging.spending import information_fractions
from policies.gate.records import GateRows
from tests.worlds.gate_worlds import head

N_ACTIONS: Final = 2
EXPLORATION: Final = 0.5  # weights stay small, so that what a unit's rows share weighs most
BASE: Final = 0.4  # reward rate of every action


@dataclass(frozen=True, slots=True)
class UnitWorld:
    """The challenger takes action 1 where the champion takes 0; for unit u that changes the reward by +-effect.

    Half of the units gain what the others lose, so the lift is exactly 0, while the rows of one unit agree.
    """

    n_units: int
    rows_per_unit: int  # on average, over all looks
    effect: float
    n_looks: int = 50

    @property
    def n_rows(self) -> int:
        return self.n_units * self.rows_per_unit


def draw_rows(world: UnitWorld, rng: np.random.Generator) -> tuple[GateRows, NDArray[np.int64]]:
    """The rows of all looks in order, and the look of each; units are drawn anew for every row."""
    n = world.n_rows
    unit = rng.integers(world.n_units, size=n)
    effect = world.effect * rng.choice([-1.0, 1.0], size=world.n_units)
    champion = head(np.zeros(n, dtype=np.int64), N_ACTIONS, EXPLORATION)
    challenger = head(np.ones(n, dtype=np.int64), N_ACTIONS, EXPLORATION)
    action = (rng.random(n) < champion[:, 1]).astype(np.int64)
    chance = BASE + effect[unit] * action
    rows = GateRows(
        interaction_id=np.arange(n).astype(str),
        unit_id=unit.astype(str),
        policy_version=np.full(n, "1"),
        action=action,
        reward=(rng.random(n) < chance).astype(np.float64),
        propensity=champion[np.arange(n), action],
        behavior=champion,
        champion=champion,
        challenger=challenger,
        reward_model=np.full((n, N_ACTIONS), BASE),
    )
    return rows, 1 + np.arange(n) * world.n_looks // n


def judge_units(world: UnitWorld, rng: np.random.Generator) -> Judged:
    """One decision at .05; plan from the rows of other units before the window."""
    alpha = split_alpha(0.05)
    rows, look = draw_rows(world, rng)
    earlier, _ = draw_rows(replace(world, n_units=max(world.n_units // 5, 50)), rng)
    plan = make_plan(earlier, n_planned=rows.n, reward_minimum=0.0, reward_maximum=1.0)
    stream = one_step(rows, look=look, plan=plan, first_stake=first_stake(plan, threshold=alpha.threshold)).lift
    ends = tuple(np.searchsorted(look, np.arange(1, world.n_looks + 1), side="right").tolist())
    fractions = information_fractions(ends, n_planned=rows.n, n_looks=world.n_looks, min_rows=1)
    return judge(stream, plan=plan, alpha=alpha, fractions=fractions)
