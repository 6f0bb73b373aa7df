"""Fitted Q evaluation of the stochastic policy that is served.

When not to use it: alone, ever. It believes its model: with an aliased state its interval covers 0 % at 1,000 episodes
and it ranks 29-58 % of truly worse policies above the champion. Its uses are ranking, and a model for DR-PDIS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.encoding import FeatureScale
from policies.ope.episodes import EpisodicTarget, LoggedEpisodes, average_episodes
from policies.ope.records import Evaluation

PENALTY: Final = 1.0  # of the squared weights (not of the intercept), in rows
MOST_ITERATIONS: Final = 500
TOLERANCE: Final = 1e-6  # of the standardised reward


def evaluate(logged: LoggedEpisodes, target: EpisodicTarget) -> Evaluation:
    """V = mean_i v(x_i0): what the model says of the first states. Its spread knows nothing of the model's error.

    Source: Le, Voloshin & Yue 2019, "Batch policy learning under constraints", alg. 3.
    """
    return average_episodes(target.v[logged.first].mean(axis=1), np.ones(logged.n_episodes))


@dataclass(frozen=True, slots=True, repr=False)
class LinearValues:
    """q(x, a) = location + spread * ((x - mean) / scale . coefficients_a + intercept_a), in units of reward."""

    scale: FeatureScale  # of the algorithm that is evaluated
    coefficients: NDArray[np.float64]  # (d, K)
    intercepts: NDArray[np.float64]  # (K,)
    spread: float  # of the rewards it was fitted on: values are fitted in this unit and told in that of the reward

    def along(
        self, features: NDArray[np.float32], action: NDArray[np.int64], probabilities: NDArray[np.float64]
    ) -> EpisodicTarget:
        """The target along n steps with raw features (n, d), as the policy reads them."""
        q = self.predict(features)
        v = (probabilities * q).sum(axis=1)
        return EpisodicTarget(probabilities, q[np.arange(len(q)), action][:, None], v[:, None], np.ones((len(q), 1)))

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, K) action values."""
        values: NDArray[np.float64] = _scaled(features, self.scale) @ self.coefficients + self.intercepts
        return values * self.spread

    def __repr__(self) -> str:
        return f"LinearValues(coefficients={self.coefficients.shape})"


def fit_linear(
    logged: LoggedEpisodes,
    features: NDArray[np.float32],
    probabilities: NDArray[np.float64],
    *,
    scale: FeatureScale,
) -> LinearValues:
    """Repeat q <- ridge regression of r + gamma sum_a probabilities_a(x') q(x', a) on the features, one per action.

    `features` (n, d) are raw; `scale` is the algorithm's own standardisation, which the regression reads them through
    (forgetting it makes policies disagree with themselves on half of the rows). `probabilities` (n, K): the expectation
    is over the served distribution, not the greedy action. Rewards are divided by their spread inside and values
    multiplied by it again. Raises DegenerateData when the iteration does not settle within 500 rounds.
    Caveat: linear values of a curved truth are biased, and no number of rows tells.
    """
    n_actions = probabilities.shape[1]
    spread = float(logged.reward.std()) or 1.0
    x = np.hstack([_scaled(features, scale), np.ones((logged.n, 1))])
    penalty = PENALTY * np.eye(x.shape[1])
    penalty[-1, -1] = 1e-9  # the intercept is all but free; an action never logged keeps 0
    taken = [logged.action == a for a in range(n_actions)]
    solvers = [np.linalg.solve(x[rows].T @ x[rows] + penalty, x[rows].T) for rows in taken]
    weights = np.zeros((x.shape[1], n_actions))
    for _ in range(MOST_ITERATIONS):
        v = (probabilities * (x @ weights)).sum(axis=1)
        target = logged.reward / spread + logged.gamma * logged.next_of(v)
        renewed = np.stack([solve @ target[rows] for solve, rows in zip(solvers, taken, strict=True)], axis=1)
        moved = float(np.abs(x @ (renewed - weights)).max())
        weights = renewed
        if moved <= TOLERANCE:
            return LinearValues(scale, weights[:-1], weights[-1], spread)
    raise DegenerateData(
        f"fitted Q evaluation did not settle: expected values that move by less than {TOLERANCE:g} within "
        f"{MOST_ITERATIONS} rounds, got {moved:g}. Use a discount below 1, or fewer features."
    )


def _scaled(features: NDArray[np.float32], scale: FeatureScale) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = ((features - scale.mean) / scale.scale).astype(np.float64)
    return scaled
