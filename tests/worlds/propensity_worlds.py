"""Logs whose true propensities are known, and the ways in which what is logged may be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Distribution = NDArray[np.float64]  # (n, K)
Wrong = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # true propensities (n,) -> logged ones


@dataclass(frozen=True)
class World:
    """A logging policy over K actions, in contexts drawn with `rng`."""

    name: str
    draw: Callable[[np.random.Generator, int], Distribution]
    n_actions: int

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(str(a) for a in range(self.n_actions))

    def log(self, rng: np.random.Generator, n: int) -> tuple[Distribution, NDArray[np.int64]]:
        """True distributions and the actions drawn from them."""
        distribution = self.draw(rng, n)
        target = rng.random(n)[:, None] * distribution.sum(axis=1, keepdims=True)
        return distribution, np.minimum((distribution.cumsum(axis=1) <= target).sum(axis=1), self.n_actions - 1)


def epsilon_greedy(n_actions: int, epsilon: float) -> World:
    """The greedy action depends on the context; every action is the greedy one equally often."""

    def draw(rng: np.random.Generator, n: int) -> Distribution:
        distribution = np.full((n, n_actions), epsilon / n_actions)
        distribution[np.arange(n), rng.integers(n_actions, size=n)] += 1 - epsilon
        return distribution

    return World(f"epsilon-greedy, {n_actions} actions, epsilon {epsilon:g}", draw, n_actions)


def rare_actions(n_actions: int, rarest: float) -> World:
    """Shares fall geometrically to about `rarest`; the context shifts each by some 30 %."""

    def draw(rng: np.random.Generator, n: int) -> Distribution:
        scores = np.geomspace(1, rarest * n_actions, n_actions) * np.exp(rng.normal(0, 0.3, (n, n_actions)))
        return scores / scores.sum(axis=1, keepdims=True)

    return World(f"rare actions, {n_actions} actions, rarest about {rarest:g}", draw, n_actions)


WRONG: dict[str, Wrong] = {
    "all x 1.1": lambda p: np.minimum(1.1 * p, 1.0),
    "all / 1.1": lambda p: p / 1.1,
    "exploring x 1.1": lambda p: np.where(p < 0.5, 1.1 * p, p),
    "exploring / 1.1": lambda p: np.where(p < 0.5, p / 1.1, p),
}


def table(
    action: NDArray[np.int64], propensity: NDArray[np.float64], *, version: str = "1", **columns: object
) -> pa.Table:
    """Rows as the tally reads them."""
    names = pa.array([str(a) for a in range(int(action.max(initial=0)) + 1)])
    return pa.table(
        {
            "policy_version": pa.repeat(version, len(action)),
            "action": names.take(pa.array(action)),
            "propensity": pa.array(propensity, pa.float64()),
            **columns,
        }
    )
