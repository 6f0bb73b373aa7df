"""Weighted (self-normalized) per-decision importance sampling of episodes.

When not to use it: few episodes still running at late steps (its bias is of order 1 / effective sample size there),
and never where a martingale is asked for. Its intervals are better than those of PDIS and still too narrow.
"""

from __future__ import annotations

import numpy as np

from policies.ope.episodes import (
    EpisodicTarget,
    LoggedEpisodes,
    cumulative_weights,
    step_weights,
    terminal,
)
from policies.ope.records import Evaluation


def evaluate(logged: LoggedEpisodes, target: EpisodicTarget) -> Evaluation:
    """V = sum_t gamma^t sum_i W_it r_it / sum_i W_it. Reads no model.

    An ended episode keeps its last weight and earns 0, so that the sums at step t run over all m episodes. Influence
    of episode i: m sum_t gamma^t W_it (r_it - V_t) / sum_j W_jt, V_t the ratio at step t. A step at which every
    weight is 0 counts 0. Source: Thomas & Brunskill 2016, "Data-efficient off-policy policy evaluation", eq. 4 f.
    """
    m = logged.n_episodes
    weights = cumulative_weights(logged, step_weights(logged, target))
    held = terminal(logged, weights)
    last_step = logged.step[logged.last]
    value, influence = 0.0, np.zeros(m)
    for t in range(int(last_step.max()) + 1):
        rows = logged.step == t
        at, reward = np.where(last_step < t, held, 0.0), np.zeros(m)
        at[logged.episode[rows]], reward[logged.episode[rows]] = weights[rows], logged.reward[rows]
        total = float(at.sum())
        if total > 0:
            mean = float((at * reward).sum()) / total
            value += logged.gamma**t * mean
            influence += logged.gamma**t * m * at * (reward - mean) / total
    return Evaluation(value, influence, held)
