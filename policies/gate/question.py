"""What every part of a decision needs to know beside the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.gate.inputs import LookInputs
from policies.gate.judging.judge import Alpha, split_alpha
from policies.gate.judging.spending import information_fractions
from policies.gate.records import Plan
from policies.gate.settings import GateSettings


@dataclass(frozen=True, slots=True)
class Question:
    """The settings that the challenger was frozen with, the plan, and what this look was told."""

    settings: GateSettings
    plan: Plan
    inputs: LookInputs
    bias: float  # the most, in reward, by which what is not known yet may flatter either policy
    ends: tuple[int, ...]  # observations (rows, or episodes) at the end of each look so far
    least_per_look: int  # observations that a look to come adds at least

    @property
    def fractions(self) -> tuple[float, ...]:
        """Planned share of information at each look so far."""
        return information_fractions(
            self.ends,
            n_planned=self.plan.n_planned,
            n_looks=self.settings.looks,
            min_rows=self.least_per_look,
        )

    @property
    def full_alpha(self) -> Alpha:
        """Of a claim that is no discovery: harm, a segment that is not worse, the interval's coverage aside."""
        return split_alpha(self.settings.alpha)

    @property
    def reward_range(self) -> float:
        return self.plan.reward_maximum - self.plan.reward_minimum


def bias_budget(reward: NDArray[np.float64], *, matured_share: float | None, n_episodes: int | None = None) -> float:
    """(1 - matured share) * mean |return|: what the rewards that are still out may add to a difference, in reward.

    `reward` (n,) of the gate rows, in `n_episodes` episodes (None: each row is one), whose mean |return| is at most
    the sum of |reward| over their number; a share that is not known is refused elsewhere and adds nothing here.
    Source: statistics of the gate, section 4.3 (bias budget).
    """
    if matured_share is None or not len(reward):
        return 0.0
    return (1 - matured_share) * float(np.abs(reward).sum()) / (n_episodes or len(reward))
