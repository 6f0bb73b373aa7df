"""Incidents: one per environment, contract, task and rule; opened once, repeated by interval, over when checks pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from data_contracts.errors import UsageError
from data_contracts.home import Home
from flows.alerts.events import Acknowledged, Event, Opened, Repeated, Resolved, append_event, read_events
from flows.alerts.findings import Finding
from flows.alerts.incident import Incident, fold
from flows.alerts.outbox import PAUSES, Clock, deliver_pending
from flows.alerts.plan import Check, next_event
from flows.alerts.route import AlertRoute
from flows.alerts.rules import RULES
from flows.alerts.sinks.made import make_sinks


@dataclass(frozen=True, slots=True)
class AlertResult:
    """Ids of the incidents of one task and environment after a report."""

    opened: tuple[str, ...]
    resolved: tuple[str, ...]
    still_open: tuple[str, ...]  # opened before and found again, or not checked by this run
    n_undelivered: int  # deliveries kept for the next run, of every task
    repeated: tuple[str, ...] = ()  # those of still_open that were said again


def report_findings(
    home: Home,
    *,
    task: str,
    contract: str,
    environment: str,
    findings: Sequence[Finding],
    rules_checked: Sequence[str],
    route: AlertRoute,
    now: datetime,
    run_id: str | None,
    pauses: Sequence[float] = PAUSES,
    clock: Clock = time.monotonic,
) -> AlertResult:
    """Open an incident for each finding that has none, repeat those that last, resolve those whose rule was checked and
    found whole, then deliver what is owed.

    A receiver that cannot be reached neither fails the run nor loses an event: the next report tries again,
    `pauses` are the seconds between the attempts of this one. Raises ValueError when two findings have one
    rule, or a rule is unknown; IntegrityError when the chain of events is broken.
    """
    _require_apart(findings)
    _require_known(rules_checked)
    check = Check(
        environment=environment,
        contract=contract,
        task=task,
        run_id=run_id,
        now=now,
        findings=tuple(findings),
        rules_checked=frozenset(rules_checked),
        route=route,
        sinks=tuple(sink.name for sink in make_sinks(home, route, now=now)),
    )
    said = _say_everything(home, check)
    deliveries = deliver_pending(
        home, route=route, environment=environment, task=task, now=now, pauses=pauses, clock=clock
    )
    opened = tuple(e.incident_id for e in said if isinstance(e, Opened))
    remaining = [i.incident_id for i in open_incidents(home, task) if i.environment == environment]
    return AlertResult(
        opened=opened,
        resolved=tuple(e.incident_id for e in said if isinstance(e, Resolved)),
        still_open=tuple(i for i in remaining if i not in opened),
        n_undelivered=deliveries.n_pending,
        repeated=tuple(e.incident_id for e in said if isinstance(e, Repeated) and e.sinks),
    )


def open_incidents(home: Home, task: str | None = None) -> list[Incident]:
    """Incidents that are not resolved, oldest first; of one task, or of all."""
    incidents = fold(read_events(home)).values()
    return [i for i in incidents if i.resolved_at is None and task in (None, i.task)]


def acknowledge(home: Home, incident_id: str, *, actor: str, now: datetime) -> Incident:
    """Record who has seen an open incident, and owe it to those that were told of it; the first one stays.

    `deliver_pending` tells them. Raises UsageError when the incident is not open.
    """

    def decide(events: list[Event]) -> Acknowledged | None:
        incident = _require_open(fold(events), incident_id)
        if incident.acknowledged_at is not None:
            return None
        mine = [e.sinks for e in events if isinstance(e, Opened | Repeated) and e.incident_id == incident_id]
        told = tuple(dict.fromkeys(sink for sinks in mine for sink in sinks))
        return Acknowledged(incident_id=incident_id, at=now, actor=actor, sinks=told)

    append_event(home, decide)
    return fold(read_events(home))[incident_id]


def _say_everything(home: Home, check: Check) -> list[Event]:
    said: list[Event] = []
    while (event := append_event(home, lambda events: next_event(events, check))) is not None:
        said.append(event)
    return said


def _require_apart(findings: Sequence[Finding]) -> None:
    rules = [finding.rule for finding in findings]
    if len(set(rules)) != len(rules):
        raise ValueError(f"findings of one rule: expected one finding per rule, got {rules}")


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
