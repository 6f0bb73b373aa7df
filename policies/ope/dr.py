"""Doubly robust: the reward model, corrected by importance-weighted residuals.

When not to use it: with a reward model fitted on the same rows (it then loses its unbiasedness), or in the hope
of a gain where rewards are rare: at 3 % conversions the noise of single events dominates, and DR equals IPS.
"""

from __future__ import annotations

from policies.ope.records import Evaluation, Terms, average


def evaluate(terms: Terms) -> Evaluation:
    """V = mean_i [sum_a target(a|x_i) q(x_i, a) + w_i (r_i - q(x_i, a_i))]; means are by row weight.

    Unbiased when the propensities are true, whatever the model; exact when the model is, whatever the weights.
    Source: Dudik, Langford & Li 2011, "Doubly robust policy evaluation and learning", eq. 3.
    """
    corrected = terms.logged.reward - terms.predicted
    corrected *= terms.weights
    corrected += terms.direct
    return average(corrected, terms.logged, terms.weights)
