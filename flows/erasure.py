"""A unit leaves a task for good, and every policy that learned from its rows is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from data_contracts.amendments.erasure import Plan, erase, plan_of, was_erased
from data_contracts.amendments.found_unit import Found, find_unit
from data_contracts.errors import UsageError
from data_contracts.ingest import ingest_lock
from flows.alerts.masking import hash_id
from flows.context import Context
from policies.lineage import versions_from


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased, or would be; `unit_hash` and `tables` are empty for a plan."""

    unit_hash: str | None
    plan: Plan
    tables: dict[str, int]
    again: bool  # the unit had been erased before


def plan_erasure(context: Context, unit: str) -> Erased:
    """What an erasure would touch; nothing changes. Raises UsageError when the task does not know the unit."""
    with ingest_lock(context.home, context.name):
        _, plan, again = _find(context, unit)
    return Erased(unit_hash=None, plan=plan, tables={}, again=again)


def erase_unit(context: Context, unit: str, *, reason: str | None, now: datetime) -> Erased:
    """Erase the unit; a second time, or after a crash, this does what is left. Holds the ingest lock of the task.

    Raises UsageError when the task does not know the unit, SluiceError when an id of it is left somewhere.
    """
    with ingest_lock(context.home, context.name):
        found, plan, again = _find(context, unit)
        done = erase(context.home, context.name, found, plan, reason=reason, actor=context.actor, now=now)
    return Erased(unit_hash=done.unit_hash, plan=done.plan, tables=done.tables, again=again)


def _find(context: Context, unit: str) -> tuple[Found, Plan, bool]:
    home, task = context.home, context.name
    found = find_unit(home, task, unit, context.contract)
    masks = frozenset(map(hash_id, found.subject.ids))
    found = replace(found, subject=replace(found.subject, masks=masks))
    again = was_erased(home, task, unit) is not None
    if not found.anything and not again:
        raise UsageError(
            f"unknown unit in task {task}: expected a unit_id with at least one row or line, got one with none. "
            "Check its spelling; every task is erased on its own."
        )
    return found, plan_of(found, policies=versions_from(home, task, found.snapshots)), again
