"""Doubly robust per-decision importance sampling of episodes: the gate's estimator.

When not to use it: with models fitted on the same episodes (it loses its unbiasedness), or where products of weights
are so large that the terminal effective sample size falls below about 50: a good model only shrinks what they
multiply, and a normal interval then covers 57-86 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policies.ope.episodes import (
    EpisodicTarget,
    LoggedEpisodes,
    average_episodes,
    cumulative_weights,
    residuals,
    step_weights,
    terminal,
)
from policies.ope.records import Evaluation


def evaluate(logged: LoggedEpisodes, target: EpisodicTarget) -> Evaluation:
    """V = mean_i [v_0 + sum_t gamma^t W_t (r_t + gamma v_{t+1} - q_t)], W_t the product of weights up to step t.

    Unbiased when the propensities are true, whatever the models, and whatever the state leaves out; over F models
    it is their mean. Source: Jiang & Li 2016, "Doubly robust off-policy value evaluation for reinforcement learning",
    eq. 10; Thomas & Brunskill 2016, eq. 1.
    """
    weights = cumulative_weights(logged, step_weights(logged, target))
    return average_episodes(terms(logged, target, weights), terminal(logged, weights))


def terms(logged: LoggedEpisodes, target: EpisodicTarget, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) each episode's v_0 + sum_t gamma^t weights_t (r_t + gamma v_{t+1} - q_t), mean over models."""
    corrected = logged.discount * weights * residuals(logged, target).mean(axis=1)
    start: NDArray[np.float64] = target.v[logged.first].mean(axis=1)
    return start + logged.total(corrected)
