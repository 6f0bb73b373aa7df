"""The direct method: believe the reward model.

When not to use it: never to decide. Its error is the model's bias, which no number of rows reduces, and its
interval shows only how much the contexts vary, so it is far too narrow. Its use is to check the sign of others.
"""

from __future__ import annotations

import numpy as np

from policies.ope.records import Evaluation, Terms, average


def evaluate(terms: Terms) -> Evaluation:
    """V = mean_i sum_a target(a|x_i) q(x_i, a); means are by row weight, and logged rewards are not read.

    Source: Dudik, Langford & Li 2011, "Doubly robust policy evaluation and learning", eq. 1.
    """
    return average(terms.direct, terms.logged, np.broadcast_to(1.0, (terms.logged.n,)))
