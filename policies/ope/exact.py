"""Exact values of policies in a world of finitely many states whose dynamics are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import InputError

COLUMNS = ("state", "action", "next_state", "probability", "reward")
OUTSIDE = -1  # as state and action: before an episode begins; as next_state: after it ended


@dataclass(frozen=True, slots=True, repr=False)
class Dynamics:
    """S states: where episodes begin, and all possible moves; a policy is asked with `observations`, row = state."""

    start: NDArray[np.float64]  # (S,)
    state: NDArray[np.int64]  # (m,) of each possible move
    action: NDArray[np.int64]  # (m,) codes of the declared actions
    follows: NDArray[np.int64]  # (m,) OUTSIDE where the episode ends
    probability: NDArray[np.float64]  # (m,) of the move, given state and action
    reward: NDArray[np.float64]  # (m,) expected, of the move
    observations: pa.Table  # (S rows)

    def value(self, probabilities: NDArray[np.float64], *, gamma: float = 1.0) -> float:
        """V = start . (I - gamma P_pi)^-1 r_pi of a policy with `probabilities` (S, K).

        Source: Puterman 1994, theorem 6.1.1. Caveat: with gamma 1 every policy has to come to an end.
        """
        n = len(self.start)
        chance = probabilities[self.state, self.action] * self.probability
        earned = np.bincount(self.state, weights=chance * self.reward, minlength=n)
        goes_on = self.follows != OUTSIDE
        pair = self.state[goes_on] * n + self.follows[goes_on]
        chain = np.bincount(pair, weights=chance[goes_on], minlength=n * n).reshape(n, n)
        return float(self.start @ np.linalg.solve(np.eye(n) - gamma * chain, earned))

    def __repr__(self) -> str:
        return f"Dynamics(n_states={len(self.start)}, n_moves={len(self.state)})"


def read_dynamics(table: pa.Table) -> Dynamics:
    """One row a possible move in columns state, action, next_state, probability, reward, all but two of them codes from
    0; what else the table has are the observation columns of `state`. Rows of state -1 say where episodes begin.

    Raises InputError when chances do not sum to 1.
    """
    arrays = {name: table[name].to_numpy() for name in COLUMNS}
    inside = arrays["state"] != OUTSIDE
    first = arrays["next_state"][~inside]
    n = int(max(first.max(), arrays["state"].max())) + 1
    start = np.bincount(first, weights=arrays["probability"][~inside], minlength=n).astype(np.float64)
    moves = {name: values[inside] for name, values in arrays.items()}
    pair = moves["state"].astype(np.int64) * (int(moves["action"].max()) + 1) + moves["action"]
    totals = np.bincount(pair, weights=moves["probability"])
    if abs(start.sum() - 1) > 1e-9 or (np.abs(totals[np.bincount(pair) > 0] - 1) > 1e-9).any():
        raise InputError("wrong dynamics: expected chances that sum to 1 for every state and action, got other sums.")
    _, index = np.unique(arrays["state"], return_index=True)
    observed = [name for name in table.column_names if name not in COLUMNS or name == "state"]
    return Dynamics(
        start=start,
        state=moves["state"].astype(np.int64),
        action=moves["action"].astype(np.int64),
        follows=moves["next_state"].astype(np.int64),
        probability=moves["probability"],
        reward=moves["reward"],
        observations=table.select(observed).take(pa.array(index[-n:])),
    )
