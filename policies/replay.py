"""Columnar, memory-mapped replay: rows of the log as arrays, batches of them by one vectorised gather.

Beside features, action and reward it costs 18 bytes a row (26 where rows differ in weight); d3rlpy's MDPDataset
costs 629-766 (one Python object per episode). A batch holds the same arrays as d3rlpy's own for the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.logged_interactions import LoggedInteractions

if TYPE_CHECKING:
    from d3rlpy.dataset import TransitionMiniBatch

Record = TypeVar("Record")
NO_ROW = -1


@dataclass(frozen=True, slots=True, repr=False)
class Replay:
    """n logged steps with d features each; `drawable` names the rows that may be in a batch."""

    features: NDArray[np.float32]  # (n, d), scaled
    action: NDArray[np.int64]  # (n,)
    reward: NDArray[np.float32]  # (n,)
    next_row: NDArray[np.int64]  # (n,) row of the episode's next step; NO_ROW when terminal or unknown
    terminated: NDArray[np.bool_]  # (n,)
    truncated: NDArray[np.bool_]  # (n,)
    drawable: NDArray[np.int64]  # (m,) rows that are terminal or have a next row
    cumulative: NDArray[np.float64]  # (m,) weight of the drawable rows up to each, in rows; (0,) when all weigh alike

    @property
    def n(self) -> int:
        return len(self.action)

    @property
    def n_features(self) -> int:
        return int(self.features.shape[1])

    @property
    def n_dropped(self) -> int:
        """Steps whose next observation is unknown: ends of truncated or unfinished episodes, gaps in `step`."""
        return self.n - len(self.drawable)

    def __repr__(self) -> str:
        return f"Replay(n={self.n}, n_features={self.n_features}, n_dropped={self.n_dropped})"


def build_replay(data: LoggedInteractions, features: NDArray[np.float32]) -> Replay:
    """Link every step to the next one of its episode; `features` (n, d) belong to the rows of `data`.

    A truncated step keeps its next observation and is not terminal. Raises DegenerateData when shapes
    differ, a feature or reward is not finite in float32, an episode goes on after `terminated`, or no
    row may be drawn.
    """
    with np.errstate(over="ignore"):  # the next check names what overflows
        reward = data.reward.astype(np.float32)
    if features.ndim != 2 or len(features) != data.n:
        raise DegenerateData(f"bad features in the replay: expected shape ({data.n}, d), got {features.shape}.")
    _require(np.asarray(np.isfinite(features).all(axis=1)), "finite features in float32", data)
    _require(np.isfinite(reward), "a reward that fits float32", data)
    next_row = _next_rows(data)
    drawable = np.flatnonzero(data.terminated | (next_row != NO_ROW))
    if not len(drawable):
        raise DegenerateData(
            f"nothing to learn from in the replay: expected a terminated step or one with a next step, got {data.n} "
            "steps without either. Log `terminated`, `truncated` and consecutive `step`s, or leave out `episode_id`."
        )
    cumulative = _cumulative(data.weight[drawable])
    return Replay(features, data.action, reward, next_row, data.terminated, data.truncated, drawable, cumulative)


def _cumulative(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running sum of weights (m,) scaled to mean 1; empty when all are equal, so that draws stay as without weights."""
    if (weight == weight[0]).all():
        return np.empty(0)
    sums: NDArray[np.float64] = np.cumsum(weight * (len(weight) / weight.sum()))
    return sums


def _require(good: NDArray[np.bool_], rule: str, data: LoggedInteractions) -> None:
    bad = np.flatnonzero(~good)
    if len(bad):
        examples = ", ".join(map(str, data.interaction_id[bad[:5]]))
        raise DegenerateData(
            f"bad rows in the replay: expected {rule}, got {len(bad)} others ({examples}). "
            "Bound the column's range in the contract, so that such rows are quarantined."
        )


def _next_rows(data: LoggedInteractions) -> NDArray[np.int64]:
    """(n,) row of the same episode with step + 1; NO_ROW where there is none or the step is terminal."""
    next_row = np.full(data.n, NO_ROW, np.int64)
    if data.terminated.all() and len(np.unique(data.episode_id)) == data.n:
        return next_row  # one-step episodes
    _, episode = np.unique(data.episode_id, return_inverse=True)
    order = np.lexsort((data.step, episode))
    here, there = order[:-1], order[1:]
    together = episode[here] == episode[there]
    after_end = np.ones(data.n, np.bool_)
    after_end[there[together & data.terminated[here]]] = False
    _require(after_end, "no step after `terminated` in its episode", data)
    linked = together & (data.step[there] == data.step[here] + 1)
    next_row[here[linked]] = there[linked]
    return next_row


def write_columns(record: object, folder: Path) -> None:
    """Store a dataclass of arrays as one .npy file per field; `folder` exists."""
    for field in fields(record):  # type: ignore[arg-type]
        np.save(folder / f"{field.name}.npy", getattr(record, field.name), allow_pickle=False)


def open_columns(kind: type[Record], folder: Path) -> Record:
    """The record that write_columns stored, its arrays memory-mapped and read-only."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: _mapped(folder / f"{name}.npy") for name in names})


def _mapped(path: Path) -> NDArray[np.generic]:
    array: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    return array


def draw(replay: Replay, *, batch_size: int, rng: np.random.Generator) -> TransitionMiniBatch:
    """A batch of drawable rows with replacement, each with probability in proportion to its weight.

    The mean loss of such a batch estimates the weighted mean loss of all rows without bias.
    """
    m = len(replay.drawable)
    if not len(replay.cumulative):
        return gather(replay, replay.drawable[rng.integers(m, size=batch_size)])
    points = rng.random(batch_size) * replay.cumulative[-1]
    found = np.minimum(np.searchsorted(replay.cumulative, points, side="right"), m - 1)  # rounding may reach the end
    return gather(replay, replay.drawable[found])


def in_order(replay: Replay, *, batch_size: int) -> Iterator[TransitionMiniBatch]:
    """Every drawable row once, in order of the log."""
    for start in range(0, len(replay.drawable), batch_size):
        yield gather(replay, replay.drawable[start : start + batch_size])


def weights_in_order(replay: Replay, *, batch_size: int) -> Iterator[NDArray[np.float64]]:
    """(b,) weights, of mean 1 over all, of the rows of each batch of `in_order`."""
    m = len(replay.drawable)
    weight = np.diff(replay.cumulative, prepend=0.0) if len(replay.cumulative) else np.ones(m)
    for start in range(0, m, batch_size):
        yield weight[start : start + batch_size]


def gather(replay: Replay, rows: NDArray[np.int64]) -> TransitionMiniBatch:
    """The transitions that start at `rows` (b,), as d3rlpy's picker makes them: zeros after a terminal step."""
    from d3rlpy.dataset import TransitionMiniBatch

    terminal = replay.terminated[rows]
    action = replay.action[rows].astype(np.float32)
    if terminal.all():
        next_features, next_action = np.zeros((len(rows), replay.n_features), np.float32), np.zeros_like(action)
    else:
        successor = replay.next_row[rows]
        next_features = replay.features[successor]
        next_features[terminal] = 0
        next_action = np.where(terminal, 0, replay.action[successor]).astype(np.float32)
    return TransitionMiniBatch(
        observations=replay.features[rows],
        actions=action[:, None],
        rewards=replay.reward[rows][:, None],
        next_observations=next_features,
        next_actions=next_action[:, None],
        terminals=terminal.astype(np.float32)[:, None],
        intervals=np.ones((len(rows), 1), np.float32),
        transitions=(),
    )
