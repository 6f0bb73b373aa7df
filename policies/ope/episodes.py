"""What the episodic estimators read: logged episodes, and a target policy with its models along them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.ope.records import Evaluation


@dataclass(frozen=True, slots=True, repr=False)
class LoggedEpisodes:
    """n steps of m episodes, flat, in order of (episode, step).

    `step` counts from 0 without gaps; only an episode's last step is terminated or truncated. The return of an
    episode is sum_t gamma^t r_t over its logged steps: after a truncation nothing more is counted.
    Raises DegenerateData when shapes differ, an order or range does not hold, or a number is not finite.
    """

    episode: NDArray[np.int64]  # (n,) codes 0 ... m - 1, not decreasing
    step: NDArray[np.int64]  # (n,)
    action: NDArray[np.int64]  # (n,)
    reward: NDArray[np.float64]  # (n,)
    propensity: NDArray[np.float64]  # (n,) of the logged action, in (0, 1]
    terminated: NDArray[np.bool_]  # (n,)
    truncated: NDArray[np.bool_]  # (n,)
    gamma: float = 1.0  # in (0, 1]
    unit: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # (m,) codes; empty: one each

    def __post_init__(self) -> None:
        n = len(self.action)
        for name in ("episode", "step", "reward", "propensity", "terminated", "truncated"):
            _require(getattr(self, name).shape == (n,), f"{name} of shape ({n},)", getattr(self, name).shape)
        _require(n > 0, "at least one step", 0)
        _require(0 < self.gamma <= 1, "gamma in (0, 1]", self.gamma)
        starts = self.first
        ordered = self.episode[0] == 0 and bool((np.diff(self.episode)[~starts[1:]] == 0).all())
        _require(ordered and bool((np.diff(self.episode) <= 1).all()), "episode codes 0, 1, 2, ...", self.episode[:5])
        follows = starts[1:] | (np.diff(self.step) == 1)
        _require(bool((self.step[starts] == 0).all() and follows.all()), "steps 0, 1, 2, ... in every episode", "gaps")
        ended = (self.terminated | self.truncated)[:-1] & ~starts[1:]
        _require(not ended.any(), "no step after the end of its episode", int(ended.sum()))
        _require(bool(np.isfinite(self.reward).all()), "finite rewards", "others")
        good = (self.propensity > 0) & (self.propensity <= 1)
        _require(bool(good.all()), "propensities in (0, 1]", self.propensity[~good][:5])
        if not len(self.unit):
            object.__setattr__(self, "unit", np.arange(self.n_episodes, dtype=np.int64))
        _require(self.unit.shape == (self.n_episodes,), f"a unit for {self.n_episodes} episodes", self.unit.shape)

    @property
    def n(self) -> int:
        return len(self.action)

    @property
    def n_episodes(self) -> int:
        return int(self.episode[-1]) + 1

    @property
    def first(self) -> NDArray[np.bool_]:
        """(n,) whether the step is the first of its episode."""
        return np.diff(self.episode, prepend=-1) > 0

    @property
    def last(self) -> NDArray[np.bool_]:
        """(n,) whether the step is the last logged one of its episode."""
        return np.diff(self.episode, append=self.episode[-1] + 1) > 0

    @property
    def discount(self) -> NDArray[np.float64]:
        """(n,) gamma^step."""
        powers: NDArray[np.float64] = np.power(self.gamma, self.step.astype(np.float64))
        return powers

    @property
    def returns(self) -> NDArray[np.float64]:
        """(m,) sum_t gamma^t r_t."""
        return self.total(self.discount * self.reward)

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m,) sums of (n,) values over the steps of each episode."""
        return np.bincount(self.episode, weights=values, minlength=self.n_episodes).astype(np.float64, copy=False)

    def next_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, ...) `values` at the next step of the episode, 0 at its last one."""
        following = np.zeros_like(values)
        following[:-1] = values[1:]
        following[self.last] = 0.0
        return following

    def select(self, chosen: NDArray[np.bool_]) -> tuple[LoggedEpisodes, NDArray[np.bool_]]:
        """The episodes in the mask `chosen` (m,), numbered afresh, and the mask (n,) of their steps."""
        rows = chosen[self.episode]
        arrays = {name: getattr(self, name)[rows] for name in _STEP_FIELDS}
        code = (np.cumsum(chosen) - 1)[arrays.pop("episode")]
        units = np.unique(self.unit[chosen], return_inverse=True)[1].astype(np.int64)
        return LoggedEpisodes(episode=code, **arrays, gamma=self.gamma, unit=units), rows

    def __repr__(self) -> str:
        return f"LoggedEpisodes(n={self.n}, n_episodes={self.n_episodes}, gamma={self.gamma:g})"


_STEP_FIELDS = ("episode", "step", "action", "reward", "propensity", "terminated", "truncated")


@dataclass(frozen=True, slots=True, repr=False)
class EpisodicTarget:
    """A target policy along n logged steps over K actions, and what models of other episodes say of it.

    The models come in F versions. In version f, `ratio` was fitted on other episodes than `q` and `v`: errors of the
    two multiply in the marginalized estimator, and where they share noise the product does not average out.
    """

    probabilities: NDArray[np.float64]  # (n, K)
    q: NDArray[np.float64]  # (n, F) value of the logged step's action, and of the policy after it
    v: NDArray[np.float64]  # (n, F) sum_a probabilities_a q_a, for the same models
    ratio: NDArray[np.float64]  # (n, F) visits of the step's state under the target / under the log

    def __repr__(self) -> str:
        return f"EpisodicTarget(n={len(self.q)}, n_models={self.q.shape[1]})"


def without_models(probabilities: NDArray[np.float64]) -> EpisodicTarget:
    """A target whose values are all modelled as 0: DR-PDIS is PDIS then."""
    nothing = np.zeros((len(probabilities), 1))
    return EpisodicTarget(probabilities, nothing, nothing, np.ones_like(nothing))


def step_weights(logged: LoggedEpisodes, target: EpisodicTarget) -> NDArray[np.float64]:
    """(n,) importance weight of each single step: target probability of the logged action / its propensity."""
    weights: NDArray[np.float64] = target.probabilities[np.arange(logged.n), logged.action] / logged.propensity
    return weights


def cumulative_weights(logged: LoggedEpisodes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) product of (n,) step weights from the episode's first step up to and with each step, unclipped."""
    product = weights.copy()
    order = np.argsort(logged.step, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(logged.step[order])) + 1)[1:]:
        product[rows] *= product[rows - 1]
    return product


def residuals(logged: LoggedEpisodes, target: EpisodicTarget) -> NDArray[np.float64]:
    """(n, F) temporal differences r_t + gamma v_{t+1} - q_t, with v = 0 after an episode's last step."""
    found: NDArray[np.float64] = logged.reward[:, None] + logged.gamma * logged.next_of(target.v) - target.q
    return found


def average_episodes(terms: NDArray[np.float64], weights: NDArray[np.float64]) -> Evaluation:
    """The evaluation whose value is the mean of (m,) episodes' terms; `weights` (m,) are the terminal ones."""
    value = float(terms.mean())
    return Evaluation(value, terms - value, weights)


def terminal(logged: LoggedEpisodes, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) values of (n,) at each episode's last step."""
    return values[logged.last]


def _require(good: bool, rule: str, got: object) -> None:
    if not good:
        raise DegenerateData(f"bad logged episodes: expected {rule}, got {got}. Check `episode_id` and `step`.")
