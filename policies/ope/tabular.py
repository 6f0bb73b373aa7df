"""Models of episodes over a finite state: action values, and how often a target visits a state compared with the log.

When not to use it: above a few thousand states (the solves are dense), for a state that most rows see once, or to
decide anything by itself: `q` and `ratio` are what DR-PDIS and DRL correct.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.ope.episodes import EpisodicTarget, LoggedEpisodes

MOST_STATES: Final = 3_000
VALUE_PRIOR: Final = 30.0  # visits of an action that count as much as its state's mean
RATIO_PRIOR: Final = 50.0  # visits of a state that count as much as "as often as in the log"
LARGEST_RATIO: Final = 20.0  # of visits; beyond it a fit is noise
HALVES: Final = 2


@dataclass(frozen=True, slots=True, repr=False)
class TabularModels:
    """q (F, S, K) and ratio (F, S): version f has its values of one half of the episodes, its ratios of the other."""

    q: NDArray[np.float64]
    ratio: NDArray[np.float64]

    def along(
        self, state: NDArray[np.int64], action: NDArray[np.int64], probabilities: NDArray[np.float64]
    ) -> EpisodicTarget:
        """The target with `probabilities` (n, K) along steps with state codes and actions (n,)."""
        q = self.q[:, state]
        return EpisodicTarget(
            probabilities=probabilities,
            q=np.ascontiguousarray(q[:, np.arange(len(state)), action].T),
            v=np.einsum("fnk,nk->nf", q, probabilities),
            ratio=np.ascontiguousarray(self.ratio[:, state].T),
        )

    def __repr__(self) -> str:
        return f"TabularModels(q={self.q.shape}, ratio={self.ratio.shape})"


def fit_models(
    logged: LoggedEpisodes, state: NDArray[np.int64], probabilities: NDArray[np.float64], *, n_states: int
) -> TabularModels:
    """Models of the target with `probabilities` (n, K) along the logged steps in `state` (n,), codes below n_states.

    Fitted twice, each on alternate units, and crossed. Raises DegenerateData for a state outside [0, n_states),
    more than 3,000 states, or fewer than two units.
    Source: Newey & Robins 2018, "Cross-fitting and fast remainder rates", for the crossing.
    """
    if n_states > MOST_STATES or not ((state >= 0) & (state < n_states)).all():
        raise DegenerateData(
            f"bad states for tabular models: expected codes in [0, {n_states}), at most {MOST_STATES:,} of them, got "
            f"{int(state.min())} to {int(state.max())}. Name fewer or coarser columns as the state."
        )
    if len(np.unique(logged.unit)) < HALVES:
        raise DegenerateData("too few episodes for tabular models: expected two units or more, got one. Ingest more.")
    half = np.unique(logged.unit, return_inverse=True)[1] % HALVES
    fits = []
    for f in range(HALVES):
        part, rows = logged.select(half == f)
        target = probabilities[rows]
        weights = target[np.arange(part.n), part.action] / part.propensity
        q = fit_values(part, state[rows], weights, n_states=n_states, n_actions=target.shape[1])
        fits.append((q, fit_ratio(part, state[rows], weights, n_states=n_states)))
    return TabularModels(q=np.stack([fits[0][0], fits[1][0]]), ratio=np.stack([fits[1][1], fits[0][1]]))


def fit_values(
    logged: LoggedEpisodes,
    state: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    n_states: int,
    n_actions: int,
) -> NDArray[np.float64]:
    """(S, K) action values q of the target whose single-step weights are `weights` (n,).

    First v from  v(x) n(x) = sum_{i: x_i = x} w_i (r_i + gamma v(x_{i+1})), then q(x, a) = mean of r + gamma v(x') over
    the visits of (x, a), each drawn towards its state's mean by 30 visits; both inside the range of the log's returns.
    Source: Bradtke & Barto 1996 (LSTD) on importance-weighted transitions.
    """
    follows, flow = _flow(logged, state, weights, n_states=n_states)
    to_go = _returns_to_go(logged)
    visits = np.bincount(state, minlength=n_states).astype(np.float64)
    earned = np.bincount(state, weights=weights * logged.reward, minlength=n_states)
    v = np.linalg.solve(np.diag(visits + 1.0) - logged.gamma * flow, earned + to_go.mean())
    v = np.clip(v, to_go.min(), to_go.max())
    target = logged.reward + logged.gamma * np.where(follows >= 0, v[follows], 0.0)
    pair = state * n_actions + logged.action
    sums = np.bincount(pair, weights=target, minlength=n_states * n_actions).reshape(n_states, n_actions)
    counts = np.bincount(pair, minlength=n_states * n_actions).reshape(n_states, n_actions)
    mean = (sums.sum(axis=1) + to_go.mean()) / (visits + 1.0)
    q: NDArray[np.float64] = (sums + VALUE_PRIOR * mean[:, None]) / (counts + VALUE_PRIOR)
    return q


def fit_ratio(
    logged: LoggedEpisodes, state: NDArray[np.int64], weights: NDArray[np.float64], *, n_states: int
) -> NDArray[np.float64]:
    """(S,) discounted visits of a state under the target / under the log, drawn towards 1 by 50 visits.

    Solves  w(x') n(x') = n_0(x') + gamma sum_{i: x_{i+1} = x'} w(x_i) w_i, written in w - 1, so that it is exactly 1
    where the target is the behavior policy. Source: Xie, Ma & Wang 2019; Liu, Li, Tang & Zhou 2018.
    """
    discount = logged.discount
    _, flow = _flow(logged, state, weights * discount, n_states=n_states)
    _, plain = _flow(logged, state, discount, n_states=n_states)
    visits = np.bincount(state, weights=discount, minlength=n_states)
    surplus = logged.gamma * (flow - plain).sum(axis=0)
    extra = np.linalg.solve(np.diag(visits + RATIO_PRIOR) - logged.gamma * flow.T, surplus)
    return np.clip(1.0 + extra, 0.0, LARGEST_RATIO)


def _flow(
    logged: LoggedEpisodes, state: NDArray[np.int64], amount: NDArray[np.float64], *, n_states: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n,) state of each step's successor, -1 after the last; (S, S) sums of `amount` (n,) from state to state."""
    follows = np.append(state[1:], -1)
    follows[logged.last] = -1
    moves = follows >= 0
    pair = state[moves] * n_states + follows[moves]
    sums = np.bincount(pair, weights=amount[moves], minlength=n_states * n_states)
    return follows, sums.reshape(n_states, n_states).astype(np.float64)


def _returns_to_go(logged: LoggedEpisodes) -> NDArray[np.float64]:
    """(n,) discounted reward from each step to the end of its episode."""
    earned = logged.discount * logged.reward
    so_far = np.cumsum(earned)
    end = so_far[logged.last][logged.episode]
    to_go: NDArray[np.float64] = (end - so_far + earned) / logged.discount
    return to_go
