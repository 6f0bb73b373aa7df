"""Incidents: one per environment, task and rule; opened once, resolved by the next clean run, folded from the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from data_contracts.errors import UsageError
from data_contracts.home import Home
from flows.alerts.events import Acknowledged, Event, Opened, Resolved, append_event, read_events
from flows.alerts.outbox import PAUSES, deliver_pending
from flows.alerts.rules import RULES, Finding, Urgency, stale_finding
from flows.alerts.sinks import make_sinks

__all__ = [
    "RULES",
    "AlertResult",
    "Finding",
    "Incident",
    "acknowledge",
    "open_incidents",
    "report_findings",
    "stale_finding",
]


class Incident(BaseModel):
    """Something that is, or was, wrong. `incident_id` is the receivers' dedup key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    incident_id: str
    environment: str
    task: str
    opened_at: datetime
    run_id: str | None  # that found it; None: found between runs
    finding: Finding  # as it was when the incident was opened
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None

    @property
    def rule(self) -> str:
        return self.finding.rule

    @property
    def urgency(self) -> Urgency:
        return self.finding.urgency

    @property
    def summary(self) -> str:
        return self.finding.summary

    @property
    def key(self) -> tuple[str, str, str]:
        return self.environment, self.task, self.rule

    def to_json(self) -> dict[str, object]:
        """Flat, as `sluice alerts --json` shows it."""
        own = self.model_dump(mode="json", exclude={"finding"})
        return {**own, **self.finding.model_dump(mode="json")}


@dataclass(frozen=True, slots=True)
class AlertResult:
    """Ids of the incidents of one task and environment after a report."""

    opened: tuple[str, ...]
    resolved: tuple[str, ...]
    still_open: tuple[str, ...]  # opened before and found again, or not checked by this run
    n_undelivered: int  # deliveries kept for the next run, of every task


def report_findings(
    home: Home,
    *,
    task: str,
    environment: str,
    findings: Sequence[Finding],
    rules_checked: Sequence[str],
    webhooks: Sequence[str],
    now: datetime,
    run_id: str | None,
    pauses: Sequence[float] = PAUSES,
) -> AlertResult:
    """Open an incident for each finding that has none, resolve those whose rule was checked and found clean, then
    deliver what is pending.

    A receiver that cannot be reached neither fails the run nor loses an event: the next report tries again,
    `pauses` are the seconds between the attempts of this one. Raises ValueError when two findings have one
    rule, or a rule is unknown; IntegrityError when the chain of events is broken.
    """
    found = _by_rule(findings)
    _require_known(rules_checked)
    sinks = tuple(sink.name for sink in make_sinks(home, webhooks))
    opened, resolved = [], []
    for finding in found.values():
        new = _open(home, finding, task=task, environment=environment, sinks=sinks, now=now, run_id=run_id)
        opened += [new.incident_id] if new is not None else []
    for rule in dict.fromkeys(rules_checked):
        if rule not in found:
            ended = _resolve(home, (environment, task, rule), sinks=sinks, now=now, run_id=run_id)
            resolved += [ended.incident_id] if ended is not None else []
    deliveries = deliver_pending(home, webhooks=webhooks, now=now, pauses=pauses)
    remaining = [i.incident_id for i in open_incidents(home, task) if i.environment == environment]
    return AlertResult(
        opened=tuple(opened),
        resolved=tuple(resolved),
        still_open=tuple(i for i in remaining if i not in opened),
        n_undelivered=deliveries.n_pending,
    )


def open_incidents(home: Home, task: str | None = None) -> list[Incident]:
    """Incidents that are not resolved, oldest first; of one task, or of all."""
    incidents = _fold(read_events(home)).values()
    return [i for i in incidents if i.resolved_at is None and task in (None, i.task)]


def acknowledge(home: Home, incident_id: str, *, actor: str, now: datetime) -> Incident:
    """Record who has seen an open incident; the first one stays. Raises UsageError when it is not open."""

    def decide(events: list[Event]) -> Acknowledged | None:
        incident = _require_open(_fold(events), incident_id)
        if incident.acknowledged_at is not None:
            return None
        return Acknowledged(incident_id=incident_id, at=now, actor=actor)

    append_event(home, decide)
    return _fold(read_events(home))[incident_id]


def _open(
    home: Home,
    finding: Finding,
    *,
    task: str,
    environment: str,
    sinks: tuple[str, ...],
    now: datetime,
    run_id: str | None,
) -> Event | None:
    """The new event, or None when the incident is open already (perhaps by another process)."""
    key = (environment, task, finding.rule)

    def decide(events: list[Event]) -> Opened | None:
        earlier = [i for i in _fold(events).values() if i.key == key]
        if any(i.resolved_at is None for i in earlier):
            return None
        return Opened(
            incident_id=".".join([*key, str(len(earlier) + 1)]),
            at=now,
            environment=environment,
            task=task,
            run_id=run_id,
            finding=finding,
            sinks=sinks,
        )

    return append_event(home, decide)


def _resolve(
    home: Home, key: tuple[str, str, str], *, sinks: tuple[str, ...], now: datetime, run_id: str | None
) -> Event | None:
    """The new event, or None when no incident of that key is open."""

    def decide(events: list[Event]) -> Resolved | None:
        for incident in _fold(events).values():
            if incident.key == key and incident.resolved_at is None:
                return Resolved(incident_id=incident.incident_id, at=now, run_id=run_id, sinks=sinks)
        return None

    return append_event(home, decide)


def _fold(events: list[Event]) -> dict[str, Incident]:
    """Incident id -> incident, in the order of opening."""
    incidents: dict[str, Incident] = {}
    for event in events:
        key = event.incident_id
        if isinstance(event, Opened):
            incidents[key] = Incident(
                incident_id=key,
                environment=event.environment,
                task=event.task,
                opened_at=event.at,
                run_id=event.run_id,
                finding=event.finding,
            )
        elif isinstance(event, Resolved):
            incidents[key] = incidents[key].model_copy(update={"resolved_at": event.at})
        elif isinstance(event, Acknowledged):
            seen = {"acknowledged_at": event.at, "acknowledged_by": event.actor}
            incidents[key] = incidents[key].model_copy(update=seen)
    return incidents


def _by_rule(findings: Sequence[Finding]) -> dict[str, Finding]:
    found = {finding.rule: finding for finding in findings}
    if len(found) != len(findings):
        raise ValueError(f"findings of one rule: expected one finding per rule, got {[f.rule for f in findings]}")
    return found


def _require_known(rules: Sequence[str]) -> None:
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown:
        raise ValueError(f"unknown rules checked: expected some of {', '.join(RULES)}, got {unknown}")


def _require_open(incidents: dict[str, Incident], incident_id: str) -> Incident:
    incident = incidents.get(incident_id)
    if incident is None or incident.resolved_at is not None:
        known = [i.incident_id for i in incidents.values() if i.resolved_at is None]
        raise UsageError(
            f"no open incident {incident_id!r}: expected one of {len(known)} ({', '.join(known[:5])}). "
            "See `sluice alerts`."
        )
    return incident
