"""Branch E of the gate: the betting e-process of `betting`, on any stream of differences, clustered by unit.

Where units have several rows in one look, what is bet on is the sum over such a group, so that rows of a unit may
depend on each other in any way. Groups have at most `Plan.cluster_size` rows, a number known before the window.

A unit that comes back is bet on again. Where the lift differs between units for good, its later groups do not have
the mean of the traffic given its earlier ones, and the plain e-process would be too large: 6 % instead of 1 % in a
world of units with 20 rows each. So log wealth is multiplied by v / V <= 1, v = summed variance of the groups, V =
that of the units' sums: what bets of stake s win is then about N(-s^2 v^2 / (2 V), s^2 v^2 / V) without a difference,
whose exponential has mean 1 again. By Jensen, a power <= 1 of an e-value is an e-value, so nothing is lost where units
do not come back: there the power is exactly 1, and the branch stays valid for every distribution.
Caveat: with units that come back, it is valid for many units, as the planned branch is, not for few.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.betting import LARGEST_SHARE, RELATIVE_STAKES, first_stake
from policies.gate.judging.differences import Differences
from policies.gate.judging.planned_branch import Moments, moments_at_looks, sums_up_to
from policies.gate.judging.statistic import PairedDifference
from policies.gate.records import Plan

PRECISION = 1e-7  # of a bound, in units of the reward's range; bounds are rounded outwards by it


@dataclass(frozen=True, slots=True, repr=False)
class Bets:
    """n groups of observations in the order of betting; one entry a version (IPS, DR) in `caps` and `gains`."""

    wanted: NDArray[np.float64]  # (3,) stakes in 1 / reward
    caps: tuple[NDArray[np.float64], ...]  # (n,) largest stake, known before the group
    gains: tuple[NDArray[np.float64], ...]  # (n,) share * difference
    share: NDArray[np.float64]  # (n,) summed over the group
    count: NDArray[np.float64]  # (n,)
    size: NDArray[np.int64]  # (n,) observations in the group
    look: NDArray[np.int64]  # (n,) from 1; never decreasing
    ends: NDArray[np.int64]  # (looks,) groups up to each look
    power: NDArray[np.float64]  # (looks,) of the wealth, in (0, 1]: below 1 where units come back and differ

    def __repr__(self) -> str:
        return f"Bets(n={len(self.share)}, n_versions={len(self.gains)})"


def place(differences: Differences, *, plan: Plan, threshold: float) -> Bets:
    """Bets that the mean is above 0, at the stakes that reach `threshold` soonest for what the plan can prove."""
    moments = moments_at_looks(differences)
    groups = _groups(differences, plan.cluster_size)
    size = float(plan.cluster_size)
    reserve = (plan.reward_maximum - plan.reward_minimum) * size
    parts = [_bet(_sum(version, differences.share, groups), reserve) for version in differences.bets]
    look = differences.look[groups.first]
    ends = np.searchsorted(look, np.arange(1, len(moments) + 1), side="right")
    return Bets(
        wanted=first_stake(plan, threshold=threshold) * np.array(RELATIVE_STAKES),
        caps=tuple(cap for cap, _ in parts),
        gains=tuple(gain for _, gain in parts),
        share=groups.sum(differences.share),
        count=differences.count[groups.first],
        size=np.diff(np.append(groups.starts, differences.n)),
        look=look,
        ends=ends,
        power=_powers(differences, groups, ends, moments),
    )


def log_e_at_looks(bets: Bets, *, mean: float = 0.0) -> tuple[float, ...]:
    """Natural log of the e-process after each look, against "the mean is at most `mean`"; falls as `mean` rises.

    `mean` lies in [-range, range] of the reward. Under that null P(any of them ever >= ln c) <= 1 / c.
    """
    return tuple(log_e_at(bets, bets.ends, mean=mean).tolist())


def log_e_at(bets: Bets, ends: NDArray[np.int64], *, mean: float = 0.0) -> NDArray[np.float64]:
    """(len(ends),) the same after the first `ends` groups; `ends` in [0, n], never decreasing."""
    if not bets.gains:
        return np.zeros(len(ends))
    wealth = np.stack(
        [
            sums_up_to(np.log1p(np.minimum(stake, cap) * (gain - bets.share * mean)) * bets.count, ends)
            for cap, gain in zip(bets.caps, bets.gains, strict=True)
            for stake in bets.wanted
        ]
    )
    wealth *= np.where(ends > 0, bets.power[bets.look[ends - 1] - 1], 1.0) if len(bets.power) else 1.0
    top = wealth.max(axis=0)
    found: NDArray[np.float64] = top + np.log(np.exp(wealth - top).mean(axis=0))
    return found


def lower_bound(bets: Bets, *, threshold: float, reward_range: float) -> float:
    """The least mean that no look's e-value has refuted at `threshold`; in [-range, range], rounded down.

    Source: Waudby-Smith & Ramdas 2024, theorem 1. Valid at all looks together with probability 1 - 1 / threshold.
    """

    def above(mean: float) -> float:
        return max(log_e_at_looks(bets, mean=mean), default=0.0) - math.log(threshold)

    if not bets.gains:
        return -reward_range
    low, high = _bracket(above, bets, reward_range)
    if low == high:
        return low
    return _last_above(above, low, high, within=PRECISION * reward_range)


def _bracket(above: Callable[[float], float], bets: Bets, reward_range: float) -> tuple[float, float]:
    """Two means between which `above`, which falls, changes its sign; the same one twice where it does not."""
    middle = float((bets.gains[-1] * bets.count).sum() / max((bets.share * bets.count).sum(), 1e-300))
    width, low, high = 1e-4 * reward_range, -reward_range, reward_range
    middle = min(max(middle, low), high)
    down = above(middle) < 0  # as almost always: the bound lies below the estimate
    while low < middle < high:
        if down:
            high, middle = middle, max(middle - width, low)
        else:
            low, middle = middle, min(middle + width, high)
        if (above(middle) < 0) != down:
            return (middle, high) if down else (low, middle)
        width *= 8
    return middle, middle


def _last_above(above: Callable[[float], float], low: float, high: float, *, within: float) -> float:
    """A point at most `within` below where `above` falls through 0, between low (at least 0) and high (below 0).

    False position with halving: Dowell & Jarratt 1971, "A modified regula falsi method" (Illinois).
    """
    at_low, at_high, side = above(low), above(high), 0
    while high - low > within:
        guess = high - at_high * (high - low) / (at_high - at_low)
        middle = min(max(guess, low + within / 2), high - within / 2)
        value = above(middle)
        if value >= 0:
            low, at_low, at_high, side = middle, value, at_high / (2 if side > 0 else 1), 1
        else:
            high, at_high, at_low, side = middle, value, at_low / (2 if side < 0 else 1), -1
    return low


@dataclass(frozen=True, slots=True, repr=False)
class _Groups:
    """Rows in the order of their groups; groups are consecutive."""

    order: NDArray[np.int64]  # (n,) rows; as they were read where each is a group of its own
    starts: NDArray[np.int64]  # (groups,) where each begins in `order`

    @property
    def first(self) -> NDArray[np.int64]:
        """(groups,) a row of each."""
        rows: NDArray[np.int64] = self.order[self.starts]
        return rows

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(groups,) sums of (n,) values."""
        if len(self.starts) == len(self.order):
            return values  # each row alone, in its own order
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
    starts = np.flatnonzero((everything - start) % size == 0)
    return _Groups(order, starts) if len(starts) < differences.n else _Groups(everything, everything)


def _powers(
    differences: Differences, groups: _Groups, ends: NDArray[np.int64], moments: tuple[Moments, ...]
) -> NDArray[np.float64]:
    """(looks,) variance of the sum if groups were independent / if units are; 1 where no unit has two groups."""
    count = differences.count[groups.first]
    n = sums_up_to(count, ends)
    if all(m.n_units >= groups_read for m, groups_read in zip(moments, n, strict=True)):
        return np.ones(len(ends))
    value, share = groups.sum(differences.share * differences.value), groups.sum(differences.share)
    sums = [sums_up_to(term * count, ends).tolist() for term in (value**2, value * share, share**2)]
    return np.array([_power(m, *found) for m, *found in zip(moments, n.tolist(), *sums, strict=True)])


def _power(m: Moments, n: float, squares: float, products: float, shares: float) -> float:
    if m.n_units >= n or m.clustered <= 0:
        return 1.0
    return min(1.0, max(squares - 2 * m.mean * products + m.mean**2 * shares, 0.0) / m.clustered)


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
