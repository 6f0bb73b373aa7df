"""Evidence that a version's propensities are wrong, from nothing but the propensities of the actions that it took.

For any action a that the behavior policy could have taken, E[1{action = a} / p] = 1; where it could not, 0. Hence
E[sum_a g(a) 1{action = a} / p] <= sum_a g(a) for every g >= 0, with equality under full support: each choice of g is a
bet. With g that looks at p the sum is not known, but at most one action of a row has p > 1/2.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.propensities.propensity_health import (
    TalliedWeights,
    WeightHealth,
    log_e_above,
    log_e_below,
    mean_e_value,
    weight_interval,
)
from data_contracts.propensities.propensity_tally import VersionPropensities

MARGIN: Final = 2.0  # times the largest weight seen: the bound where the contract declares no smallest propensity
COMMON: Final = 0.1  # an action is common when it is taken at least this often, relative to 1 / (number of actions)
STAKES: Final = 0.5 ** np.arange(1, 13)  # of single actions: 2^-12 still finds 10 % at a propensity of 0.002


def expected_weight(
    found: VersionPropensities, *, n_actions: int, smallest: float | None, partial_support: bool
) -> WeightHealth:
    """E[w] = 1 for the weights 1 / (K p) of the uniform policy; `log_e` is of an e-value, mean and interval for people.

    Against a mean above 1, K is `n_actions`, the number of declared actions. Against a mean below 1, it is the number
    of actions that the version has ever logged: an action it was never allowed to take does not make its propensities
    wrong. Where it cannot take every action everywhere (`partial_support`), only a mean above 1 is held against it.
    The bound on a weight is 1 / (K smallest) where the contract declares the smallest propensity, else twice the
    largest weight seen, which is a guess: see weight_e_value. Needs at least one known propensity.
    """
    every = np.ones(len(found.counts), np.bool_)
    least, largest = found.weights(every, n_actions=n_actions)
    maximum = _maximum(largest, n_actions=n_actions, smallest=smallest)
    scale = n_actions / max(len(found.actions), 1)
    above = log_e_above(least)
    below = log_e_below(largest.scaled(scale), maximum=maximum * scale)
    mean = found.mean_weight(every, n_actions=n_actions)
    lower, upper = weight_interval(least, largest, maximum=maximum, mean=mean)
    return WeightHealth(mean_e_value([above] if partial_support else [above, below]), mean, lower, upper)


def show_weight(health: WeightHealth) -> str:
    """Mean, interval and evidence in one phrase."""
    interval = f"[{health.lower:.4g}, {health.upper:.4g}]"
    return f"mean {health.mean:.4g} {interval}, log10 e {health.log_e / math.log(10):.2f}"


def calibration_log_e(found: VersionPropensities, *, smallest: float | None, partial_support: bool) -> float:
    """log e-value against true propensities, the mean over several ways in which they are wrong:

    each action by itself (its weights average above 1), the likely action (p > 1/2) too small, the common actions
    together (above, and with full support also below 1: rare actions do not drown them), and where whole distributions
    are known, how often actions of every size of probability happen (CalibrationBins; not on a downsampled log).
    Valid as weight_e_value is; which actions are common is read from the rows, so that near the border the chance of
    a false alarm grows to that of the few sets it may decide between.
    """
    parts = [_single_actions(found), _likely_action(found), _common_actions(found, smallest, partial_support)]
    if found.bins is not None and not found.downsampled:
        parts.append(found.bins.log_e)
    return mean_e_value(parts)


def action_deviations(found: VersionPropensities) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(actions,) means of 1{action = a} / p, 1 where propensities are true and the action always possible; and how
    many standard errors each lies from 1. For people: many actions make some deviations large by chance."""
    known = found.action >= 0
    action, total = found.action[known], float((found.shares * found.counts).sum())
    first = np.bincount(action, weights=(found.shares * found.inverse)[known]) / total
    squares = (found.shares**2 * found.inverse**2 / found.counts)[known]
    variance = np.bincount(action, weights=squares) - first**2 * float((found.shares**2 * found.counts).sum())
    error = np.sqrt(np.maximum(variance, 0.0)) / total
    return first, np.divide(first - 1, error, out=np.zeros_like(first), where=error > 0)


def _single_actions(found: VersionPropensities) -> float:
    """Mean over actions of the e-value against E[1{action = a} / p] <= 1."""
    shares, counts = found.shares, found.counts
    known = found.action >= 0
    logs = []
    for stake in STAKES:
        idle = np.log1p(-stake * shares) * counts  # what a row of another action costs
        won = np.log1p(stake * shares * (1 / found.largest - 1)) * counts
        gain = np.bincount(found.action[known], weights=(won - idle)[known], minlength=len(found.actions))
        logs.append(idle.sum() + gain)
    return mean_e_value(np.concatenate(logs))


def _likely_action(found: VersionPropensities) -> float:
    """e-value against E[1{p > 1/2} / p] <= 1."""
    least, _ = found.weights(found.least > 0.5, n_actions=1)
    return log_e_above(least)


def _common_actions(found: VersionPropensities, smallest: float | None, partial_support: bool) -> float:
    """e-value against E[w] = 1 for the uniform policy over the actions that are common."""
    known = found.action >= 0
    n = np.bincount(found.action[known], weights=found.counts[known], minlength=len(found.actions))
    common = n * len(n) >= COMMON * n.sum()
    inside = known & common[found.action]
    n_common = int(common.sum())
    least, largest = found.weights(inside, n_actions=n_common)
    above = log_e_above(least)
    if partial_support:
        return above
    maximum = _maximum(largest, n_actions=n_common, smallest=smallest)
    return mean_e_value([above, log_e_below(largest, maximum=maximum)])


def _maximum(largest: TalliedWeights, *, n_actions: int, smallest: float | None) -> float:
    seen = float(largest.values.max())
    return max(1 / (n_actions * smallest), seen) if smallest else MARGIN * seen
