"""What receivers get of an event: one record for machines, one title and text for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from flows.alerts.events import Acknowledged, Event, Opened, Repeated, Resolved, Told
from flows.alerts.findings import Finding
from flows.alerts.incident import Incident, fold
from flows.alerts.rules import RULES, Urgency

Action = Literal["trigger", "acknowledge", "resolve"]


class Payload(BaseModel):
    """What a receiver gets, as JSON. `dedup_key` is the incident's; `event_id` is this event's, the same at every
    attempt. `repeat` counts how often the incident was said again; 0: it is new."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_action: Action
    dedup_key: str
    event_id: str
    at: datetime
    opened_at: datetime
    environment: str
    contract: str
    task: str
    run_id: str | None
    rule: str
    urgency: Urgency
    repeat: int
    acknowledged_by: str | None
    summary: str
    observed: str
    limit: str
    scope: str
    effect: str
    owner: str
    runbook: str
    links: tuple[str, ...]
    next_command: str
    blocks: bool
    rules: tuple[str, ...]
    consequences: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


def payload_of(event: Told, events: Sequence[Event]) -> Payload:
    """What `event` says, given all `events` of the chain up to it and beyond."""
    incident = fold([e for e in events if e.index <= event.index and e.incident_id == event.incident_id])[
        event.incident_id
    ]
    return _payload(incident, _action(event), at=event.at, run_id=_run_id(event, incident), event_id=_event_id(event))


def payload_of_open(incident: Incident, *, now: datetime) -> Payload:
    """That an open incident still lasts: for receivers that forget what nobody repeats."""
    event_id = f"{incident.incident_id}.trigger"
    return _payload(incident, "trigger", at=now, run_id=incident.run_id, event_id=event_id)


def title_of(payload: Payload) -> str:
    """One line, e.g. `PAGE shop/schema (prod): column x is missing`."""
    where = f"{payload.task}/{payload.rule} ({payload.environment})"
    return f"{_verb(payload)} {where}: {payload.summary}"


def text_of(payload: Payload) -> str:
    """All that a person needs, one fact a line."""
    hours = (payload.at - payload.opened_at).total_seconds() / 3600
    since = f"{payload.opened_at:%Y-%m-%d %H:%M} UTC" + (f", for {hours:.0f} h" if hours >= 1 else "")
    facts = {
        "observed": f"{payload.observed} (limit: {payload.limit})",
        "since": since,
        "scope": payload.scope,
        "effect": payload.effect,
        "because of it": "; ".join(payload.consequences),
        "rows": "; ".join(" ".join(f"{k}={v}" for k, v in row.items()) for row in payload.rows),
        "owner": payload.owner,
        "runbook": payload.runbook,
        "see": ", ".join(payload.links),
        "next": payload.next_command,
        "incident": payload.dedup_key,
    }
    return "\n".join(f"{name}: {_printable(fact)}" for name, fact in facts.items() if fact)


def log_line(payload: Payload) -> str:
    """One line for a terminal; data in a summary cannot steer it."""
    verb = {"trigger": "ALERT", "resolve": "resolved", "acknowledge": "acknowledged"}[payload.event_action]
    return _printable(
        f"{verb} {payload.urgency} {payload.task}/{payload.rule}: {payload.summary} "
        f"(next: {payload.next_command}; see {payload.runbook}) [{payload.dedup_key}]"
    )


def sample_payloads(now: datetime) -> tuple[Payload, Payload]:
    """A beginning and an end that show whether alerts arrive; nothing is wrong."""
    finding = Finding.of_rule(
        "test",
        summary="a test of the alert route: nothing is wrong",
        observed="sluice alerts test",
        limit="none",
        scope="the alert route",
        owner="whoever ran it",
        next_command=RULES["test"].command,
    )
    key = f"test.{now:%Y%m%dT%H%M%S%f}"
    opened = Opened(
        incident_id=key, index=1, at=now, environment="test", task="test", run_id=None, finding=finding, sinks=()
    )
    resolved = Resolved(incident_id=key, index=2, at=now, run_id=None, sinks=())
    return payload_of(opened, [opened, resolved]), payload_of(resolved, [opened, resolved])


def _payload(incident: Incident, action: Action, *, at: datetime, run_id: str | None, event_id: str) -> Payload:
    return Payload(
        event_action=action,
        dedup_key=incident.incident_id,
        event_id=event_id,
        at=at,
        opened_at=incident.opened_at,
        environment=incident.environment,
        contract=incident.contract,
        task=incident.task,
        run_id=run_id,
        repeat=incident.n_repeats,
        acknowledged_by=incident.acknowledged_by,
        **incident.finding.model_dump(),
    )


def _action(event: Told) -> Action:
    if isinstance(event, Acknowledged):
        return "acknowledge"
    return "resolve" if isinstance(event, Resolved) else "trigger"


def _event_id(event: Told) -> str:
    if isinstance(event, Repeated):
        return f"{event.incident_id}.repeat.{event.index}"
    return f"{event.incident_id}.{_action(event)}"


def _run_id(event: Told, incident: Incident) -> str | None:
    return incident.run_id if isinstance(event, Acknowledged) else event.run_id


def _verb(payload: Payload) -> str:
    if payload.event_action == "resolve":
        return "RESOLVED"
    if payload.event_action == "acknowledge":
        return f"SEEN by {payload.acknowledged_by}:"
    return f"{payload.urgency.upper()}{' still open' if payload.repeat else ''}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
