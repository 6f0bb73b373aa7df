"""Are the logged propensities true? Importance weights of a policy with full support average to 1 if they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData

# Stakes of the bets, as a share of the largest stake that can never lose everything twice over. Fixed before
# any row is seen, hence predictable; 2^-9 still finds a 5 % error among weights with a deviation of 10.
STAKES: Final = 0.5 ** np.arange(1, 10)
COVERAGE: Final = 0.95  # of the interval that people see


class WeightHealth(NamedTuple):
    """Evidence against E[w] = 1: natural log of an e-value, and the mean weight with an anytime-valid interval."""

    log_e: float
    mean: float
    lower: float
    upper: float


def weight_e_value(weights: NDArray[np.float64], *, maximum: float) -> WeightHealth:
    """Bet against E[w] = 1 from both sides: wrong propensities make the wealth grow without bound.

    e = (above + below) / 2, above = mean over stakes s of prod(1 + s (w_i - 1)), below = mean over stakes s of
    prod(1 - s (w_i - 1) / max(1, maximum - 1)). If every weight has mean 1 given the past, P(e ever >= c) <= 1/c,
    so the check may be repeated as rows arrive.

    Args:
        weights: (n,) target probability / logged propensity, unclipped, >= 0.
        maximum: the largest weight that could ever be logged (1 / (K p_min) for the uniform target), known
            from the policies. A guess below the truth makes `below` invalid: a rare heavy weight not drawn yet
            looks like a mean under 1.

    Returns: `log_e`; `mean`, `lower`, `upper` in units of weight, the interval holding at every n at once.
    Raises DegenerateData when there is no weight, or one is not finite, negative or above `maximum`.
    Source: Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", section 4.
    Caveat: a target action that the behavior policy never takes also moves the mean below 1.

    >>> health = weight_e_value(np.full(500, 1.1), maximum=2.0)
    >>> bool(health.log_e > math.log(1000)), round(health.mean, 6)
    (True, 1.1)
    """
    _check(weights, maximum)
    values, counts = np.unique(weights, return_counts=True)
    mean = float(np.average(values, weights=counts))
    log_e = np.logaddexp(log_e_above(values, counts), log_e_below(values, counts, maximum=maximum)) - math.log(2)
    lower, upper = _interval(values, counts, maximum=maximum, mean=mean)
    return WeightHealth(float(log_e), mean, lower, upper)


def log_e_above(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """log e-value against E[w] <= 1 of weights `values` (m,) that occurred `counts` (m,) times; needs w >= 0 only."""
    wealth = np.log1p(np.multiply.outer(STAKES, values - 1.0)) @ counts
    return _log_mean(wealth)


def log_e_below(values: NDArray[np.float64], counts: NDArray[np.int64], *, maximum: float) -> float:
    """log e-value against E[w] >= 1 of weights in [0, maximum]; a larger `maximum` makes it weaker."""
    stakes = STAKES / max(1.0, maximum - 1.0)
    wealth = np.log1p(-np.multiply.outer(stakes, values - 1.0)) @ counts
    return _log_mean(wealth)


def _log_mean(wealth: NDArray[np.float64]) -> float:
    return float(np.logaddexp.reduce(wealth) - math.log(len(wealth)))


def _interval(
    values: NDArray[np.float64], counts: NDArray[np.int64], *, maximum: float, mean: float
) -> tuple[float, float]:
    """All m for which neither bet against E[w / m] = 1 has reached 2 / (1 - COVERAGE)."""
    limit = math.log(2 / (1 - COVERAGE))
    spread = math.sqrt(float(np.average((values - mean) ** 2, weights=counts)) / int(counts.sum()))
    step = max(2 * spread, 1e-3 * max(mean, 1e-3))
    lower = _root(lambda m: log_e_above(values / m, counts) - limit, start=mean, step=-step, stop=1e-9)
    upper = _root(
        lambda m: log_e_below(values / m, counts, maximum=maximum / m) - limit, start=mean, step=step, stop=maximum
    )
    return lower, upper


def _root(function: Callable[[float], float], *, start: float, step: float, stop: float) -> float:
    """Where an increasing departure from `start` first reaches 0; `stop` when it never does."""
    from scipy.optimize import brentq

    far = start
    while far != stop:
        near, far = far, start + step
        step *= 2
        if (far - stop) * step >= 0:
            far = stop
        if function(far) >= 0:
            return float(brentq(function, near, far, xtol=1e-6)) if function(near) < 0 else near
    return stop


def _check(weights: NDArray[np.float64], maximum: float) -> None:
    if weights.ndim != 1 or len(weights) == 0:
        raise DegenerateData(f"no weights to judge: expected shape (n,) with n >= 1, got {weights.shape}.")
    good = np.isfinite(weights) & (weights >= 0) & (weights <= maximum * (1 + 1e-9))  # rounding of 1 / p
    if not (good.all() and math.isfinite(maximum)):
        examples = ", ".join(f"{w:g}" for w in weights[~good][:5])
        raise DegenerateData(
            f"impossible importance weights: expected values in [0, {maximum:g}], got {int((~good).sum())} others "
            f"({examples}). Check the propensities, or the declared smallest propensity."
        )
