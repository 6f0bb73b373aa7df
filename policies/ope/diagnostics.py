"""How far the log carries: effective sample size, weights, support, and whether propensities average out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from data_contracts.propensities.propensity_health import (
    TalliedWeights,
    WeightHealth,
    log_e_above,
    log_e_below,
    mean_e_value,
    weight_e_value,
    weight_interval,
)
from policies.ope.records import weighted_mean

QUANTILES: Final = {"50": 0.5, "90": 0.9, "99": 0.99, "max": 1.0}
N_BINS: Final = 24
SMALLEST_WEIGHT: Final = 1e-3  # first edge of the histogram; smaller weights (and 0) fall into the first bin


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between log-spaced edges (one edge more than counts); the first bin also holds smaller weights."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExpectedWeight:
    """Is E[w] = 1 for a target policy on the rows of one policy version? The interval is anytime-valid."""

    policy_version: str
    policy: Literal["champion", "challenger"]
    mean: float
    lower: float
    upper: float
    n: int
    log_e: float  # natural log of the evidence against E[w] = 1


def effective_sample_size(weights: NDArray[np.float64], unit: NDArray[np.int64]) -> float:
    """(sum w)^2 / sum w^2 in units: weights (n,) >= 0 are first summed over the rows of each `unit` (n,) code.

    0 when every weight is 0. Source: Kong 1992, "A note on importance sampling using standardized weights".
    Caveat: it knows nothing of rewards; with rare rewards far fewer rows inform the value.
    """
    sums = np.bincount(unit, weights=weights)
    squares = float((sums**2).sum())
    return float(sums.sum()) ** 2 / squares if squares > 0 else 0.0


def weight_quantiles(weights: NDArray[np.float64]) -> dict[str, float]:
    """Quantiles 50, 90, 99 % and the maximum of weights (n,)."""
    values = np.quantile(weights, list(QUANTILES.values()))
    return {name: float(value) for name, value in zip(QUANTILES, values, strict=True)}


def weight_histogram(weights: NDArray[np.float64]) -> Histogram:
    """Log-spaced histogram of weights (n,) >= 0; the counts add up to n."""
    top = max(float(weights.max()), 10 * SMALLEST_WEIGHT)
    edges = np.geomspace(SMALLEST_WEIGHT, top, N_BINS + 1)
    edges[-1] = top  # geomspace may end an ulp below the largest weight
    counts, _ = np.histogram(np.maximum(weights, SMALLEST_WEIGHT), bins=edges)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def unsupported_mass(
    behavior: NDArray[np.float64],
    target: NDArray[np.float64],
    *,
    support_propensity: float,
    weight: NDArray[np.float64] | None = None,
) -> float:
    """mean_x sum_a target(a|x) 1{behavior(a|x) < support_propensity}: share of the target's decisions that the
    log can say (almost) nothing about. Both (n, K), the mean by row `weight` (n,), None: 1; in [0, 1]."""
    mass = np.where(behavior < support_propensity, target, 0.0).sum(axis=1)
    return weighted_mean(mass, np.ones(len(mass)) if weight is None else weight)


def expected_weights(
    *,
    policy_version: NDArray[np.str_],
    action: NDArray[np.int64],
    propensity: NDArray[np.float64],
    behavior: NDArray[np.float64],
    champion: NDArray[np.float64],
    challenger: NDArray[np.float64],
    share: NDArray[np.float64] | None = None,
) -> tuple[ExpectedWeight, ...]:
    """Mean weight of both targets on the rows of every policy version, and the evidence that it is not 1.

    w_i = target(a_i|x_i) / logged propensity + the target's mass on actions that the behavior policy never
    takes, so that E[w | x] = 1 exactly when the logged propensities are true. Given the contexts, the largest
    possible weight is known from the policies, as the e-value asks. Shapes (n,) and (n, K). `share` (n,) in (0, 1] is
    the row weight of a downsampled log over its largest (None: all 1): then E[share (w - 1)] = 0, and the mean is by
    share.
    """
    found: list[ExpectedWeight] = []
    targets: dict[Literal["champion", "challenger"], NDArray[np.float64]]
    targets = {"challenger": challenger, "champion": champion}
    for version in np.unique(policy_version):
        rows = policy_version == version
        for policy, target in targets.items():
            weights, maximum = _completed_weights(action[rows], propensity[rows], behavior[rows], target[rows])
            health = _health(weights, None if share is None else share[rows], maximum=maximum)
            found.append(
                ExpectedWeight(
                    policy_version=str(version),
                    policy=policy,
                    mean=health.mean,
                    lower=health.lower,
                    upper=health.upper,
                    n=len(weights),
                    log_e=health.log_e,
                )
            )
    return tuple(found)


def _health(weights: NDArray[np.float64], share: NDArray[np.float64] | None, *, maximum: float) -> WeightHealth:
    if share is None or (share == 1).all():
        return weight_e_value(weights, maximum=maximum)
    tallied = TalliedWeights(weights, np.ones(len(weights), np.int64), share)
    mean = weighted_mean(weights, share)
    log_e = mean_e_value([log_e_above(tallied), log_e_below(tallied, maximum=maximum)])
    return WeightHealth(log_e, mean, *weight_interval(tallied, tallied, maximum=maximum, mean=mean))


def _completed_weights(
    action: NDArray[np.int64],
    propensity: NDArray[np.float64],
    behavior: NDArray[np.float64],
    target: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    supported = behavior > 0
    missing = np.where(supported, 0.0, target).sum(axis=1)
    weights = target[np.arange(len(action)), action] / propensity + missing
    possible = np.divide(target, behavior, out=np.zeros_like(target), where=supported).max(axis=1) + missing
    return weights, float(max(possible.max(), weights.max(), 1.0))  # at least 1 but for rounding
