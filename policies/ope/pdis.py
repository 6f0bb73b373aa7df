"""Per-decision importance sampling of episodes.

When not to use it: for more than a few steps on which target and behavior policy differ. Its weights are products
over steps; intervals of 10-step episodes cover 20-66 % instead of 95 %, because the heavy ones are not in the log.
"""

from __future__ import annotations

from policies.ope.episodes import (
    EpisodicTarget,
    LoggedEpisodes,
    average_episodes,
    cumulative_weights,
    step_weights,
    terminal,
)
from policies.ope.records import Evaluation


def evaluate(logged: LoggedEpisodes, target: EpisodicTarget) -> Evaluation:
    """V = mean_i sum_t gamma^t W_t r_t, W_t = prod_{u <= t} target(a_u|x_u) / propensity_u. Reads no model.

    Unbiased when the propensities are true and the behavior policy takes every action the target takes, whatever
    the state leaves out. Source: Precup, Sutton & Singh 2000, "Eligibility traces for off-policy policy evaluation".
    """
    weights = cumulative_weights(logged, step_weights(logged, target))
    return average_episodes(logged.total(logged.discount * weights * logged.reward), terminal(logged, weights))
