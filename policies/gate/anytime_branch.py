"""Branch E of the gate: the betting e-process of `betting`, on any stream of differences, clustered by unit.

Where units have several rows in one look, what is bet on is the sum over such a group, so that rows of a unit may
depend on each other in any way. Groups have at most `Plan.cluster_size` rows, a number known before the window.
Caveat: a unit that comes back at a later look is bet on again; the null then reads "no group has a positive mean
given the past", which units with lasting, different lifts bend (tests/benchmarks measure by how much).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.gate.betting import LARGEST_SHARE, RELATIVE_STAKES, first_stake
from policies.gate.differences import Differences
from policies.gate.records import Plan
from policies.gate.statistic import PairedDifference

PRECISION = 1e-7  # of a bound, in units of the reward's range; bounds are rounded outwards by it


@dataclass(frozen=True, slots=True, repr=False)
class Bets:
    """n groups of observations in the order of betting; one entry a version (IPS, DR) in `caps` and `gains`."""

    wanted: NDArray[np.float64]  # (3,) stakes in 1 / reward
    caps: tuple[NDArray[np.float64], ...]  # (n,) largest stake, known before the group
    gains: tuple[NDArray[np.float64], ...]  # (n,) share * difference
    share: NDArray[np.float64]  # (n,) summed over the group
    count: NDArray[np.float64]  # (n,)
    ends: NDArray[np.int64]  # (looks,) groups up to each look

    def __repr__(self) -> str:
        return f"Bets(n={len(self.share)}, n_versions={len(self.gains)})"


def place(differences: Differences, *, plan: Plan, threshold: float) -> Bets:
    """Bets that the mean is above 0, at the stakes that reach `threshold` soonest for what the plan can prove."""
    groups = _groups(differences, plan.cluster_size)
    size = float(plan.cluster_size)
    reserve = (plan.reward_maximum - plan.reward_minimum) * size
    parts = [_bet(_sum(version, differences.share, groups), reserve) for version in differences.bets]
    last = int(differences.look[-1]) if differences.n else 0
    return Bets(
        wanted=first_stake(plan, threshold=threshold) * np.array(RELATIVE_STAKES),
        caps=tuple(cap for cap, _ in parts),
        gains=tuple(gain for _, gain in parts),
        share=groups.sum(differences.share),
        count=differences.count[groups.first],
        ends=np.searchsorted(differences.look[groups.first], np.arange(1, last + 1), side="right"),
    )


def log_e_at_looks(bets: Bets, *, mean: float = 0.0) -> tuple[float, ...]:
    """Natural log of the e-process after each look, against "the mean is at most `mean`"; falls as `mean` rises.

    `mean` lies in [-range, range] of the reward. Under that null P(any of them ever >= ln c) <= 1 / c.
    """
    paths = [
        np.concatenate([[0.0], np.cumsum(np.log1p(np.minimum(stake, cap) * (gain - bets.share * mean)) * bets.count)])
        for cap, gain in zip(bets.caps, bets.gains, strict=True)
        for stake in bets.wanted
    ]
    wealth = np.stack([path[bets.ends] for path in paths])
    top = wealth.max(axis=0)
    return tuple((top + np.log(np.exp(wealth - top).mean(axis=0))).tolist())


def lower_bound(bets: Bets, *, threshold: float, reward_range: float) -> float:
    """The least mean that no look's e-value has refuted at `threshold`; in [-range, range], rounded down.

    Source: Waudby-Smith & Ramdas 2024, theorem 1. Valid at all looks together with probability 1 - 1 / threshold.
    """
    from scipy.optimize import brentq

    def above(mean: float) -> float:
        return max(log_e_at_looks(bets, mean=mean), default=0.0) - math.log(threshold)

    if above(-reward_range) < 0:
        return -reward_range
    if above(reward_range) >= 0:
        return reward_range
    step = PRECISION * reward_range
    return max(float(brentq(above, -reward_range, reward_range, xtol=step)) - step, -reward_range)


@dataclass(frozen=True, slots=True, repr=False)
class _Groups:
    """Rows in the order of their groups; groups are consecutive."""

    order: NDArray[np.int64]  # (n,) rows
    starts: NDArray[np.int64]  # (groups,) where each begins in `order`

    @property
    def first(self) -> NDArray[np.int64]:
        """(groups,) a row of each."""
        rows: NDArray[np.int64] = self.order[self.starts]
        return rows

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(groups,) sums of (n,) values."""
        if len(self.starts) == len(self.order):
            return values[self.order]
        sums: NDArray[np.float64] = np.add.reduceat(values[self.order], self.starts)
        return sums


def _groups(differences: Differences, size: int) -> _Groups:
    """Rows of one unit in one look, at most `size` of them together."""
    everything = np.arange(differences.n)
    if size <= 1 or not differences.n:
        return _Groups(everything, everything)
    order = np.lexsort((differences.unit, differences.look))
    unit, look = differences.unit[order], differences.look[order]
    new = np.concatenate([[True], (unit[1:] != unit[:-1]) | (look[1:] != look[:-1])])
    start = np.maximum.accumulate(np.where(new, everything, 0))
    return _Groups(order, np.flatnonzero((everything - start) % size == 0))


def _sum(version: PairedDifference, share: NDArray[np.float64], groups: _Groups) -> PairedDifference:
    return PairedDifference(
        value=groups.sum(share * version.value),
        lowest=groups.sum(share * version.lowest),
        worst_mean=groups.sum(share * version.worst_mean),
    )


def _bet(version: PairedDifference, reserve: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Caps (n,) and gains (n,): a group that could lose more than all before it enters with its least mean.

    `reserve` leaves room for a mean of up to the reward's range to be subtracted.
    """
    seen = np.maximum.accumulate(np.concatenate([[reserve], -version.lowest]))[:-1]
    gains = np.where(-version.lowest > seen, version.worst_mean, version.value)
    return LARGEST_SHARE / (seen + reserve), gains
