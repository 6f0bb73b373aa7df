"""Double reinforcement learning: doubly robust with marginalized weights, for a state that is Markov.

When not to use it: where the next state depends on more than the observation and the action. Its weights ask how
often a state is visited and forget by which way; with an aliased state the interval is confidently wrong (coverage 0 %
at 1,000 episodes). Use it behind `markov.check` and beside DR-PDIS.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policies.ope.episodes import (
    EpisodicTarget,
    LoggedEpisodes,
    average_episodes,
    residuals,
    step_weights,
)
from policies.ope.records import Evaluation


def evaluate(logged: LoggedEpisodes, target: EpisodicTarget) -> Evaluation:
    """V = mean_i [v_0 + sum_t gamma^t w(x_t) rho_t (r_t + gamma v_{t+1} - q_t)], mean over the F models.

    w(x) = (discounted) visits of x under the target / under the log, rho_t the single step's weight. Right when
    either the ratios or the values are, efficient when both are; the error of one is multiplied by that of the other.
    The evaluation's weights are the means over an episode's steps of w rho.
    Source: Kallus & Uehara 2020, "Double reinforcement learning for efficient off-policy evaluation in Markov decision
    processes", eq. 8 (there by step; here pooled over steps, as for a chain that does not change with time).
    """
    rho = step_weights(logged, target)
    marginal = target.ratio * rho[:, None]
    length = logged.total(np.ones(logged.n))
    return average_episodes(terms(logged, target, marginal), logged.total(marginal.mean(axis=1)) / length)


def terms(logged: LoggedEpisodes, target: EpisodicTarget, marginal: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) each episode's v_0 + sum_t gamma^t w_t rho_t (r_t + gamma v_{t+1} - q_t) for (n, F) `marginal` weights."""
    corrected = logged.discount * (marginal * residuals(logged, target)).mean(axis=1)
    start: NDArray[np.float64] = target.v[logged.first].mean(axis=1)
    return start + logged.total(corrected)
