"""Everything the gate reads of a log's rows, and the plan that is fixed before it reads the first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from data_contracts.rewards.reward_settings import reward_bounds
from data_contracts.splits import VALIDATION
from flows.behavior import behavior_distribution, behavior_sources, evaluable_versions
from flows.challenger import gate_settings
from flows.context import Context
from flows.evaluation import Pair
from flows.gate_columns import segment_columns, segment_names
from flows.versions import seeds_of
from policies.gate.judging.differences import one_step
from policies.gate.judging.planning import make_plan, usual_rows_of_a_unit
from policies.gate.records import GateRows, Plan
from policies.gate.soundness.agreement import other_columns
from policies.gate.soundness.forgetting import Part, older_parts
from policies.gate.soundness.fragility import seed_columns
from policies.logged_interactions import LoggedInteractions
from policies.ope import dr
from policies.ope.records import LoggedRewards, target_terms


def gate_rows(context: Context, pair: Pair, rows: LoggedInteractions) -> GateRows:
    """Everything the gate reads of these rows."""
    behavior = behavior_distribution(context, rows)
    recomputed = behavior[np.arange(rows.n), rows.action]
    return GateRows(
        interaction_id=rows.interaction_id,
        unit_id=rows.unit_id,
        policy_version=rows.policy_version,
        action=rows.action,
        reward=rows.reward,
        propensity=np.where(np.isnan(rows.propensity), recomputed, rows.propensity),
        behavior=behavior,
        champion=pair.champion_policy.action_probabilities(rows.observations),
        challenger=pair.challenger_policy.action_probabilities(rows.observations),
        reward_model=pair.predict(rows),
        weight=rows.weight,
        day=rows.occurred_at.astype("datetime64[D]"),
        source=behavior_sources(context, rows),
    )


def with_evidence(
    context: Context, pair: Pair, found: GateRows, *, rows: LoggedInteractions, table: pa.Table
) -> GateRows:
    """The same gate rows with what only a look needs: other seeds, another reward model, and segments.

    `rows` are what `found` was made of, `table` their snapshot.
    """
    seeds = seeds_of(context, pair.challenger.version)
    distributions = [policy.action_probabilities(rows.observations) for _, policy in sorted(seeds.items())]
    logged, direct = seed_columns(distributions, action=found.action, reward_model=found.reward_model)
    settings = gate_settings(context, pair.challenger.version)
    names = segment_names(context, settings.segments)
    return replace(
        found,
        seed_logged=logged,
        seed_direct=direct,
        other_model=np.stack(other_columns(found, pair.predict_otherwise(rows)), axis=1),
        segments=segment_columns(table, names, interaction_id=found.interaction_id),
    )


def older_lifts(context: Context, pair: Pair) -> tuple[Part, ...]:
    """The challenger on time slices of the rows before its window, as far as their behavior policies are known."""
    settings = gate_settings(context, pair.challenger.version).forgetting
    rows = pair.trained_on
    rows = rows.select(np.lexsort((rows.interaction_id, rows.occurred_at)))
    rows = rows.select(np.isin(rows.policy_version, list(evaluable_versions(context))))
    low, high = reward_bounds(context.contract, context.task.reward)
    before = gate_rows(context, pair, rows)
    if not before.n:
        return ()
    unit = Plan(before.n, 1.0, low, high, weight_maximum=float(before.weight.max()))
    stream = one_step(before, look=np.ones(before.n, np.int64), plan=unit, first_stake=1.0)
    return older_parts(before, stream, settings=settings)


def plan(context: Context, pair: Pair, *, n_first: int) -> Plan:
    """Scale of the bets, from validation rows alone (they are earlier than the gate window)."""
    settings = gate_settings(context, pair.challenger.version)
    low, high = reward_bounds(context.contract, context.task.reward)
    rows = rows_before(context, pair)
    return make_plan(
        rows,
        n_planned=n_first + (settings.looks - 1) * settings.min_rows_per_look,
        reward_minimum=low,
        reward_maximum=high,
        weight_maximum=largest_weight(context, pair),
        cluster_size=usual_rows_of_a_unit(rows.unit_id),
    )


def rows_before(context: Context, pair: Pair) -> GateRows:
    """The challenger's validation rows as the gate would read them: earlier than its window, and no part of it."""
    rows = pair.trained_on.select(pair.trained_on.split == VALIDATION)
    evaluable = rows.select(np.isin(rows.policy_version, list(evaluable_versions(context))))
    return gate_rows(context, pair, evaluable)


def champion_value(context: Context, pair: Pair) -> float:
    """DR value of the champion on the validation rows, in reward per interaction."""
    rows = rows_before(context, pair)
    logged = LoggedRewards(
        action=rows.action,
        reward=rows.reward,
        propensity=rows.propensity,
        reward_model=rows.reward_model,
        unit=np.arange(rows.n),
        weight=rows.weight,
    )
    return dr.evaluate(target_terms(logged, rows.champion)).value


def largest_weight(context: Context, pair: Pair) -> float:
    """1 / the least sampling rate that the contract accepts; without one, of the rows before the gate window."""
    column = context.contract.column("sampling_rate")
    declared = column.minimum if column is not None else None
    return 1.0 / declared if declared is not None and declared > 0 else float(pair.trained_on.weight.max())
