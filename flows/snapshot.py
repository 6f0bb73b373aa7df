"""The task's snapshot as of a moment, and its rows as arrays."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.propensities.propensity_sources import SOURCE, fill_propensities
from data_contracts.snapshot import Snapshot, build_snapshot, load_snapshot
from flows.behavior import evaluable_versions, propensity_sources
from flows.context import Context
from flows.records import Snapshotted
from policies.logged_interactions import LoggedInteractions, from_table


def take_snapshot(
    context: Context, *, as_of: datetime | None, now: datetime, table_version: int | None = None
) -> Snapshot:
    """Everything the task has to date, as of a moment."""
    return build_snapshot(
        context.home,
        task=context.name,
        contract=context.contract,
        reward=context.task.reward,
        split=context.task.split,
        evaluable_versions=evaluable_versions(context),
        as_of=as_of,
        now=now,
        table_version=table_version,
    )


def load_rows(context: Context, snapshot_id: str) -> tuple[Snapshot, LoggedInteractions, pa.Table]:
    """A snapshot, its matured rows with a known reward as arrays, and its whole table.

    Segment columns follow the observation columns: a patched version decides by one.
    """
    snapshot, table = load_snapshot(context.home, context.name, snapshot_id)
    usable = table.filter(pc.and_(table["matured"], pc.is_valid(table["reward"])))
    filled = fill_propensities(usable, sources=propensity_sources(context), actions=context.actions)
    usable = filled.table.drop_columns([SOURCE])
    segments = (c for c in context.contract.columns if "segment" in c.roles and "observation" not in c.roles)
    observation = (*(c.name for c in context.contract.observation), *(c.name for c in segments))
    return snapshot, from_table(usable, actions=context.actions, observation=observation), table


def reference(snapshot: Snapshot) -> Snapshotted:
    """What steps hand on of a snapshot: its id and counts."""
    return Snapshotted(
        snapshot_id=snapshot.snapshot_id,
        as_of=snapshot.as_of,
        n_interactions=snapshot.n_interactions,
        n_matured=snapshot.n_matured,
        n_episodes=snapshot.n_episodes,
        table_version=snapshot.table_version,
    )
