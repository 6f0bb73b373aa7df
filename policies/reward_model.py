"""A reward model q(x, a): two closed-form ridge regressions, for the direct part of DR and for DM.

It is fitted on rows before the gate window and never has to be right: a bad one costs power, not validity.
When not to use it: as a policy, or where rewards are far from linear and DM would be believed.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData

PENALTIES: Final = tuple(float(10**k) for k in range(6))  # of the squared coefficients, on standardised features


@dataclass(frozen=True, slots=True, repr=False)
class RewardModel:
    """q(x, a) = clip(intercept_a + ((x - mean) / scale) . coefficients_a, minimum, maximum); d features, K actions."""

    mean: NDArray[np.float64]  # (d,)
    scale: NDArray[np.float64]  # (d,)
    coefficients: NDArray[np.float64]  # (d, K)
    intercepts: NDArray[np.float64]  # (K,)
    bounds: NDArray[np.float64]  # (2,) least and largest possible reward

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, K) predicted rewards of features (n, d), inside the reward's bounds."""
        _require(
            features.ndim == 2 and features.shape[1] == len(self.mean), f"features (n, {len(self.mean)})", features
        )
        scores = (features.astype(np.float64) - self.mean) / self.scale @ self.coefficients + self.intercepts
        return np.clip(scores, self.bounds[0], self.bounds[1])

    @property
    def sha256(self) -> str:
        """Hash of the fitted numbers."""
        digest = hashlib.sha256()
        for field in fields(self):
            values = np.ascontiguousarray(getattr(self, field.name), dtype="<f8")
            digest.update(f"{field.name}{values.shape}".encode() + values.tobytes())
        return digest.hexdigest()

    def to_npz(self) -> bytes:
        """The bytes of an .npz file, without pickles."""
        stream = io.BytesIO()
        np.savez(
            stream,
            mean=self.mean,
            scale=self.scale,
            coefficients=self.coefficients,
            intercepts=self.intercepts,
            bounds=self.bounds,
        )
        return stream.getvalue()

    def __repr__(self) -> str:
        return f"RewardModel(n_features={len(self.mean)}, n_actions={len(self.intercepts)})"


def load_reward_model(npz: bytes) -> RewardModel:
    """The model that `to_npz` wrote; a file with pickles in it is refused by NumPy."""
    with np.load(io.BytesIO(npz), allow_pickle=False) as arrays:
        return RewardModel(**{field.name: arrays[field.name] for field in fields(RewardModel)})


def fit_reward_model(
    features: NDArray[np.float64],
    action: NDArray[np.int64],
    reward: NDArray[np.float64],
    *,
    n_actions: int,
    action_features: NDArray[np.float64] | None = None,
    weight: NDArray[np.float64] | None = None,
    reward_minimum: float,
    reward_maximum: float,
) -> RewardModel:
    """Fit q(x, a) = pooled(x, a) + own_a(x), each by ridge regression with its penalty chosen by leave-one-out.

    First one regression over all rows on standardised features, action one-hot and action features; then one
    per action on what is left, all with one penalty, so that an action with few rows stays near the pool.

    `features` (n, d), `action` (n,) codes, `reward` (n,), `action_features` (K, m) or None, `weight` (n,) > 0: how
    much each row's squared error counts (None: alike; only ratios matter). Deterministic.
    Raises DegenerateData when shapes differ, a number is not finite, or the reward's bounds are not an interval.
    Source: Hoerl & Kennard 1970; leave-one-out residual e_i / (1 - h_i): Golub, Heath & Wahba 1979, eq. 1.4;
    both hold for rows scaled by the square root of their weight.
    """
    features = features.astype(np.float64)
    _check(features, action, reward, n_actions, (reward_minimum, reward_maximum))
    weight = _relative(weight, n=len(reward))
    mean = _mean(features, weight)
    spread = np.sqrt(_mean((features - mean) ** 2, weight))
    scale = np.where(spread > 0, spread, 1.0)  # a constant column becomes 0
    standard = (features - mean) / scale
    described = _describe_actions(n_actions, action_features)

    root = np.sqrt(weight)
    centre = float(_mean(reward, weight))
    pooled = _ridge([(np.hstack([standard, described[action]]) * root[:, None], (reward - centre) * root)])[0]
    d = features.shape[1]
    left = reward - centre - standard @ pooled[:d] - described[action] @ pooled[d:]

    with_constant = np.hstack([standard, np.ones((len(reward), 1))]) * root[:, None]
    left = left * root
    own = np.stack(_ridge([(with_constant[action == a], left[action == a]) for a in range(n_actions)]), axis=1)
    return RewardModel(
        mean=mean,
        scale=scale,
        coefficients=pooled[:d, None] + own[:d],
        intercepts=centre + described @ pooled[d:] + own[d],
        bounds=np.array([reward_minimum, reward_maximum]),
    )


