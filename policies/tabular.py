"""One step of policy improvement over a finite state: action values of the behavior policy itself, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData

if TYPE_CHECKING:
    import torch
    from d3rlpy.dataset import TransitionMiniBatch

MOST_STATES: Final = 3_000  # distinct observations; the values are one dense solve
ACTION_PRIOR: Final = 100.0  # rows of an action that count as much as its state's mean


class TabularLearner:
    """q(x, a) = mean of r + gamma v(x') over the rows of (x, a), drawn towards v(x) by 100 rows.

    v solves v(x) n(x) = sum_i (r_i + gamma v(x'_i)): the value of the policies that logged the rows. A head over these
    scores improves on them by one step, which needs no off-policy weights and no bootstrapping of unseen actions.
    Every distinct observation is a state; one that training never saw is scored as the nearest.
    Source: Brandfonbrener, Whitney, Ranganath & Bruna 2021, "Offline RL without off-policy evaluation".
    When not to use it: with more than 3,000 distinct observations, or where several steps of improvement are wanted.
    """

    def __init__(self, *, gamma: float, n_actions: int) -> None:
        self._gamma = gamma
        self._n_actions = n_actions
        self._parts: list[tuple[NDArray[np.float64], ...]] = []

    def update(self, batch: TransitionMiniBatch, weight: NDArray[np.float64] | None = None) -> dict[str, float]:
        """Keep the rows of a batch; `weight` (b,) counts them as so many rows each (None: as one)."""
        counted = np.ones(len(batch.rewards)) if weight is None else weight
        columns = (batch.actions[:, 0], batch.rewards[:, 0], batch.terminals[:, 0], counted)
        scalars = tuple(np.asarray(c, np.float64) for c in columns)
        self._parts.append((batch.observations, batch.next_observations, *scalars))
        return {}

    def scores_module(self) -> torch.nn.Module:
        import torch

        class Lookup(torch.nn.Module):
            states: torch.Tensor
            values: torch.Tensor

            def __init__(self, states: NDArray[np.float32], values: NDArray[np.float32]) -> None:
                super().__init__()
                self.register_buffer("states", torch.from_numpy(states))
                self.register_buffer("values", torch.from_numpy(values))

            def forward(self, features: torch.Tensor) -> torch.Tensor:
                distance = (features.unsqueeze(1) - self.states.unsqueeze(0)).abs().sum(dim=2)
                found: torch.Tensor = self.values[distance.argmin(dim=1)]
                return found

        return Lookup(*self._solve())

    def start_from(self, weights: Mapping[str, NDArray[np.float32]]) -> int:
        return 0  # a closed form has no starting point

    def _solve(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """States (S, d) as scaled features, and their action values (S, K)."""
        here, there, action, reward, terminal, weight = (np.concatenate(c) for c in zip(*self._parts, strict=True))
        states, state = np.unique(here, axis=0, return_inverse=True)
        if len(states) > MOST_STATES:
            raise DegenerateData(
                f"too many states for a tabular policy: expected at most {MOST_STATES:,} distinct observations, got "
                f"{len(states):,}. Tag fewer or coarser columns as observations, or train cql or bcq."
            )
        goes_on = terminal == 0
        follows = _codes(states, there[goes_on])
        n, k = len(states), self._n_actions
        pair = state[goes_on] * n + follows
        flow = np.bincount(pair, weights=weight[goes_on], minlength=n * n).reshape(n, n)
        visits = np.bincount(state, weights=weight, minlength=n)
        earned = np.bincount(state, weights=weight * reward, minlength=n)
        # one row's weight of ending with nothing: solvable where states only lead to each other and gamma is 1
        v = np.linalg.solve(np.diag(visits + 1.0) - self._gamma * flow, earned)
        target = reward.copy()
        target[goes_on] += self._gamma * v[follows]
        cell = state * k + action.astype(np.int64)
        sums = np.bincount(cell, weights=weight * target, minlength=n * k).reshape(n, k)
        counts = np.bincount(cell, weights=weight, minlength=n * k).reshape(n, k)
        values = (sums + ACTION_PRIOR * v[:, None]) / (counts + ACTION_PRIOR)
        return states.astype(np.float32), values.astype(np.float32)


def _codes(states: NDArray[np.float32], features: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n,) index in `states` (S, d) of features (n, d); of the nearest where a state was only ever the last one."""
    distinct, code = np.unique(features, axis=0, return_inverse=True)
    distance = np.stack([np.abs(states - one).sum(axis=1) for one in distinct]) if len(distinct) else np.empty((0, 1))
    nearest: NDArray[np.int64] = distance.argmin(axis=1)[code]
    return nearest
