"""What the gate reads of its rows beside reward and policies: segment columns, and guardrails as they come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.rewards.guardrail_reading import guardrail_bounds, read_guardrails
from flows.context import Context
from policies.gate.records import GateRows, Plan
from policies.gate.segments.guardrail_readings import GuardrailReading, new_reading, values_at
from policies.gate.segments.guardrail_rules import GuardrailRule, make_rule
from policies.gate.segments.guardrail_settings import GuardrailMargin
from policies.gate.segments.segment_settings import SegmentSettings


def segment_names(context: Context, protected: Sequence[SegmentSettings]) -> tuple[str, ...]:
    """Columns whose values are segments: those that the contract tags so, and those that the task protects."""
    tagged = {c.name for c in context.contract.columns if "segment" in c.roles}
    return tuple(sorted(tagged | {segment.column for segment in protected}))


def segment_columns(
    table: pa.Table, names: Sequence[str], *, interaction_id: NDArray[np.str_]
) -> dict[str, NDArray[np.str_]]:
    """(n,) text of each column for the rows with these ids, "" where the log has none; `table`: the snapshot's."""
    rows = table.take(_positions(table, interaction_id))
    return {name: np.asarray(pc.fill_null(pc.cast(rows[name], pa.string()), "").to_pylist(), np.str_) for name in names}


def read_look(
    context: Context,
    table: pa.Table,
    *,
    interaction_id: NDArray[np.str_],
    earlier: Sequence[GuardrailReading],
    as_of: datetime,
) -> GuardrailReading:
    """What a look at `as_of` adds of the guardrails of all gate rows so far (this look's and the earlier ones')."""
    return new_reading(_guardrails(context, table, interaction_id=interaction_id, as_of=as_of), earlier)


def guardrail_rules(
    context: Context,
    table: pa.Table,
    *,
    before: GateRows,
    margins: Mapping[str, GuardrailMargin],
    reward_plan: Plan,
    as_of: datetime,
) -> tuple[GuardrailRule, ...]:
    """The rule of every guardrail of the task, from the rows `before` the window (validation rows, in `table`).

    Called once, at the first look; later looks and `verify` take the rules from its evidence. `margins`: the task's
    `gate.guardrails` as they were when the challenger was frozen.
    """
    found = [new_reading(_guardrails(context, table, interaction_id=before.interaction_id, as_of=as_of), [])]
    rules = []
    for channel in context.task.reward.guardrail_channels:
        margin = margins.get(channel.name)
        value, _ = values_at(found, channel=channel.name, interaction_id=before.interaction_id)
        rule = make_rule(
            channel.name,
            better=context.task.reward.guardrails[channel.name].better,
            margin=margin,
            bounds=guardrail_bounds(context.contract, channel, margin.bounds if margin else None),
            rows=before,
            value=value,
            reward_plan=reward_plan,
        )
        rules.append(rule)
    return tuple(rules)


def _guardrails(context: Context, table: pa.Table, *, interaction_id: NDArray[np.str_], as_of: datetime) -> pa.Table:
    chosen = table.select(["interaction_id", "occurred_at"]).take(_positions(table, interaction_id))
    return read_guardrails(
        context.home, task=context.name, reward=context.task.reward, interactions=chosen, as_of=as_of
    )


def _positions(table: pa.Table, interaction_id: NDArray[np.str_]) -> pa.Array:
    """Rows of a snapshot by id; of a row that has been erased since, none."""
    ids = table["interaction_id"].combine_chunks()
    return pc.index_in(pa.array(interaction_id.tolist(), pa.string()), value_set=ids)
