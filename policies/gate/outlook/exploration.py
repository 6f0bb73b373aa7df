"""Before any propensity is logged: how many days to a verdict would each exploration rate take?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from data_contracts.errors import UsageError
from policies.gate.judging.betting import RELATIVE_STAKES
from policies.gate.judging.planning import difference_variance

RATES: Final = (0.01, 0.05, 0.1, 0.2)
N_COMPONENTS: Final = 2 * len(RELATIVE_STAKES)  # of the betting branch's wealth: stakes x (IPS, DR)
CHANGED: Final = 0.3  # share of the traffic on which a typical challenger decides otherwise; statistics of the gate


@dataclass(frozen=True, slots=True)
class DaysToVerdict:
    """What exploring at `rate` costs in time; None: never."""

    rate: float  # share of the traffic decided uniformly at random
    rows: int | None
    days: float | None  # at today's traffic


def rows_needed(variance: float, *, lift: float, threshold: float) -> int | None:
    """Rows until the e-process is expected to reach the threshold: 2 ln(6 threshold) variance / lift^2.

    Rows at the best fixed stake, plus what the mean over 6 components can cost. None when it never would.
    Source: Waudby-Smith & Ramdas 2024, growth rate lift^2 / (2 variance) of a bet at stake lift / variance.
    """
    if not (math.isfinite(variance) and variance > 0 and lift > 0):
        return None
    return math.ceil(2 * math.log(N_COMPONENTS * threshold) * variance / lift**2)


def days_to_verdict(
    *,
    n_actions: int,
    lift: float,
    reward_variance: float,
    threshold: float,
    rows_per_day: float,
    changed: float = CHANGED,
    rates: Sequence[float] = RATES,
) -> tuple[DaysToVerdict, ...]:
    """Rows and days until the gate would know a challenger that is better by `lift`, for each exploration rate.

    The log: one action with probability 1 - rate + rate / K, every other with rate / K. The challenger takes another
    action on the share `changed` of the traffic, so that one row's difference has the variance
    changed * reward_variance * (1 / (1 - rate + rate / K) + K / rate);
    rows = 2 ln(6 threshold) variance / lift^2 (rows_needed), days = rows / rows_per_day.

    `lift` in units of reward per interaction, `reward_variance` in reward^2. Raises UsageError for a rate or a share
    outside (0, 1], or fewer than two actions. Caveat: an order of magnitude, for rewards whose variance the action
    hardly changes; a reward model shortens it, a rare bad outcome lengthens it.
    """
    if n_actions < 2 or not all(0 < share <= 1 for share in (changed, *rates)):
        raise UsageError(
            f"no plan for exploration: expected two actions or more and shares in (0, 1], got {n_actions} actions, "
            f"{changed:g} and {', '.join(f'{rate:g}' for rate in rates)}. Correct them."
        )
    return tuple(
        _days(rate, _variance(rate, n_actions, reward_variance) * changed, lift, threshold, rows_per_day)
        for rate in rates
    )


def _variance(rate: float, n_actions: int, reward_variance: float) -> float:
    """Of one row on which the two policies decide differently."""
    logging = np.full((1, n_actions), rate / n_actions)
    logging[0, 0] += 1 - rate
    difference = np.zeros((1, n_actions))
    difference[0, :2] = -1.0, 1.0
    return difference_variance(difference, logging, np.zeros((1, n_actions)), variance=reward_variance)


def _days(rate: float, variance: float, lift: float, threshold: float, rows_per_day: float) -> DaysToVerdict:
    rows = rows_needed(variance, lift=lift, threshold=threshold)
    known = rows is not None and rows_per_day > 0 and math.isfinite(rows_per_day)
    return DaysToVerdict(rate, rows, rows / rows_per_day if known and rows is not None else None)
