"""Inverse propensity scoring.

When not to use it: weights with a heavy tail (small effective sample size), or rewards far from 0, whose
constant part it multiplies by a noisy mean weight; SNIPS or DR then have a smaller error.
"""

from __future__ import annotations

from policies.ope.records import Evaluation, Terms, average


def evaluate(terms: Terms) -> Evaluation:
    """V = mean_i w_i r_i, with w = target(a|x) / propensity; means are by row weight.

    Unbiased when the propensities are true and the behavior policy takes every action the target takes.
    Source: Horvitz & Thompson 1952; Dudik, Langford & Li 2011, eq. 2.
    """
    return average(terms.weights * terms.logged.reward, terms.logged, terms.weights)
