"""What an estimator reads and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData

EstimatorName = Literal["ips", "snips", "dm", "dr", "median_of_means", "balanced"]
TargetName = Literal["champion", "challenger", "difference"]

TINY: Final = float(np.nextafter(0.0, 1.0))  # the least number above 0
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
    weighted: bool = field(init=False)  # False: every row stands for one, and nothing need be multiplied by it

    def __post_init__(self) -> None:
        shape = self.reward_model.shape
        if len(shape) != 2 or shape[0] == 0 or shape[1] == 0:
            raise DegenerateData(f"no rows to evaluate: expected a reward model of shape (n, K), got {shape}.")
        if not len(self.weight):
            object.__setattr__(self, "weight", np.broadcast_to(1.0, shape[:1]))
        for name in ("action", "reward", "propensity", "unit", "weight"):
            if getattr(self, name).shape != shape[:1]:
                got = getattr(self, name).shape
                raise DegenerateData(f"bad {name} in the logged rows: expected shape {shape[:1]}, got {got}.")
        unit_weights = self.weight.min() == 1 == self.weight.max()
        object.__setattr__(self, "weighted", not unit_weights)
        last, most = shape[1] - 1, np.finfo(np.float64).max
        _require_within(self.action, 0, last, name="action", rule=f"codes in [0, {shape[1]})")
        _require_within(self.reward, -most, most, name="reward", rule="finite numbers")
        _require_within(self.propensity, TINY, 1.0, name="propensity", rule="(0, 1]")
        if not np.isfinite((self.reward_model @ np.ones(shape[1])).sum()):  # cheaper than two passes for the extremes
            _require_within(self.reward_model, -most, most, name="reward_model", rule="finite numbers")
        _require_within(self.weight, TINY, most, name="weight", rule="finite numbers above 0")

    @property
    def n(self) -> int:
        return len(self.action)

    @property
    def n_units(self) -> int:
        return int(self.unit.max()) + 1

    @property
    def relative_weight(self) -> NDArray[np.float64]:
        """(n,) row weights of mean 1."""
        relative: NDArray[np.float64] = self.weight / self.weight.mean() if self.weighted else self.weight
        return relative

    def mean(self, terms: NDArray[np.float64]) -> float:
        """The weighted mean of (n,) terms."""
        return weighted_mean(terms, self.weight) if self.weighted else float(terms.sum()) / self.n

    def reweighted(self, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) terms times the relative weight of their rows."""
        return terms * self.relative_weight if self.weighted else terms

    def __repr__(self) -> str:
        return f"LoggedRewards(n={self.n}, n_actions={self.reward_model.shape[1]}, n_units={self.n_units})"


@dataclass(frozen=True, slots=True, repr=False)
class Terms:
    """What one-step estimators read of n rows and one target policy, computed once for all of them."""

    logged: LoggedRewards
    weights: NDArray[np.float64]  # (n,) target probability of the logged action / its propensity; never clipped
    direct: NDArray[np.float64]  # (n,) sum_a target(a|x) q(x, a)
    predicted: NDArray[np.float64]  # (n,) q(x, a) of the logged action

    def __repr__(self) -> str:
        return f"Terms(n={self.logged.n})"


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
    value = logged.mean(terms)
    return Evaluation(value, logged.reweighted(terms - value), weights)


def check_target(target: NDArray[np.float64], logged: LoggedRewards, *, name: TargetName) -> NDArray[np.float64]:
    """Return `target` (n, K) when every row is a distribution; raises DegenerateData otherwise."""
    if target.shape != logged.reward_model.shape:
        raise DegenerateData(
            f"bad probabilities of the {name}: expected shape {logged.reward_model.shape}, got {target.shape}."
        )
    total = target @ np.ones(target.shape[1])
    if not (target.min() >= 0 and total.min() >= 1 - SUM_TOLERANCE and total.max() <= 1 + SUM_TOLERANCE):
        bad = ~((target >= 0).all(axis=1) & (total >= 1 - SUM_TOLERANCE) & (total <= 1 + SUM_TOLERANCE))
        raise _bad_rows(total[bad], f"probabilities of the {name}", "rows >= 0 that sum to 1")
    return target


def target_terms(logged: LoggedRewards, target: NDArray[np.float64]) -> Terms:
    """The terms of a target policy with probabilities (n, K)."""
    place = np.arange(0, target.size, target.shape[1])
    place += logged.action
    weights = np.take(target, place)
    weights /= logged.propensity
    return Terms(
        logged=logged,
        weights=weights,
        direct=np.einsum("ij,ij->i", target, logged.reward_model),
        predicted=np.take(logged.reward_model, place),
    )


def _require_within(
    values: NDArray[np.float64] | NDArray[np.int64], low: float, high: float, *, name: str, rule: str
) -> None:
    """Raises DegenerateData unless all values lie in [low, high]; NaN lies nowhere."""
    if not (values.min() >= low and values.max() <= high):  # no array of truths in the good case
        raise _bad_rows(values[~((values >= low) & (values <= high))], name, rule)


def _bad_rows(bad: NDArray[np.generic], what: str, rule: str) -> DegenerateData:
    examples = ", ".join(f"{value:g}" for value in bad.ravel()[:5])
    return DegenerateData(f"bad {what} in the logged rows: expected {rule}, got {len(bad)} others ({examples}).")
