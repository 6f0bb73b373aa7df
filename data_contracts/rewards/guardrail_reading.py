"""Guardrails of chosen interactions from the store, as known at a moment: what a look of the gate reads of them.

A snapshot does not hold them: it is frozen by when its *rewards* are final, and a guardrail may take longer.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from data_contracts import store
from data_contracts.contract import Contract
from data_contracts.errors import ConfigurationError
from data_contracts.home import Home
from data_contracts.interactions import outcome_schema
from data_contracts.rewards.guardrails import SCHEMA, guardrails
from data_contracts.rewards.reward_settings import Channel, RewardSettings


def read_guardrails(
    home: Home, *, task: str, reward: RewardSettings, interactions: pa.Table, as_of: datetime
) -> pa.Table:
    """Value and maturity of every guardrail for every one of `interactions` (columns interaction_id, occurred_at).

    See `guardrails`; outcomes are those of the store's newest version observed until `as_of`, so that an outcome that
    was delivered late counts from the first look after its delivery. Raises what `store.read_outcomes` raises.
    """
    if not reward.guardrails:
        return SCHEMA.empty_table()
    known = store.table_version(home, task, "outcomes") is not None
    outcomes = store.read_outcomes(home, task) if known else outcome_schema().empty_table()
    return guardrails(interactions, outcomes, reward=reward, as_of=as_of)


def guardrail_bounds(contract: Contract, channel: Channel, declared: tuple[float, float] | None) -> tuple[float, float]:
    """[low, high] that holds a guardrail's value of one interaction, in units of the channel.

    `declared` (the task's, to which values are clipped), else the contract's bounds of an outcome's value, widened to
    the channel's default. Raises ConfigurationError where values of several outcomes are added up without `declared`:
    no bound of one outcome holds for their sum.
    """
    if declared is not None:
        return declared
    column = next((c for c in contract.outcome_columns if c.name == "value"), None)
    low, high = (column.minimum, column.maximum) if column is not None else (None, None)
    if low is None or high is None or channel.within == "sum":
        raise ConfigurationError(
            f"no bounds of guardrail {channel.name} in the task file: expected bounds under "
            f"gate.guardrails.{channel.name}, as its values are {'added up' if channel.within == 'sum' else 'open'}, "
            "got none. Write bounds: [least, most] of one interaction."
        )
    default = low if channel.default is None else channel.default
    return min(low, default), max(high, default)
