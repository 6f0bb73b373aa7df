"""Are the logged propensities true? Importance weights of a policy with full support average to 1 if they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_contracts.errors import DegenerateData

# Stakes of the bets, as a share of the largest stake that can never lose everything twice over. Fixed before
# any row is seen, hence predictable; 2^-9 still finds a 5 % error among weights with a deviation of 10.
STAKES: Final = 0.5 ** np.arange(1, 10)
COVERAGE: Final = 0.95  # of the interval that people see


class TalliedWeights(NamedTuple):
    """Weights `values` (m,) >= 0 that occurred `counts` (m,) times.

    `shares` (m,) in (0, 1] scale the bets on a downsampled log: proportional to 1 / sampling_rate, so that the mean
    of share (w - 1) is 0 whatever was kept; all 1 where nothing was left out.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.int64]
    shares: NDArray[np.float64]

    def scaled(self, factor: float) -> TalliedWeights:
        return self._replace(values=self.values * factor)


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
    both = (TalliedWeights(values, counts, np.ones(len(values))),) * 2
    mean = float(np.average(values, weights=counts))
    log_e = mean_e_value([log_e_above(both[0]), log_e_below(both[1], maximum=maximum)])
    lower, upper = weight_interval(*both, maximum=maximum, mean=mean)
    return WeightHealth(log_e, mean, lower, upper)


def log_e_above(weights: TalliedWeights) -> float:
    """log e-value against E[w] <= 1; needs w >= 0 only. Weights rounded down keep it valid."""
    wealth = np.log1p(np.multiply.outer(STAKES, weights.shares * (weights.values - 1.0))) @ weights.counts
    return mean_e_value(wealth)


def log_e_below(weights: TalliedWeights, *, maximum: float) -> float:
    """log e-value against E[w] >= 1 of weights in [0, maximum]; a larger `maximum` makes it weaker.

    Weights rounded up keep it valid.
    """
    stakes = STAKES / max(1.0, maximum - 1.0)
    wealth = np.log1p(-np.multiply.outer(stakes, weights.shares * (weights.values - 1.0))) @ weights.counts
    return mean_e_value(wealth)


def mean_e_value(log_e: ArrayLike) -> float:
    """Natural log of the mean of e-values given by their logs: an e-value again, however they depend on each other."""
    logs = np.asarray(log_e, np.float64)
    return float(np.logaddexp.reduce(logs) - math.log(len(logs)))


def weight_interval(
    least: TalliedWeights, largest: TalliedWeights, *, maximum: float, mean: float
) -> tuple[float, float]:
    """All m for which neither bet against E[w / m] = 1 has reached 2 / (1 - COVERAGE).

    `least` and `largest` bound the same weights from both sides; `mean` lies between.
    """
    limit = math.log(2 / (1 - COVERAGE))
    deviation = (largest.values - mean) ** 2
    spread = math.sqrt(float(np.average(deviation, weights=largest.counts)) / int(largest.counts.sum()))
    step = max(2 * spread, 1e-3 * max(mean, 1e-3))
    lower = _root(lambda m: log_e_above(least.scaled(1 / m)) - limit, start=mean, step=-step, stop=1e-9)
    upper = _root(
        lambda m: log_e_below(largest.scaled(1 / m), maximum=maximum / m) - limit, start=mean, step=step, stop=maximum
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