def _relative(weight: NDArray[np.float64] | None, *, n: int) -> NDArray[np.float64]:
    """(n,) weights of mean 1, so that a penalty means as many rows as without; exactly 1 where all are equal."""
    if weight is None or (weight.shape == (n,) and (weight == weight[0]).all() and weight[0] > 0):
        return np.ones(n)
    good = weight.shape == (n,) and bool((np.isfinite(weight) & (weight > 0)).all())
    _require(good, f"finite weights ({n},) above 0", weight)
    relative: NDArray[np.float64] = weight * (n / weight.sum())
    return relative


def _mean(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean over rows of (n,) or (n, d) values."""
    column = weight if values.ndim == 1 else weight[:, None]
    mean: NDArray[np.float64] = (values * column).sum(axis=0) / weight.sum()
    return mean


def _describe_actions(n_actions: int, action_features: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """(K, K + m) one-hot and standardised features of the actions."""
    if action_features is None:
        return np.eye(n_actions)
    fits = action_features.ndim == 2 and len(action_features) == n_actions and bool(np.isfinite(action_features).all())
    _require(fits, f"finite action features ({n_actions}, m)", action_features)
    spread = action_features.std(axis=0)
    standard = (action_features - action_features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.hstack([np.eye(n_actions), standard])


def _ridge(groups: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> list[NDArray[np.float64]]:
    """Coefficients of every group's (n_g, p), (n_g,) regression, with the one penalty of least leave-one-out error."""
    solved = [_decompose(x, y) for x, y in groups]
    errors = [sum(_leave_one_out(*parts, penalty=penalty) for parts in solved) for penalty in PENALTIES]
    best = PENALTIES[int(np.argmin(errors))]
    return [vectors @ (targets / (values + best)) for _, _, values, vectors, targets in solved]


_Parts = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _decompose(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Parts:
    """Rotated rows, y, eigenvalues, eigenvectors and rotated X'y of X'X = V diag(values) V'."""
    values, vectors = np.linalg.eigh(x.T @ x)
    rotated = x @ vectors
    return rotated, y, np.maximum(values, 0.0), vectors, rotated.T @ y


def _leave_one_out(
    rotated: NDArray[np.float64],
    y: NDArray[np.float64],
    values: NDArray[np.float64],
    _vectors: NDArray[np.float64],
    targets: NDArray[np.float64],
    *,
    penalty: float,
) -> float:
    """Sum of squared errors of predicting each row from all others."""
    leverage = np.einsum("ij,j,ij->i", rotated, 1 / (values + penalty), rotated)
    residual = y - rotated @ (targets / (values + penalty))
    return float(((residual / (1 - leverage)) ** 2).sum())


def _check(
    features: NDArray[np.float64],
    action: NDArray[np.int64],
    reward: NDArray[np.float64],
    n_actions: int,
    bounds: tuple[float, float],
) -> None:
    n = len(reward)
    _require(n > 0 and features.ndim == 2 and len(features) == n, f"features ({n}, d) with n > 0", features)
    _require(bool(np.isfinite(features).all()), "finite features", features[~np.isfinite(features)])
    _require(action.shape == (n,) and reward.shape == (n,), f"action and reward ({n},)", action)
    _require(bool(np.isfinite(reward).all()), "finite rewards", reward[~np.isfinite(reward)])
    outside = action[(action < 0) | (action >= n_actions)]
    _require(not len(outside), f"actions in [0, {n_actions})", outside)
    _require(bool(np.isfinite(bounds).all()) and bounds[0] < bounds[1], "reward minimum < maximum", np.array(bounds))


def _require(good: bool, rule: str, values: NDArray[np.generic]) -> None:
    if not good:
        examples = ", ".join(str(value) for value in values.ravel()[:5])
        raise DegenerateData(
            f"bad rows for the reward model: expected {rule}, got shape {values.shape} ({examples}). "
            "Check the snapshot that the challenger was trained on."
        )
