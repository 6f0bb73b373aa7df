"""The arrays that cross the border from data_contracts: one record, checked once, trusted inside."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData


@dataclass(frozen=True, slots=True, repr=False)
class LoggedInteractions:
    """n matured interactions of one task, in order of (episode, step) or of time.

    Raises DegenerateData when lengths differ, a reward is not finite, an action is outside
    [0, n_actions), or a propensity is outside (0, 1] (NaN means: not logged).
    """

    actions: tuple[str, ...]  # names; index = code in `action`
    observations: pa.Table  # (n rows, one column per observation column of the contract)
    action: NDArray[np.int64]  # (n,)
    reward: NDArray[np.float64]  # (n,)
    propensity: NDArray[np.float64]  # (n,), NaN where unknown
    policy_version: NDArray[np.str_]  # (n,)
    interaction_id: NDArray[np.str_]  # (n,)
    unit_id: NDArray[np.str_]  # (n,)
    occurred_at: NDArray[np.datetime64]  # (n,) microseconds, UTC
    split: NDArray[np.uint8]  # (n,) codes of data_contracts.splits
    episode_id: NDArray[np.str_]  # (n,); the interaction_id where the log has no episodes
    step: NDArray[np.int64]  # (n,); 0 where the log has no episodes
    terminated: NDArray[np.bool_]  # (n,); True where the log has no episodes
    truncated: NDArray[np.bool_]  # (n,)
    action_probabilities: NDArray[np.float64] | None = None  # (n, K) as logged, NaN rows where not logged

    def __post_init__(self) -> None:
        n = self.observations.num_rows
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray) and len(value) != n:
                raise DegenerateData(f"unequal lengths in {field.name}: expected {n}, got {len(value)}.")
        _require(np.isfinite(self.reward), "finite reward", self.reward, self.interaction_id)
        _require(
            (self.action >= 0) & (self.action < len(self.actions)), "declared action", self.action, self.interaction_id
        )
        known = np.isnan(self.propensity) | ((self.propensity > 0) & (self.propensity <= 1))
        _require(known, "propensity in (0, 1]", self.propensity, self.interaction_id)

    @property
    def n(self) -> int:
        return self.observations.num_rows

    @property
    def n_actions(self) -> int:
        return len(self.actions)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> LoggedInteractions:
        """The same record with only `rows` (a mask of shape (n,) or indices)."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        chosen = {
            f.name: value[index] if isinstance(value := getattr(self, f.name), np.ndarray) else value
            for f in fields(self)
        }
        return LoggedInteractions(**{**chosen, "observations": self.observations.take(pa.array(index))})

    def __repr__(self) -> str:
        return f"LoggedInteractions(n={self.n}, n_actions={self.n_actions}, columns={self.observations.num_columns})"


def _require(good: NDArray[np.bool_], rule: str, values: NDArray[np.generic], ids: NDArray[np.str_]) -> None:
    if good.all():
        return
    bad = np.flatnonzero(~good)
    examples = ", ".join(f"{ids[i]}={values[i]}" for i in bad[:5])
    raise DegenerateData(f"bad rows in the replay: expected {rule}, got {len(bad)} others ({examples}).")
