"""The direct method: believe the reward model.

When not to use it: never to decide. Its error is the model's bias, which no number of rows reduces, and its
interval shows only how much the contexts vary, so it is far too narrow. Its use is to check the sign of others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policies.ope.records import Evaluation, LoggedRewards, average


def evaluate(logged: LoggedRewards, target: NDArray[np.float64]) -> Evaluation:
    """V = mean_i sum_a target(a|x_i) q(x_i, a), for target probabilities (n, K); means are by row weight, and
    logged rewards are not read.

    Source: Dudik, Langford & Li 2011, "Doubly robust policy evaluation and learning", eq. 1.
    """
    terms = np.einsum("ij,ij->i", target, logged.reward_model)
    return average(terms, logged, np.ones(logged.n))
