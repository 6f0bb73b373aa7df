"""Validate the task's rows as of a moment against its contract and against the champion's training snapshot."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.checks import Section
from data_contracts.drift.records import DriftResult
from data_contracts.drift.source import Chunks, ParquetChunks, TableChunks
from data_contracts.expectations import schema_problems
from data_contracts.ingest import read_batches
from data_contracts.language.evolution import is_read_as_stored, read_as
from data_contracts.rewards.outcome_checks import outcome_section
from data_contracts.rewards.outcome_rows import COLUMNS as OUTCOME_COLUMNS
from data_contracts.rewards.outcome_rows import looked_at_since
from data_contracts.rewards.reward_settings import reward_bounds
from data_contracts.row_source import MATURED, StoredRows
from data_contracts.sla import sla_section
from data_contracts.snapshot import open_snapshot
from data_contracts.units.influence import influence_section
from data_contracts.validation import ValidationResult, validate_rows
from flows.behavior import known_versions
from flows.context import Context
from flows.drift_review import name_causes, weigh_drift
from flows.log_health import log_health
from policies.registry import aliases, read_version, resting_version

INFLUENCE_COLUMNS = ("unit_id", "interaction_id", "occurred_at", "action", "reward", "sampling_rate")


def validate(context: Context, *, as_of: datetime | None, now: datetime) -> ValidationResult:
    """Contract, drift and the sections on everything up to `as_of`; Data Docs are published beside the store."""
    moment = as_of or now
    rows = stored_rows(context, moment)
    reference_name, reference = _reference(context)
    present = _batches_in_order(context, rows)
    newest = present[-1] if present else None

    def review(drift: DriftResult) -> DriftResult:
        weighed = weigh_drift(context, drift, rows, newest, now=now) if drift.relevance_needed else drift
        return replace(weighed, possible_causes=name_causes(context, weighed, rows))

    return validate_rows(
        rows,
        contract=context.contract,
        actions=context.actions,
        known_versions=known_versions(context),
        reference=reference,
        reference_name=reference_name,
        newest_batch=newest,
        batch_order=tuple(present),
        docs_folder=context.home.data_docs(context.name),
        as_of=moment,
        attribution_window=context.task.reward.longest_window,
        review_drift=review,
        reward_bounds=reward_bounds(context.contract, context.task.reward),
        sections=() if schema_problems(rows.schema, context.contract) else _sections(context, rows, moment),
    )


def stored_rows(context: Context, as_of: datetime) -> StoredRows:
    """The task's rows that occurred until `as_of`, as its contract reads them."""
    return StoredRows(context.home, context.name, context.contract, context.task.reward, as_of)


def _sections(context: Context, rows: StoredRows, moment: datetime) -> tuple[Section, ...]:
    """What is judged beside the contract's own expectations; each needs a few columns of the rows only."""
    reward = context.task.reward
    recent = _gather(rows, OUTCOME_COLUMNS, since=looked_at_since(reward, moment))
    influence = _gather(rows, INFLUENCE_COLUMNS)
    return (
        _service_levels(context, rows, moment),
        *log_health(context, rows, as_of=moment),
        outcome_section(recent, rows.outcomes, reward=reward, as_of=moment),
        influence_section(influence, actions=context.actions, settings=context.task.influence),
    )


def _service_levels(context: Context, rows: StoredRows, moment: datetime) -> Section:
    promised = {promise.element for promise in context.contract.completeness}
    if "outcomes" not in promised:
        return sla_section(context.contract, _gather(rows, ("occurred_at",))["occurred_at"], now=moment)
    logged = _gather(rows, ("interaction_id", "occurred_at", "reward"))
    answered = pc.or_(
        pc.is_in(logged["interaction_id"], rows.outcomes["interaction_id"].combine_chunks()),
        pc.is_valid(logged["reward"]),
    )
    matured = pc.less_equal(pc.add(logged["occurred_at"], context.task.reward.attribution_window), moment)
    return sla_section(
        context.contract,
        logged["occurred_at"],
        now=moment,
        matured=matured.to_numpy(),
        answered=answered.to_numpy(),
    )


def _gather(rows: StoredRows, columns: Collection[str], *, since: datetime | None = None) -> pa.Table:
    """Rows with `columns` only; `reward` as it was logged."""
    schema = pa.schema([rows.schema.field(name) for name in columns])
    chunks = [schema.empty_table()]
    for chunk in rows.as_logged(columns):
        recent = chunk if since is None else chunk.filter(pc.greater_equal(chunk["occurred_at"], since))
        chunks.append(recent.select(list(columns)).cast(schema))
    return pa.concat_tables(chunks)


def _reference(context: Context) -> tuple[str | None, Chunks | None]:
    champion = aliases(context.home, context.name)["champion"]
    if champion is None:
        return None, None
    champion = resting_version(context.home, context.name, champion)  # of a stage: the policy that most units have
    snapshot_id = read_version(context.home, context.name, champion).snapshot_id
    if snapshot_id is None:
        return None, None
    name = f"training snapshot of version {champion}"
    snapshot, file = open_snapshot(context.home, context.name, snapshot_id)
    if is_read_as_stored([snapshot.contract_version], context.contract):
        return name, ParquetChunks(file)
    rows = pq.read_table(file, partitioning=None)
    return name, TableChunks(read_as(rows, context.contract).append_column(MATURED, rows[MATURED]))


def _batches_in_order(context: Context, rows: StoredRows) -> list[str]:
    """The batches that have rows here, in the order in which they were ingested."""
    present = {batch for chunk in rows.chunks(["batch_id"]) for batch in pc.unique(chunk["batch_id"]).to_pylist()}
    return [b.batch_id for b in read_batches(context.home, context.name) if b.batch_id in present]
