"""The linear baseline: reward regressed on the features, one ridge regression per action, in closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from d3rlpy.dataset import TransitionMiniBatch

PENALTY = 1.0  # of the squared weights (not of the intercept), in rows: features are standardised


class RidgeLearner:
    """Ridge regression of the reward on the features, one per action, in closed form from running sums.

    An action that was never logged gets the least reward seen. Caveat: one step ahead only, no episodes.
    """

    def __init__(self, *, n_features: int, n_actions: int) -> None:
        self._gram = np.zeros((n_actions, n_features + 1, n_features + 1))
        self._moment = np.zeros((n_actions, n_features + 1))
        self._least_reward = math.inf

    def update(self, batch: TransitionMiniBatch, weight: NDArray[np.float64] | None = None) -> dict[str, float]:
        """Add the rows of a batch; `weight` (b,) counts them as so many rows each (None: as one)."""
        features = np.hstack([batch.observations, np.ones_like(batch.rewards)]).astype(np.float64)
        reward, action = batch.rewards[:, 0].astype(np.float64), batch.actions[:, 0].astype(np.int64)
        self._least_reward = min(self._least_reward, float(reward.min()))
        if weight is not None:  # squared errors times w are squared errors of rows scaled by sqrt(w)
            features, reward = features * np.sqrt(weight)[:, None], reward * np.sqrt(weight)
        for a in np.unique(action):
            x = features[action == a]
            self._gram[a] += x.T @ x
            self._moment[a] += x.T @ reward[action == a]
        return {}

    def scores_module(self) -> torch.nn.Module:
        import torch

        n_actions, width = self._moment.shape
        penalty = PENALTY * np.eye(width)
        penalty[-1, -1] = 0  # the intercept is free
        solution = np.zeros((n_actions, width))
        solution[:, -1] = self._least_reward
        logged = self._gram[:, -1, -1] > 0
        solution[logged] = np.linalg.solve(self._gram[logged] + penalty, self._moment[logged][..., None])[..., 0]
        module = torch.nn.Linear(width - 1, n_actions)
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(solution[:, :-1]))
            module.bias.copy_(torch.from_numpy(solution[:, -1]))
        return module

    def start_from(self, weights: Mapping[str, NDArray[np.float32]]) -> int:
        return 0  # a closed form has no starting point
