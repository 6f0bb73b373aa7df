"""Interactions with what is known of their outcomes, channel by channel, as the checks of outcomes read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.rewards.channel_values import Events, reduce_events
from data_contracts.rewards.maturity import NEVER, Arrivals
from data_contracts.rewards.outcome_join import join_outcomes, rewards_in_rows, together, utc64
from data_contracts.rewards.reward_settings import Channel, RewardSettings
from data_contracts.sampling import sampling_weights

COLUMNS: Final = ("interaction_id", "unit_id", "occurred_at", "policy_version", "arm", "reward", "sampling_rate")
HORIZON = 2  # windows: an outcome that comes later is not looked for
SPAN = HORIZON + 1  # so that some interactions were watched for the whole horizon, and some before the recent time
GROUPS = 8  # the largest arms; the rest is one group
OTHERS, NO_ARM, ALL = "others", "no arm", "all"


@dataclass(frozen=True, slots=True, repr=False)
class Groups:
    """`code` (n,) of each interaction's arm, or of its policy version where the log has no arms."""

    what: str  # arm | policy version
    names: tuple[str, ...]
    code: NDArray[np.int64]

    def masks(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Name and rows (n,) of each group, after all rows together."""
        yield ALL, np.ones(len(self.code), np.bool_)
        if len(self.names) > 1:
            for code, name in enumerate(self.names):
                yield name, self.code == code


@dataclass(frozen=True, repr=False)
class OutcomeRows:
    """n interactions, and the events of every channel that are known at `as_of`, those after their window included."""

    reward_channels: tuple[Channel, ...]
    guardrail_channels: tuple[Channel, ...]
    events: Events  # their channel counts reward channels first, then guardrails
    age: NDArray[np.int64]  # (n,) microseconds at as_of
    delay: NDArray[np.int64]  # (m,) microseconds from interaction to event
    weight: NDArray[np.float64]
    unit: NDArray[np.int64]
    groups: Groups
    watched: timedelta  # feed.recent
    newest: dict[str, datetime]  # channel -> when its newest outcome was observed, of any interaction

    def __repr__(self) -> str:
        return f"OutcomeRows(n={len(self.age)}, m={len(self.delay)})"

    @property
    def channels(self) -> tuple[Channel, ...]:
        return (*self.reward_channels, *self.guardrail_channels)

    @cached_property
    def first(self) -> tuple[NDArray[np.int64], ...]:
        """(n,) for every channel: age at its first event, NEVER without one."""
        return tuple(self._first(code) for code in range(len(self.channels)))

    def arrivals(self, channel: Channel) -> Arrivals:
        return Arrivals(self.first[self.channels.index(channel)], self.age, self.weight, self.unit)

    def values(self, channel: Channel) -> NDArray[np.float64]:
        """(n,) of its events inside the window, else its default, else NaN."""
        own = (self.events.channel == self.channels.index(channel)) & (self.delay <= microseconds(channel.window))
        found = reduce_events(self.events.select(own), n=len(self.age), rule=channel.within).value
        return found if channel.default is None else np.where(np.isnan(found), channel.default, found)

    def recent(self, channel: Channel) -> NDArray[np.bool_]:
        """(n,) what the checks of a channel look at."""
        return self.age <= microseconds(_looked_at(channel, self.reward_channels, self.watched))

    def has_events(self, channel: Channel) -> bool:
        return bool((self.first[self.channels.index(channel)] != NEVER).any())

    def stopped(self, channel: Channel) -> datetime | None:
        """When a reward channel's last outcome came, if none came for any interaction here that is old enough."""
        silent = channel in self.reward_channels and self.matured(channel).any() and not self.has_events(channel)
        return self.newest.get(channel.name) if silent else None

    def matured(self, channel: Channel) -> NDArray[np.bool_]:
        return self.age >= microseconds(channel.window)

    def _first(self, code: int) -> NDArray[np.int64]:
        first = np.full(len(self.age), NEVER)
        own = self.events.channel == code
        np.minimum.at(first, self.events.row[own], self.delay[own])
        return first


def looked_at_since(reward: RewardSettings, as_of: datetime) -> datetime:
    """Interactions of before this moment do not enter the checks of outcomes, so that what was mended is forgotten."""
    channels = (*reward.reward_channels, *reward.guardrail_channels)
    return as_of - max(_looked_at(channel, reward.reward_channels, reward.feed.recent) for channel in channels)


def outcome_rows(interactions: pa.Table, outcomes: pa.Table, *, reward: RewardSettings, as_of: datetime) -> OutcomeRows:
    """What `looked_at_since` lets in, as known at `as_of`; `interactions` have COLUMNS, `reward` as logged.

    Raises UsageError when `as_of` has no time zone.
    """
    moment, channels = utc64(as_of), (*reward.reward_channels, *reward.guardrail_channels)
    occurred = interactions["occurred_at"].to_numpy()
    chosen = (occurred <= moment) & (occurred >= utc64(looked_at_since(reward, as_of)))
    rows = interactions.filter(pa.array(chosen))
    names = [channel.name for channel in channels]
    joined = join_outcomes(rows, outcomes, names)
    known = (joined.row >= 0) & (joined.channel >= 0) & (joined.observed <= moment)
    events = together(rewards_in_rows(rows, names.index(reward.channel)), joined.events(known))
    delay = (events.observed - joined.occurred[events.row]).astype("m8[us]").astype(np.int64)
    return OutcomeRows(
        reward_channels=reward.reward_channels,
        guardrail_channels=reward.guardrail_channels,
        events=events.select(delay >= 0),  # a clock that is wrong says nothing of the delay
        age=(moment - joined.occurred).astype("m8[us]").astype(np.int64),
        delay=delay[delay >= 0],
        weight=sampling_weights(rows),
        unit=_codes(rows["unit_id"])[0],
        groups=_groups(rows),
        watched=reward.feed.recent,
        newest=_newest(outcomes, moment),
    )


def microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _looked_at(channel: Channel, rewarded: tuple[Channel, ...], recent: timedelta) -> timedelta:
    """How old an interaction may be to say something of a channel now; a guardrail's delay is not judged."""
    return SPAN * (channel.window + recent) if channel in rewarded else channel.window + SPAN * recent


def _newest(outcomes: pa.Table, moment: np.datetime64) -> dict[str, datetime]:
    known = outcomes.filter(pa.array(outcomes["observed_at"].to_numpy() <= moment))
    newest = known.group_by("channel").aggregate([("observed_at", "max")])
    return dict(zip(newest["channel"].to_pylist(), newest["observed_at_max"].to_pylist(), strict=True))


def _groups(rows: pa.Table) -> Groups:
    has_arms = rows["arm"].null_count < rows.num_rows
    code, names = _codes(pc.fill_null(rows["arm"], NO_ARM) if has_arms else rows["policy_version"])
    size = np.bincount(code, minlength=len(names))
    largest = np.argsort(-size, kind="stable")[: GROUPS if len(names) > GROUPS else len(names)]
    kept = sorted(largest.tolist(), key=lambda place: names[place])
    new = np.full(len(names), len(kept))
    new[kept] = np.arange(len(kept))
    shown = [names[place] for place in kept] + ([OTHERS] if len(kept) < len(names) else [])
    return Groups("arm" if has_arms else "policy version", tuple(shown), new[code])


def _codes(words: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    encoded = words.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()
