"""Self-normalized inverse propensity scoring.

When not to use it: few informative rows (its bias is of order 1 / effective sample size), sums of parts (the
values of two halves do not average to the whole), or a martingale argument (the gate bets on IPS and DR).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policies.ope.records import Evaluation, LoggedRewards, logged_weights, weighted_mean


def evaluate(logged: LoggedRewards, target: NDArray[np.float64]) -> Evaluation:
    """V = sum_i w_i r_i / sum_i w_i, for target probabilities (n, K); influence w_i (r_i - V) / mean w;
    sums and means are by row weight.

    Consistent; recovers a constant reward exactly and stays inside the range of the rewards. When every weight
    is 0 (the log never took an action of the target) the value is 0, with an effective sample size of 0.
    Source: Swaminathan & Joachims 2015, "The self-normalized estimator for counterfactual learning", eq. 5.
    """
    weights = logged_weights(logged, target)
    mean_weight = weighted_mean(weights, logged.weight)
    if mean_weight == 0:
        return Evaluation(0.0, np.zeros(logged.n), weights)
    value = weighted_mean(weights * logged.reward, logged.weight) / mean_weight
    influence = weights * (logged.reward - value) / mean_weight * logged.relative_weight
    return Evaluation(value, influence, weights)
