"""Later observations become rewards: channels, each with its window, combined by one rule, as known at a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.rewards.channel_values import Combined, Events, add_up, one_decides
from data_contracts.rewards.outcome_join import (
    NONE,
    Joined,
    join_outcomes,
    rewards_in_rows,
    together,
    utc64,
    windows_of,
)
from data_contracts.rewards.reward_settings import RewardSettings
from data_contracts.sampling import sampling_weights

__all__ = ["ChannelSummary", "RewardCounts", "RewardSettings", "Rewarded", "attach_rewards", "utc64"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardCounts:
    """Where every outcome went (`n_not_yet` to `n_used` add up to `n_outcomes`), and how many rewards were shaped how.

    An outcome is judged in the order of the fields and counted once.
    """

    n_outcomes: int
    n_not_yet: int  # observed after the moment asked for
    n_orphan: int  # of no interaction that is visible at that moment
    n_other_channel: int
    n_guardrail: int = 0  # of a channel that is watched and not rewarded
    n_outside_window: int  # observed before its interaction, or later than its channel's window
    n_repeated: int  # another outcome, or the row itself, gives the value instead
    n_waiting: int  # its interaction has not matured
    n_used: int
    n_defaulted: int  # matured interactions that took the default
    n_missing: int  # matured interactions without reward and without default: no policy learns from them
    n_clipped: int = 0  # matured interactions whose reward lay outside the declared bounds


@dataclass(frozen=True, slots=True)
class ChannelSummary:
    """What one channel gave to the rewards of matured interactions, before weight and clipping."""

    channel: str
    n_interactions: int  # with at least one outcome that was used, the reward in the row included
    mean: float | None  # of their values, weighted by 1 / sampling_rate; None when there are none


@dataclass(frozen=True, slots=True)
class Rewarded:
    """Interactions with final `reward` (float64, null where unknown) and `matured` (bool), same rows and order."""

    table: pa.Table
    counts: RewardCounts
    channels: tuple[ChannelSummary, ...] = ()


def attach_rewards(interactions: pa.Table, outcomes: pa.Table, *, reward: RewardSettings, as_of: datetime) -> Rewarded:
    """Join outcomes to their interactions as they were known at `as_of`.

    matured = occurred_at + the longest window of a reward channel <= as_of. An outcome of channel c counts when
    occurred_at <= observed_at <= min(as_of, occurred_at + window of c); a reward in the row is an outcome of
    `reward.channel` observed at occurred_at. Of a matured row, the reward is

        earliest, last   the value of the one outcome, over all channels, that was observed first (last)
        sum, weighted    sum over channels of weight * (the channel's value by `within`, else its default, else 0)

    and where no channel has a value `reward.default`, else null; it is clipped to `reward.bounds`. Of two outcomes
    observed at the same moment the smaller value counts, so arrival order never decides.

    `interactions` (n rows, unique `interaction_id`), `outcomes` (m rows, schema of `outcome_schema`).
    Raises UsageError when `as_of` has no time zone.
    Caveat: dropping rows without outcome biases values when outcomes are missing for a reason; declare a
    default where silence means something.
    """
    moment, joined = utc64(as_of), _join(interactions, outcomes, reward)
    stages = _stages(joined, moment=moment, reward=reward)
    candidate = ~np.logical_or.reduce(list(stages.values()))
    in_row = rewards_in_rows(interactions, _names(reward).index(reward.channel))
    combined = _combine(together(in_row, joined.events(candidate)), reward, n=interactions.num_rows)

    matured = joined.occurred + np.timedelta64(reward.longest_window, "us") <= moment
    used = np.zeros(len(candidate), np.bool_)
    used[candidate] = combined.used[len(in_row.row) :]
    where = _count_first({**stages, "n_repeated": ~used, "n_waiting": ~_at(matured, joined.row)}, len(used))
    final, how = _final(combined.value, matured, reward)
    column = pa.array(final, pa.float64(), mask=~matured | np.isnan(final))
    table = interactions.set_column(interactions.schema.get_field_index("reward"), "reward", column)
    return Rewarded(
        table=table.append_column("matured", pa.array(matured)),
        counts=RewardCounts(n_outcomes=len(used), **where, **how),
        channels=_summaries(combined, reward, matured=matured, weight=sampling_weights(interactions)),
    )


def _names(reward: RewardSettings) -> list[str]:
    return [channel.name for channel in reward.reward_channels]


def _join(interactions: pa.Table, outcomes: pa.Table, reward: RewardSettings) -> Joined:
    """Reward channels come before guardrails."""
    return join_outcomes(interactions, outcomes, [*_names(reward), *(g.name for g in reward.guardrail_channels)])


def _stages(joined: Joined, *, moment: np.datetime64, reward: RewardSettings) -> dict[str, NDArray[np.bool_]]:
    """(m,) for each reason not to count, whether it holds."""
    windows = windows_of((*reward.reward_channels, *reward.guardrail_channels))
    return {
        "n_not_yet": joined.observed > moment,
        "n_orphan": joined.row == NONE,
        "n_other_channel": joined.channel == NONE,
        "n_guardrail": joined.channel >= len(reward.reward_channels),
        "n_outside_window": ~joined.inside(windows),
    }


def _combine(events: Events, reward: RewardSettings, *, n: int) -> Combined:
    if reward.combine == "earliest" or reward.combine == "last":
        return one_decides(events, reward.reward_channels, n=n, rule=reward.combine)
    return add_up(events, reward.reward_channels, n=n)


def _final(
    value: NDArray[np.float64], matured: NDArray[np.bool_], reward: RewardSettings
) -> tuple[NDArray[np.float64], dict[str, int]]:
    """Values (n,) with the default and inside the bounds, NaN where unknown, and the counts of matured rows."""
    lacking = np.isnan(value)
    final = np.where(lacking, np.nan if reward.default is None else reward.default, value)
    if reward.bounds is not None:
        final = np.clip(final, *reward.bounds)
    n_lacking = int((matured & lacking).sum())
    return final, {
        "n_defaulted": 0 if reward.default is None else n_lacking,
        "n_missing": n_lacking if reward.default is None else 0,
        "n_clipped": int((matured & ~lacking & (final != value)).sum()),
    }


def _summaries(
    combined: Combined, reward: RewardSettings, *, matured: NDArray[np.bool_], weight: NDArray[np.float64]
) -> tuple[ChannelSummary, ...]:
    found = []
    for name, part in zip(_names(reward), combined.parts, strict=True):
        rows = np.flatnonzero(matured & ~np.isnan(part))
        mean = float(np.average(part[rows], weights=weight[rows])) if len(rows) else None
        found.append(ChannelSummary(name, len(rows), mean))
    return tuple(found)


def _at(values: NDArray[np.bool_], row: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`values` of each outcome's row; False where it has none."""
    return np.append(values, False)[row]


def _count_first(stages: dict[str, NDArray[np.bool_]], n: int) -> dict[str, int]:
    """How many outcomes stopped at each stage; what passed them all was used."""
    left = np.ones(n, np.bool_)
    counts: dict[str, int] = {}
    for name, stopped in stages.items():
        counts[name] = int((left & stopped).sum())
        left &= ~stopped
    return {**counts, "n_used": int(left.sum())}
