"""The state of a task on one screen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.alerts.incidents import open_incidents
from flows.challenger import gate_settings, open_challenger
from flows.champion import ensure_champion
from flows.context import Context
from flows.runs import list_runs
from flows.schedule import next_tick
from flows.snapshot import take_snapshot
from flows.stages import standing_of
from flows.unread import unread_rows
from policies.gate.looks.ledger import looks_of
from policies.registry import champion_since, is_frozen, read_version

_STANDING = {
    "staged": ", staged",
    "provisional": ", provisional until its holdback has spoken",
    "final": ", final",
    "rolled_back": ", rolled back to",
}


@dataclass(frozen=True, slots=True)
class TaskStatus:
    payload: dict[str, Any]
    text: str


def task_status(context: Context, *, now: datetime) -> TaskStatus:
    """Champion and its age, last run, open challenger and its next look, next tick, open incidents."""
    champion = ensure_champion(context, now=now)
    since = champion_since(context.home, context.name) or now
    runs = list_runs(context.home, context.name)
    incidents = open_incidents(context.home, context.name)
    payload = {
        "task": context.name,
        "champion": champion,
        "champion_description": read_version(context.home, context.name, champion).description,
        "champion_since": since.isoformat(),
        "champion_age_hours": round((now - since).total_seconds() / 3600, 2),
        "standing": standing_of(context),
        "frozen": is_frozen(context.home, context.name),
        "last_run": {k: v for k, v in runs[-1].model_dump(mode="json").items() if k != "steps"} if runs else None,
        "challenger": _challenger(context, now=now),
        "next_tick": next_tick(context.task.cadence.cron, now).isoformat(),
        "incidents": [i.to_json() for i in incidents],
    }
    return TaskStatus(payload=payload, text=_text(payload))


def _challenger(context: Context, *, now: datetime) -> dict[str, Any] | None:
    version = open_challenger(context)
    if version is None:
        return None
    snapshot = take_snapshot(context, as_of=None, now=now)
    settings, unread = (
        gate_settings(context, version),
        unread_rows(context, version=version, snapshot_id=snapshot.snapshot_id),
    )
    return {
        "version": version,
        "looks_taken": len(looks_of(context.home, context.name, version)),
        "n_looks": settings.looks,
        "unread_rows": unread.n_waiting,
        "next_look_at": unread.next.ready_at.isoformat() if unread.next.ready_at else None,
        "why_no_look": unread.next.why_not,
        "rows_needed": settings.min_rows_per_look,
    }


def _text(payload: dict[str, Any]) -> str:
    lines = [
        f"{payload['task']}: champion is version {payload['champion']} ({payload['champion_description']}), "
        f"for {payload['champion_age_hours']:,.1f} h{_STANDING.get(payload['standing'], '')}"
        + (", promotion frozen" if payload["frozen"] else "")
    ]
    run = payload["last_run"]
    lines.append(f"  last run: {run['state']} at {run['moment']} ({run['command']})" if run else "  no run yet")
    challenger = payload["challenger"]
    if challenger is None:
        lines.append("  the challenger's slot is free")
    else:
        lines.append(
            f"  challenger: version {challenger['version']}, {challenger['looks_taken']} of {challenger['n_looks']} "
            f"looks taken; {challenger['unread_rows']:,} of {challenger['rows_needed']:,} unread rows for the next"
        )
        if challenger["why_no_look"]:
            lines.append(f"  next look: {challenger['why_no_look']}")
    lines.append(f"  next tick of the schedule: {payload['next_tick']}")
    lines += [f"  incident: {i['rule']}: {i['summary']}" for i in payload["incidents"]]
    return "\n".join(lines)
