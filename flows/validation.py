"""Validate the task's rows as of a moment against its contract and against the champion's training snapshot."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.ingest import read_batches
from data_contracts.outcomes import attach_rewards
from data_contracts.snapshot import load_snapshot
from data_contracts.store import read_interactions, read_outcomes
from data_contracts.validation import ValidationResult, validate_rows
from flows.behavior import known_versions
from flows.context import Context
from policies.registry import aliases, read_version


def validate(context: Context, *, as_of: datetime | None, now: datetime) -> ValidationResult:
    """Contract and drift on everything up to `as_of`; Data Docs are published beside the store."""
    moment = as_of or now
    rows = read_interactions(context.home, context.name)
    rows = rows.filter(pc.less_equal(rows["occurred_at"], pa.scalar(moment, rows.schema.field("occurred_at").type)))
    outcomes = read_outcomes(context.home, context.name)
    rewarded = attach_rewards(rows, outcomes, reward=context.task.reward, as_of=moment)
    reference_name, reference = _reference(context)
    present = _batches_in_order(context, rows)
    return validate_rows(
        rewarded.table,
        contract=context.contract,
        actions=context.actions,
        known_versions=known_versions(context),
        reference=reference,
        reference_name=reference_name,
        newest_batch=present[-1] if present else None,
        batch_order=tuple(present),
        docs_folder=context.home.data_docs(context.name),
        as_of=moment,
    )


def _reference(context: Context) -> tuple[str | None, pa.Table | None]:
    champion = aliases(context.home, context.name)["champion"]
    if champion is None:
        return None, None
    snapshot_id = read_version(context.home, context.name, champion).snapshot_id
    if snapshot_id is None:
        return None, None
    return f"training snapshot of version {champion}", load_snapshot(context.home, context.name, snapshot_id)[1]


def _batches_in_order(context: Context, rows: pa.Table) -> list[str]:
    """The batches that have rows here, in the order in which they were ingested."""
    present = set(pc.unique(rows["batch_id"]).to_pylist())
    return [b.batch_id for b in read_batches(context.home, context.name) if b.batch_id in present]
