"""Several outcomes of one interaction become one value, and several channels one, whatever order they arrived in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.rewards.reward_settings import Channel, Within


@dataclass(frozen=True, slots=True, repr=False)
class Events:
    """m outcomes of n interactions that count, a reward in the row among them. Arrays have shape (m,)."""

    row: NDArray[np.int64]  # of the interaction, 0 … n - 1
    channel: NDArray[np.int64]
    observed: NDArray[np.datetime64]
    value: NDArray[np.float64]
    in_row: NDArray[np.bool_]  # came with the interaction

    def __repr__(self) -> str:
        return f"Events(m={len(self.row)})"

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Events:
        return Events(
            self.row[chosen], self.channel[chosen], self.observed[chosen], self.value[chosen], self.in_row[chosen]
        )


@dataclass(frozen=True, slots=True)
class Reduced:
    """`value` (n,), NaN where an interaction has no outcome; `used` (m,): the outcomes that made it."""

    value: NDArray[np.float64]
    used: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Combined:
    """`value` (n,), NaN where no channel has one; `used` (m,): the events that made it.

    `parts`: (n,) for every channel, what its outcomes gave before weight and default, NaN where there were none.
    """

    value: NDArray[np.float64]
    used: NDArray[np.bool_]
    parts: tuple[NDArray[np.float64], ...]


def one_decides(events: Events, channels: Sequence[Channel], *, n: int, rule: Within) -> Combined:
    """Over all channels, the one event that `rule` picks is the value."""
    picked = reduce_events(events, n=n, rule=rule)
    parts = tuple(np.full(n, np.nan) for _ in channels)
    for code, part in enumerate(parts):
        chosen = events.row[picked.used & (events.channel == code)]
        part[chosen] = picked.value[chosen]
    return Combined(picked.value, picked.used, parts)


def add_up(events: Events, channels: Sequence[Channel], *, n: int) -> Combined:
    """sum over channels of weight * (value by `within`, else the channel's default, else 0), in the order given.

    NaN where no channel has outcome or default.
    """
    total, answered = np.zeros(n), np.zeros(n, np.bool_)
    used, parts = np.zeros(len(events.row), np.bool_), []
    for code, channel in enumerate(channels):
        own = np.flatnonzero(events.channel == code)
        reduced = reduce_events(events.select(own), n=n, rule=channel.within)
        used[own] = reduced.used
        parts.append(reduced.value)
        silent = np.nan if channel.default is None else channel.default
        value = np.where(np.isnan(reduced.value), silent, reduced.value)
        answered |= ~np.isnan(value)
        total += channel.weight * np.nan_to_num(value, nan=0.0)
    return Combined(np.where(answered, total, np.nan), used, tuple(parts))


def reduce_events(events: Events, *, n: int, rule: Within) -> Reduced:
    """One value for each of n interactions from its events, by `rule`.

    earliest, last: the value observed first (last). Of several observed at the same moment the smaller value counts,
    and the reward in the row is the first of its moment. max: the largest value. sum, mean: over all of them, added
    in order of (observed, value), so that rounding does not depend on arrival.
    """
    count = np.bincount(events.row, minlength=n)
    used = count[events.row] == 1  # what is alone needs no sorting
    value = np.full(n, np.nan)
    value[events.row[used]] = events.value[used]
    several = np.flatnonzero(~used)
    if not len(several):
        return Reduced(value, used)
    order = several[_sorted(events.select(several), rule)]
    row = events.row[order]
    if rule in ("sum", "mean"):
        rows = np.flatnonzero(count > 1)
        total = np.bincount(row, weights=events.value[order], minlength=n)[rows]
        value[rows] = total / count[rows] if rule == "mean" else total
        used[order] = True
        return Reduced(value, used)
    first = order[np.diff(row, prepend=-1) != 0]
    value[events.row[first]] = events.value[first]
    used[first] = True
    return Reduced(value, used)


def _sorted(events: Events, rule: Within) -> NDArray[np.int64]:
    """Order by row, then so that the event that counts comes first; np.lexsort takes the last key first.

    The sign tells -0 from 0, so that no two different values are equal; the channel only decides whose event is used.
    """
    ascending = (events.channel, ~np.signbit(events.value), events.value)
    observed = events.observed.astype(np.int64)
    keys = {
        "last": (*ascending, events.in_row, -observed),
        "max": (observed, *(-key.astype(np.float64) for key in ascending)),
    }.get(rule, (*ascending, ~events.in_row, observed))
    return np.lexsort((*keys, events.row))
