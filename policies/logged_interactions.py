"""The arrays that cross the border from data_contracts: one record, checked once, trusted inside."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from data_contracts.sampling import sampling_weights


@dataclass(frozen=True, slots=True, repr=False)
class LoggedInteractions:
    """n matured interactions of one task, in order of (episode, step) or of time.

    Raises DegenerateData when lengths differ, a reward is not finite, an action is outside
    [0, n_actions), a propensity is outside (0, 1] (NaN means: not logged), or a weight is not above 0.
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
    weight: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # (n,) 1 / sampling_rate; without: 1

    def __post_init__(self) -> None:
        n = self.observations.num_rows
        if not len(self.weight):
            object.__setattr__(self, "weight", np.ones(n))
        for column in fields(self):
            value = getattr(self, column.name)
            if isinstance(value, np.ndarray) and len(value) != n:
                raise DegenerateData(f"unequal lengths in {column.name}: expected {n}, got {len(value)}.")
        _require(np.isfinite(self.reward), "finite reward", self.reward, self.interaction_id)
        _require(
            (self.action >= 0) & (self.action < len(self.actions)), "declared action", self.action, self.interaction_id
        )
        known = np.isnan(self.propensity) | ((self.propensity > 0) & (self.propensity <= 1))
        _require(known, "propensity in (0, 1]", self.propensity, self.interaction_id)
        weighed = np.isfinite(self.weight) & (self.weight > 0)
        _require(weighed, "finite weight above 0", self.weight, self.interaction_id)

    @property
    def n(self) -> int:
        return int(self.observations.num_rows)

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


def from_table(table: pa.Table, *, actions: tuple[str, ...], observation: tuple[str, ...]) -> LoggedInteractions:
    """The arrays of a snapshot's rows; rows whose reward is not known (null) must be filtered before.

    `table` has the reserved columns of data_contracts.interactions, `split`, and the columns in `observation`.
    """
    n = table.num_rows
    one_step = table["episode_id"].null_count == n
    ids = _text(table, "interaction_id")
    distributions = table["action_probabilities"]
    return LoggedInteractions(
        actions=actions,
        observations=table.select(list(observation)),
        action=pc.index_in(table["action"], pa.array(actions)).fill_null(-1).to_numpy().astype(np.int64),
        reward=table["reward"].to_numpy().astype(np.float64),
        propensity=table["propensity"].cast(pa.float64()).fill_null(np.nan).to_numpy(),
        policy_version=_text(table, "policy_version"),
        interaction_id=ids,
        unit_id=_text(table, "unit_id"),
        occurred_at=table["occurred_at"].cast(pa.int64()).to_numpy().astype("datetime64[us]"),
        split=table["split"].to_numpy().astype(np.uint8),
        episode_id=ids if one_step else _text(table, "episode_id"),
        step=np.zeros(n, np.int64) if one_step else table["step"].fill_null(0).to_numpy(),
        terminated=np.ones(n, np.bool_) if one_step else _flags(table, "terminated"),
        truncated=np.zeros(n, np.bool_) if one_step else _flags(table, "truncated"),
        action_probabilities=None if distributions.null_count == n else _distributions(distributions, len(actions)),
        weight=sampling_weights(table),
    )


def _text(table: pa.Table, column: str) -> NDArray[np.str_]:
    return np.asarray(table[column].fill_null("").to_pylist(), dtype=np.str_)


def _flags(table: pa.Table, column: str) -> NDArray[np.bool_]:
    return np.asarray(table[column].fill_null(False).to_pylist(), dtype=np.bool_)


def _distributions(column: pa.ChunkedArray, n_actions: int) -> NDArray[np.float64]:
    unknown = [np.nan] * n_actions
    return np.asarray([row if row is not None else unknown for row in column.to_pylist()], dtype=np.float64)
