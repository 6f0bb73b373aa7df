"""Channels that are watched and never rewarded: unsubscribes, complaints."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa

from data_contracts.rewards.channel_values import reduce_events
from data_contracts.rewards.outcome_join import join_outcomes, utc64, windows_of
from data_contracts.rewards.reward_settings import RewardSettings

SCHEMA = pa.schema(
    [
        ("interaction_id", pa.string()),
        ("channel", pa.string()),
        ("value", pa.float64()),  # so far, until matured; null where nothing came and nothing stands in
        ("matured", pa.bool_()),  # older than this guardrail's window: the value is final
    ]
)


def guardrails(interactions: pa.Table, outcomes: pa.Table, *, reward: RewardSettings, as_of: datetime) -> pa.Table:
    """Value of every guardrail for every interaction, as known at `as_of`: columns of SCHEMA, guardrails one after
    the other in the order of their names, each with the n rows of `interactions` in their order.

    value = the outcomes with occurred_at <= observed_at <= min(as_of, occurred_at + window) by the guardrail's
    `within`, else its `default`, else null. Each guardrail matures by its own window; rewards do not wait for it.

    `interactions` (n rows, unique `interaction_id`), `outcomes` (m rows, schema of `outcome_schema`).
    Raises UsageError when `as_of` has no time zone.
    """
    channels, moment = reward.guardrail_channels, utc64(as_of)
    if not channels:
        return SCHEMA.empty_table()
    joined = join_outcomes(interactions, outcomes, [channel.name for channel in channels])
    windows = windows_of(channels)
    events = joined.events(joined.inside(windows) & (joined.observed <= moment))
    parts = []
    for code, channel in enumerate(channels):
        value = reduce_events(events.select(events.channel == code), n=interactions.num_rows, rule=channel.within).value
        if channel.default is not None:
            value = np.where(np.isnan(value), channel.default, value)
        columns = [
            interactions["interaction_id"].combine_chunks(),
            pa.repeat(channel.name, len(value)),
            pa.array(value, pa.float64(), mask=np.isnan(value)),
            pa.array(joined.occurred + windows[code] <= moment),
        ]
        parts.append(pa.table(columns, schema=SCHEMA))
    return pa.concat_tables(parts)
