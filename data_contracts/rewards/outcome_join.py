"""Outcomes beside the interactions they belong to: the one join that rewards, guardrails and delays are read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.errors import UsageError
from data_contracts.rewards.channel_values import Events
from data_contracts.rewards.reward_settings import Channel

NONE = -1


@dataclass(frozen=True, slots=True, repr=False)
class Joined:
    """m outcomes and the n interactions they may belong to. Arrays have shape (m,) but for `occurred` (n,)."""

    row: NDArray[np.int64]  # of its interaction; NONE where there is none
    channel: NDArray[np.int64]  # index into the channels asked for; NONE where it is of no such channel
    observed: NDArray[np.datetime64]
    value: NDArray[np.float64]
    occurred: NDArray[np.datetime64]

    def __repr__(self) -> str:
        return f"Joined(m={len(self.row)}, n={len(self.occurred)})"

    def inside(self, windows: NDArray[np.timedelta64]) -> NDArray[np.bool_]:
        """(m,) whether occurred_at <= observed_at <= occurred_at + window of the channel; `windows` (channels,)."""
        known = np.flatnonzero((self.row != NONE) & (self.channel != NONE))
        age = self.observed[known] - self.occurred[self.row[known]]
        inside = np.zeros(len(self.row), np.bool_)
        inside[known] = (age >= np.timedelta64(0)) & (age <= windows[self.channel[known]])
        return inside

    def events(self, chosen: NDArray[np.bool_]) -> Events:
        """The chosen outcomes, all of which have an interaction."""
        n = int(np.count_nonzero(chosen))
        return Events(
            self.row[chosen], self.channel[chosen], self.observed[chosen], self.value[chosen], np.zeros(n, np.bool_)
        )


def join_outcomes(interactions: pa.Table, outcomes: pa.Table, channels: Sequence[str]) -> Joined:
    """`interactions` (n rows, unique `interaction_id`), `outcomes` (m rows, schema of `outcome_schema`)."""
    return Joined(
        row=_index(outcomes["interaction_id"], interactions["interaction_id"].combine_chunks()),
        channel=_index(outcomes["channel"], pa.array(channels, pa.string())),
        observed=outcomes["observed_at"].to_numpy(),
        value=outcomes["value"].to_numpy(),
        occurred=interactions["occurred_at"].to_numpy(),
    )


def rewards_in_rows(interactions: pa.Table, channel: int) -> Events:
    """Rewards that came in the row: outcomes of `channel`, observed at occurred_at."""
    row = np.flatnonzero(interactions["reward"].is_valid().to_numpy())
    value = interactions["reward"].to_numpy()[row].astype(np.float64)
    observed = interactions["occurred_at"].to_numpy()[row]
    return Events(row, np.full(len(row), channel), observed, value, np.ones(len(row), np.bool_))


def together(first: Events, second: Events) -> Events:
    """Both, in one record."""
    return Events(
        np.concatenate([first.row, second.row]),
        np.concatenate([first.channel, second.channel]),
        np.concatenate([first.observed, second.observed]),
        np.concatenate([first.value, second.value]),
        np.concatenate([first.in_row, second.in_row]),
    )


def windows_of(channels: Sequence[Channel]) -> NDArray[np.timedelta64]:
    """(channels,) in microseconds."""
    return np.array([np.timedelta64(channel.window, "us") for channel in channels], "m8[us]")


def utc64(moment: datetime) -> np.datetime64:
    """A moment as NumPy's microseconds in UTC; raises UsageError when it has no time zone."""
    if moment.tzinfo is None:
        raise UsageError(
            f"naive time {moment.isoformat()}: expected a time zone. Write it with an offset, e.g. "
            f"{moment.isoformat()}+00:00."
        )
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _index(words: pa.ChunkedArray, known: pa.Array) -> NDArray[np.int64]:
    found = pc.index_in(words, value_set=known)
    return np.asarray(pc.fill_null(found, NONE).to_numpy(), np.int64)
