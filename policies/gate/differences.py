"""The stream that the gate judges: what each row, episode or unit says about value(challenger) - value(champion)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from policies.gate.records import GateRows, Plan
from policies.gate.statistic import NEVER, PairedDifference, paired_differences, swap


@dataclass(frozen=True, slots=True, repr=False)
class Differences:
    """n observations in the order in which they were read; d = challenger - champion, b = behavior, dw = d / b."""

    value: NDArray[np.float64]  # (n,) doubly robust difference, not truncated; exactly 0 where the policies agree
    direct: NDArray[np.float64]  # (n,) sum_a d_a q_a: the part of `value` that is known before the action is drawn
    bets: tuple[PairedDifference, ...]  # truncated versions, for the betting branch: IPS and DR
    reward: NDArray[np.float64]  # (n,) as observed: of a row, an episode or a unit
    residual_squared: NDArray[np.float64]  # (n,) (reward - predicted)^2
    spread: NDArray[np.float64]  # (n,) E[dw^2 | x] = sum_a d_a^2 / b_a
    change: NDArray[np.float64]  # (n,) E[|dw| | x] = sum_a |d_a|
    fourth_down: NDArray[np.float64]  # (n,) E[min(dw, 0)^4 | x]
    fourth_up: NDArray[np.float64]  # (n,) E[max(dw, 0)^4 | x]
    unit: NDArray[np.int64]  # (n,) codes of the units, the clusters
    look: NDArray[np.int64]  # (n,) from 1: the look that read it; never decreasing
    share: NDArray[np.float64]  # (n,) row weight / largest row weight, in (0, 1]
    count: NDArray[np.float64]  # (n,) how many identical observations of units of their own it stands for; usually 1

    @property
    def n(self) -> int:
        return len(self.value)

    def select(self, rows: NDArray[np.bool_]) -> Differences:
        """The observations of a mask (n,), for example of a segment."""
        chosen = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "bets"}
        return Differences(bets=tuple(version.select(rows) for version in self.bets), **chosen)

    def __repr__(self) -> str:
        return f"Differences(n={self.n}, n_versions={len(self.bets)})"


@dataclass(frozen=True, slots=True)
class TwoSided:
    """The same observations read as evidence for the challenger and for the champion."""

    lift: Differences
    harm: Differences

    def select(self, rows: NDArray[np.bool_]) -> TwoSided:
        return TwoSided(self.lift.select(rows), self.harm.select(rows))


def one_step(rows: GateRows, *, look: NDArray[np.int64], plan: Plan, first_stake: float) -> TwoSided:
    """The stream of logged decisions, one an observation; `look` (n,) says which look read each.

    value_i = sum_a d_a q_a + (d_A / b_A)(r - q_A) with the reward model q, of mean sum_a d_a E[r | x, a] when b is
    true. Rows must be sound (`check_inputs`). Source: Dudik, Langford & Li 2011, "Doubly robust policy evaluation";
    bets and caps as in `paired_differences`.
    """
    _, unit = np.unique(rows.unit_id, return_inverse=True)
    return TwoSided(
        *(
            _direction(side, unit=unit.astype(np.int64), look=look, plan=plan, first_stake=first_stake)
            for side in (rows, swap(rows))
        )
    )


def _direction(
    rows: GateRows, *, unit: NDArray[np.int64], look: NDArray[np.int64], plan: Plan, first_stake: float
) -> Differences:
    index = np.arange(rows.n)
    d = rows.challenger - rows.champion
    taken = rows.behavior >= NEVER
    weight = np.divide(d, rows.behavior, out=np.zeros_like(d), where=taken)
    residual = rows.reward - rows.reward_model[index, rows.action]
    third = np.abs(d) * weight**2  # b |dw|^3
    direct = np.einsum("ij,ij->i", d, rows.reward_model)
    return Differences(
        value=direct + weight[index, rows.action] * residual,
        direct=direct,
        bets=paired_differences(rows, plan=plan, first_stake=first_stake),
        reward=rows.reward,
        residual_squared=residual**2,
        spread=np.einsum("ij,ij->i", d, weight),
        change=np.abs(d).sum(axis=1),
        fourth_down=np.einsum("ij,ij->i", third, np.maximum(-weight, 0)),
        fourth_up=np.einsum("ij,ij->i", third, np.maximum(weight, 0)),
        unit=unit,
        look=look,
        share=rows.weight / plan.weight_maximum,
        count=np.ones(rows.n),
    )
