"""A reward model of another class than the ridge: one small regression tree per action.

The gate's verdict never rests on it; its DR estimate beside the first one's shows whether the model matters.
When not to use it: for extrapolation, or as the gate's own model where rewards are near linear in the features.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LEAVES: Final = 16  # of a tree
LEAST_ROWS: Final = 100  # in a leaf; an action with fewer than twice as many gets its mean
NODE_ARRAYS: Final = ("feature", "threshold", "children_left", "children_right", "value")


@dataclass(frozen=True, slots=True, repr=False)
class TreeRewardModel:
    """q(x, a): the mean reward of the training rows that tree a puts into the leaf of x."""

    trees: tuple[Any | None, ...]  # (K,) sklearn DecisionTreeRegressor; None: never logged
    default: float  # mean reward, for actions that were never logged
    bounds: tuple[float, float]

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, K) predicted rewards of features (n, d), inside the reward's bounds."""
        single = np.ascontiguousarray(features, np.float32)
        predicted = np.full((len(features), len(self.trees)), self.default)
        for a, tree in enumerate(self.trees):
            if tree is not None and len(features):
                predicted[:, a] = tree.predict(single, check_input=False)
        clipped: NDArray[np.float64] = np.clip(predicted, *self.bounds)
        return clipped

    @property
    def sha256(self) -> str:
        """Hash of the fitted numbers."""
        digest = hashlib.sha256(repr((self.default, self.bounds, len(self.trees))).encode())
        for a, tree in enumerate(self.trees):
            if tree is None:
                continue
            for name in NODE_ARRAYS:
                values = np.ascontiguousarray(getattr(tree.tree_, name), dtype="<f8")
                digest.update(f"{a}.{name}{values.shape}".encode() + values.tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"TreeRewardModel(n_actions={len(self.trees)})"


def fit_tree_reward_model(
    features: NDArray[np.float64],
    action: NDArray[np.int64],
    reward: NDArray[np.float64],
    *,
    n_actions: int,
    weight: NDArray[np.float64] | None = None,
    reward_minimum: float,
    reward_maximum: float,
) -> TreeRewardModel:
    """Fit one least-squares tree per action: at most 16 leaves of at least 100 rows each. Deterministic.

    `features` (n, d) with n > 0, `action` (n,) codes, `reward` (n,), `weight` (n,) > 0 or None: what each row counts.
    Source: Breiman, Friedman, Olshen & Stone 1984. Caveat: features are compared as float32.
    """
    from sklearn.tree import DecisionTreeRegressor

    weight = np.ones(len(reward)) if weight is None else weight
    trees: list[Any | None] = []
    for a in range(n_actions):
        rows = action == a
        tree = DecisionTreeRegressor(max_leaf_nodes=LEAVES, min_samples_leaf=LEAST_ROWS, random_state=0)
        fits = rows.any()
        trees.append(tree.fit(features[rows].astype(np.float32), reward[rows], weight[rows]) if fits else None)
    default = float((reward * weight).sum() / weight.sum())
    return TreeRewardModel(trees=tuple(trees), default=default, bounds=(reward_minimum, reward_maximum))
