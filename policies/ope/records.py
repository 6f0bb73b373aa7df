"""What an estimator reads and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData

EstimatorName = Literal["ips", "snips", "dm", "dr", "median_of_means"]
TargetName = Literal["champion", "challenger", "difference"]

SUM_TOLERANCE: Final = 1e-5  # of a distribution's sum: float32 probabilities of an ONNX head over 100 actions


@dataclass(frozen=True, slots=True)
class Estimate:
    """A policy value (or the paired difference challenger - champion), in units of reward.

    `lower` and `upper`: two-sided 95 % normal interval, clustered by unit, good for one look at a fixed number
    of rows. For reports only: it is far too narrow for a small effective sample size, and a decision taken
    when it first excludes 0 is wrong in 14-82 % of equal pairs (the gate has its own interval).
    """

    estimator: EstimatorName
    policy: TargetName
    value: float
    lower: float
    upper: float
    standard_error: float
    effective_sample_size: float  # (sum w)^2 / sum w^2 of the weights summed by unit (times the rows'); in units
    n: int
    n_units: int
    weight_maximum: float  # of |w1 - w0| for the difference; 1 for dm, which weighs every row alike
    clipped: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class LoggedRewards:
    """n logged decisions over K actions, and a reward model fitted on other rows.

    Raises DegenerateData when shapes differ, a number is not finite, an action is outside [0, K), a
    propensity is outside (0, 1], or a weight is not above 0.
    """

    action: NDArray[np.int64]  # (n,)
    reward: NDArray[np.float64]  # (n,)
    propensity: NDArray[np.float64]  # (n,) of the logged action
    reward_model: NDArray[np.float64]  # (n, K) predicted reward
    unit: NDArray[np.int64]  # (n,) codes 0 ... n_units - 1
    weight: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # (n,) rows each stands for; empty: one

    def __post_init__(self) -> None:
        shape = self.reward_model.shape
        if len(shape) != 2 or shape[0] == 0 or shape[1] == 0:
            raise DegenerateData(f"no rows to evaluate: expected a reward model of shape (n, K), got {shape}.")
        if not len(self.weight):
            object.__setattr__(self, "weight", np.ones(shape[0]))
        for name in ("action", "reward", "propensity", "unit", "weight"):
            if getattr(self, name).shape != shape[:1]:
                got = getattr(self, name).shape
                raise DegenerateData(f"bad {name} in the logged rows: expected shape {shape[:1]}, got {got}.")
        inside = (self.action >= 0) & (self.action < shape[1])
        _require(inside, "action", f"codes in [0, {shape[1]})", self.action)
        _require(np.isfinite(self.reward), "reward", "finite numbers", self.reward)
        _require((self.propensity > 0) & (self.propensity <= 1), "propensity", "(0, 1]", self.propensity)
        _require(np.isfinite(self.reward_model), "reward_model", "finite numbers", self.reward_model)
        _require(np.isfinite(self.weight) & (self.weight > 0), "weight", "finite numbers above 0", self.weight)

    @property
    def n(self) -> int:
        return len(self.action)

    @property
    def n_units(self) -> int:
        return int(self.unit.max()) + 1

    @property
    def relative_weight(self) -> NDArray[np.float64]:
        """(n,) row weights of mean 1."""
        relative: NDArray[np.float64] = self.weight / self.weight.mean()
        return relative

    def __repr__(self) -> str:
        return f"LoggedRewards(n={self.n}, n_actions={self.reward_model.shape[1]}, n_units={self.n_units})"


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """A value and what each row contributes to its error."""

    value: float
    influence: NDArray[np.float64]  # (n,), mean 0 up to rounding; its clustered spread is the standard error
    weights: NDArray[np.float64]  # (n,)

    def __sub__(self, other: Evaluation) -> Evaluation:
        """The paired difference on the same rows; exactly 0 for two equal evaluations."""
        return Evaluation(
            self.value - other.value, self.influence - other.influence, np.abs(self.weights - other.weights)
        )

    def __repr__(self) -> str:
        return f"Evaluation(value={self.value:g}, n={len(self.influence)})"


def weighted_mean(terms: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """sum_i weight_i terms_i / sum_i weight_i of (n,) terms: the mean of the log before it was sampled down.

    Source: Hajek 1971. With equal weights of 1 it is the plain mean, to the bit.
    """
    return float((terms * weight).sum() / weight.sum())


def average(terms: NDArray[np.float64], logged: LoggedRewards, weights: NDArray[np.float64]) -> Evaluation:
    """The evaluation whose value is the weighted mean of (n,) terms; `weights` (n,) are importance weights."""
    value = weighted_mean(terms, logged.weight)
    return Evaluation(value, (terms - value) * logged.relative_weight, weights)


def check_target(target: NDArray[np.float64], logged: LoggedRewards, *, name: TargetName) -> NDArray[np.float64]:
    """Return `target` (n, K) when every row is a distribution; raises DegenerateData otherwise."""
    if target.shape != logged.reward_model.shape:
        raise DegenerateData(
            f"bad probabilities of the {name}: expected shape {logged.reward_model.shape}, got {target.shape}."
        )
    good = (target >= 0).all(axis=1) & (np.abs(target.sum(axis=1) - 1) <= SUM_TOLERANCE)
    _require(good, f"probabilities of the {name}", "rows >= 0 that sum to 1", target.sum(axis=1))
    return target


def logged_weights(logged: LoggedRewards, target: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) importance weights, unclipped: target probability of the logged action / its propensity."""
    weights: NDArray[np.float64] = target[np.arange(logged.n), logged.action] / logged.propensity
    return weights


def _require(good: NDArray[np.bool_], what: str, rule: str, values: NDArray[np.generic]) -> None:
    if good.all():
        return
    bad = values[~good]
    examples = ", ".join(f"{value:g}" for value in bad.ravel()[:5])
    raise DegenerateData(f"bad {what} in the logged rows: expected {rule}, got {len(bad)} others ({examples}).")
