"""All estimators of champion, challenger and their paired difference, with errors clustered by unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.ope import dm, dr, ips, median_of_means, snips
from policies.ope.diagnostics import effective_sample_size
from policies.ope.records import (
    Estimate,
    EstimatorName,
    Evaluation,
    LoggedRewards,
    TargetName,
    Terms,
    check_target,
    target_terms,
)

NORMAL_95: Final = 1.959963984540054  # two-sided 95 % quantile of the standard normal

ESTIMATORS: Final[dict[EstimatorName, Callable[[Terms], Evaluation]]] = {
    "ips": ips.evaluate,
    "snips": snips.evaluate,
    "dm": dm.evaluate,
    "dr": dr.evaluate,
}

TARGETS: Final[tuple[TargetName, ...]] = ("champion", "challenger", "difference")


def estimate_all(
    *,
    action: NDArray[np.int64],
    reward: NDArray[np.float64],
    propensity: NDArray[np.float64],
    champion: NDArray[np.float64],
    challenger: NDArray[np.float64],
    reward_model: NDArray[np.float64],
    unit_id: NDArray[np.str_],
    weight: NDArray[np.float64] | None = None,
    units: tuple[NDArray[np.str_], NDArray[np.int64]] | None = None,
) -> tuple[Estimate, ...]:
    """Every estimator for champion, challenger and difference (challenger - champion, paired on the same rows).

    `action`, `reward`, `propensity`, `unit_id`: (n,); `champion`, `challenger` probabilities and `reward_model`
    predictions (from a model fitted on other rows): (n, K); `weight` (n,) how many interactions each row stands for
    (None: one); `units` what np.unique(unit_id, return_inverse=True) gives, where that is known. Returns 15 estimates
    in units of reward; the median of means is that of the doubly robust terms.
    Raises DegenerateData when shapes, ranges or finiteness do not hold, or there are fewer than 2 units.
    Caveat: the intervals are for reports; see Estimate.
    """
    names, unit = units or np.unique(unit_id.astype(np.str_, copy=False), return_inverse=True)
    logged = LoggedRewards(
        action=action,
        reward=reward,
        propensity=propensity,
        reward_model=reward_model,
        unit=unit.astype(np.int64),
        weight=np.empty(0) if weight is None else weight,
    )
    targets = (
        target_terms(logged, check_target(champion, logged, name="champion")),
        target_terms(logged, check_target(challenger, logged, name="challenger")),
    )
    found: list[Estimate] = []
    evaluations: tuple[Evaluation, ...] = ()
    for name, evaluate in ESTIMATORS.items():
        low, high = map(evaluate, targets)
        evaluations = (low, high, high - low)  # of one estimator at a time: 50 MB of a million rows
        found += _estimates(name, evaluations, logged)
    block = median_of_means.assign_blocks(names)[unit]
    medians = tuple(median_of_means.evaluate(mean, logged, block) for mean in evaluations)  # of dr, the last
    return (*found, *_estimates("median_of_means", medians, logged))


def _estimates(name: EstimatorName, evaluations: tuple[Evaluation, ...], logged: LoggedRewards) -> list[Estimate]:
    return [estimate(name, policy, evaluation, logged) for policy, evaluation in zip(TARGETS, evaluations, strict=True)]


def estimate(name: EstimatorName, policy: TargetName, evaluation: Evaluation, logged: LoggedRewards) -> Estimate:
    """An evaluation with its 95 % interval and diagnostics, clustered by the rows' units."""
    error = clustered_standard_error(evaluation.influence, logged.unit)
    weights = np.broadcast_to(1.0, (logged.n,)) if name == "dm" else evaluation.weights
    return Estimate(
        estimator=name,
        policy=policy,
        value=evaluation.value,
        lower=evaluation.value - NORMAL_95 * error,
        upper=evaluation.value + NORMAL_95 * error,
        standard_error=error,
        effective_sample_size=effective_sample_size(weights * logged.weight, logged.unit),
        n=logged.n,
        n_units=logged.n_units,
        weight_maximum=float(weights.max()),
    )


def clustered_standard_error(influence: NDArray[np.float64], unit: NDArray[np.int64]) -> float:
    """Standard error of a mean whose rows (n,) are correlated within `unit` (n,) codes.

    sqrt(G / (G - 1) sum_g (sum_{i in g} influence_i)^2) / n over G units. Raises DegenerateData when G < 2.
    Source: Liang & Zeger 1986; Cameron & Miller 2015, eq. 11 with the correction G / (G - 1).
    """
    sums = np.bincount(unit, weights=influence)
    if len(sums) < 2:
        raise DegenerateData("no standard error of one unit: expected at least 2 units, got 1. Ingest more of the log.")
    return math.sqrt(len(sums) / (len(sums) - 1) * float((sums**2).sum())) / len(influence)
