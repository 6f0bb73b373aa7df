"""Inverse propensity scoring.

When not to use it: weights with a heavy tail (small effective sample size), or rewards far from 0, whose
constant part it multiplies by a noisy mean weight; SNIPS or DR then have a smaller error.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policies.ope.records import Evaluation, LoggedRewards, average, logged_weights


def evaluate(logged: LoggedRewards, target: NDArray[np.float64]) -> Evaluation:
    """V = mean_i w_i r_i, with w = target(a|x) / propensity, for target probabilities (n, K); means are by row weight.

    Unbiased when the propensities are true and the behavior policy takes every action the target takes.
    Source: Horvitz & Thompson 1952; Dudik, Langford & Li 2011, eq. 2.
    """
    weights = logged_weights(logged, target)
    return average(weights * logged.reward, logged, weights)
