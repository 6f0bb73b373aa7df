"""The lift with an interval that holds at every look: all means that the bets have not refuted."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from policies.gate.judging.betting import Bets, log_e_at

PRECISION: Final = 1e-7  # of an end, in units of the reward's range; ends are rounded outwards by it


class Interval(NamedTuple):
    """In units of reward."""

    lower: float
    upper: float


def lift_interval(
    for_lift: Bets,
    for_harm: Bets,
    *,
    look_ends: tuple[int, ...],
    coverage: float,
    reward_range: float,
    estimate: float,
) -> Interval:
    """Two-sided confidence sequence of value(challenger) - value(champion), running over the looks so far.

    lower = least m for which no look's e-value against "mean <= m" has reached 2 / (1 - coverage); upper likewise on
    the swapped rows. Same bets as the verdict, so a promotion (threshold above 2 / (1 - coverage)) has lower > 0.
    Always within [-reward_range, reward_range], and widened, if need be, to contain `estimate`.
    Source: Waudby-Smith & Ramdas 2024, theorem 1 (hedged capital, each side at half the error).
    Caveat: wide, about 1.5-1.7 times the interval of a single, planned, normal analysis.
    """
    limit = math.log(2 / (1 - coverage))
    lower = _least_unrefuted(for_lift, look_ends, limit, reward_range)
    upper = -_least_unrefuted(for_harm, look_ends, limit, reward_range)
    return Interval(min(lower, estimate), max(upper, estimate))


def _least_unrefuted(bets: Bets, look_ends: tuple[int, ...], limit: float, reward_range: float) -> float:
    """Where the largest e-value of the looks, which falls as the mean rises, crosses the limit."""
    from scipy.optimize import brentq

    def above(mean: float) -> float:
        return float(log_e_at(bets, look_ends, mean=mean).max()) - limit

    if above(-reward_range) < 0:
        return -reward_range
    if above(reward_range) >= 0:
        return reward_range
    step = PRECISION * reward_range
    return max(float(brentq(above, -reward_range, reward_range, xtol=step)) - step, -reward_range)
