"""Self-normalized inverse propensity scoring.

When not to use it: few informative rows (its bias is of order 1 / effective sample size), sums of parts (the
values of two halves do not average to the whole), or a martingale argument (the gate bets on IPS and DR).
"""

from __future__ import annotations

import numpy as np

from policies.ope.records import Evaluation, Terms


def evaluate(terms: Terms) -> Evaluation:
    """V = sum_i w_i r_i / sum_i w_i, with w = target(a|x) / propensity; influence w_i (r_i - V) / mean w;
    sums and means are by row weight.

    Consistent; recovers a constant reward exactly and stays inside the range of the rewards. When every weight
    is 0 (the log never took an action of the target) the value is 0, with an effective sample size of 0.
    Source: Swaminathan & Joachims 2015, "The self-normalized estimator for counterfactual learning", eq. 5.
    """
    logged, weights = terms.logged, terms.weights
    mean_weight = logged.mean(weights)
    if mean_weight == 0:
        return Evaluation(0.0, np.zeros(logged.n), weights)
    value = logged.mean(weights * logged.reward) / mean_weight
    influence = logged.reward - value
    influence *= weights
    influence /= mean_weight
    return Evaluation(value, logged.reweighted(influence), weights)
