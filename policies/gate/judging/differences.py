"""The stream that the gate judges: what each row, episode or unit says about value(challenger) - value(champion)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.statistic import NEVER, PairedDifference, paired_differences, swap
from policies.gate.records import SOURCES, GateRows, Plan

BLOCK: Final = 1 << 15  # rows whose (n, K) intermediate results are in memory at once


class _Kept:
    """A slot outside the fields of a frozen record, for what follows from them and is slow to compute."""

    __slots__ = ("kept_moments",)
    kept_moments: tuple[Any, ...]  # by `planned_branch.moments_at_looks`


@dataclass(frozen=True, slots=True, repr=False)
class Differences(_Kept):
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
    average, for_lift, for_harm = np.zeros((6, rows.n)), np.zeros((5, rows.n)), np.zeros((5, rows.n))
    for differ in _blocks(rows):
        part = _part(rows, differ)
        average[:, differ] = _average_terms(part)
        for_lift[:, differ] = _bet_terms(part, plan=plan, first_stake=first_stake)
        for_harm[:, differ] = _bet_terms(swap(part), plan=plan, first_stake=first_stake)
    value, direct, spread, change, down, up = average
    lift = Differences(
        value=value,
        direct=direct,
        bets=_versions(for_lift),
        reward=rows.reward,
        residual_squared=(rows.reward - rows.reward_model[np.arange(rows.n), rows.action]) ** 2,
        spread=spread,
        change=change,
        fourth_down=down,
        fourth_up=up,
        unit=rows.units[1],
        look=look,
        share=rows.weight / plan.weight_maximum,
        count=np.broadcast_to(1.0, (rows.n,)),
    )
    harm = replace(lift, value=0 - value, direct=0 - direct, bets=_versions(for_harm), fourth_down=up, fourth_up=down)
    return TwoSided(lift, harm)


def _blocks(rows: GateRows) -> Iterator[NDArray[np.int64]]:
    """Indices of the rows on which the policies differ, block by block: on the others every term is 0."""
    for start in range(0, rows.n, BLOCK):
        part = slice(start, start + BLOCK)
        yield start + np.flatnonzero((rows.champion[part] != rows.challenger[part]).any(axis=1))


def _part(rows: GateRows, index: NDArray[np.int64]) -> GateRows:
    """What the terms are made of, and no names."""
    nameless = np.empty(0, np.str_)
    return GateRows(
        interaction_id=nameless,
        unit_id=nameless,
        policy_version=nameless,
        action=rows.action[index],
        reward=rows.reward[index],
        propensity=rows.propensity[index],
        behavior=rows.behavior[index],
        champion=rows.champion[index],
        challenger=rows.challenger[index],
        reward_model=rows.reward_model[index],
        weight=rows.weight[index],
        source=rows.source[index],
    )


def _average_terms(rows: GateRows) -> tuple[NDArray[np.float64], ...]:
    """value, direct, spread, change, fourth_down and fourth_up of the challenger against the champion."""
    index = np.arange(rows.n)
    d = rows.challenger - rows.champion
    weight = np.divide(d, rows.behavior, out=np.zeros_like(d), where=rows.behavior >= NEVER)
    third = np.abs(d) * weight**2  # b |dw|^3
    only_p = rows.source == SOURCES.index("propensity")
    third[only_p] *= rows.behavior.shape[1]  # of bounds on b: (sum d^2 / b)^2 / sum d^4 / b^3 is too high by at most K
    direct = np.einsum("ij,ij->i", d, rows.reward_model)
    residual = rows.reward - rows.reward_model[index, rows.action]
    return (
        direct + weight[index, rows.action] * residual,
        direct,
        np.einsum("ij,ij->i", d, weight),
        np.abs(d).sum(axis=1),
        np.einsum("ij,ij->i", third, np.maximum(-weight, 0)),
        np.einsum("ij,ij->i", third, np.maximum(weight, 0)),
    )


def _bet_terms(rows: GateRows, *, plan: Plan, first_stake: float) -> tuple[NDArray[np.float64], ...]:
    """value and lowest of the IPS and of the DR version, and the worst mean of both."""
    ips, dr = paired_differences(rows, plan=plan, first_stake=first_stake)
    return ips.value, ips.lowest, dr.value, dr.lowest, dr.worst_mean


def _versions(terms: NDArray[np.float64]) -> tuple[PairedDifference, PairedDifference]:
    ips_value, ips_lowest, dr_value, dr_lowest, worst_mean = terms
    return PairedDifference(ips_value, ips_lowest, worst_mean), PairedDifference(dr_value, dr_lowest, worst_mean)
