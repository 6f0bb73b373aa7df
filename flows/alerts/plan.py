"""What a check means for the incidents: the one next event of the chain, decided by a pure function."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flows.alerts.causes import assign, find_causes
from flows.alerts.events import Event, Opened, Passed, Repeated, Resolved
from flows.alerts.findings import Finding
from flows.alerts.incident import Incident, fold
from flows.alerts.route import AlertRoute
from flows.alerts.rules import RULES


@dataclass(frozen=True, slots=True)
class Check:
    """What one run, or one look between runs, found: at most one finding per rule, and the rules it judged at all."""

    environment: str
    contract: str
    task: str
    run_id: str | None  # None: between runs
    now: datetime
    findings: tuple[Finding, ...]
    rules_checked: frozenset[str]
    route: AlertRoute
    sinks: tuple[str, ...]  # names of the route's

    @property
    def name(self) -> str:
        """A run counts as one check, however often it is taken over."""
        return self.run_id or self.now.isoformat()


def next_event(events: Sequence[Event], check: Check) -> Event | None:
    """The first event that the chain still lacks after `check`; None when it says everything.

    Appended until nothing is left, whoever else appends meanwhile: two processes with one finding open one incident.
    """
    everything = list(fold(events).values())
    mine = [i for i in everything if (i.environment, i.task) == (check.environment, check.task)]
    still_open = [i for i in mine if i.resolved_at is None]
    causes = find_causes(check.findings)
    found = assign(causes.roots, [i for i in still_open if _same_contract(i, check)])
    for incident in still_open:
        event = _of_incident(incident, found, causes.explained, check)
        if event is not None:
            return event
    for finding in found:
        if not any(i.rule == finding.rule and _same_contract(i, check) for i in still_open):
            return _opened(finding, check, everything)
    return None


def _of_incident(
    incident: Incident, found: Sequence[Finding], explained: Sequence[Finding], check: Check
) -> Event | None:
    """What is to be said of one open incident: it rose, it lasts, it is over, or nothing."""
    root, held = (_finding_of(incident, findings, check) for findings in (found, explained))
    finding = root or held
    if finding is None and _passes(incident, check):
        return _passed(incident, check)
    if root is not None and root.urgency == "page" and incident.urgency == "ticket":
        return _resolved(incident, check)  # receivers decide whom to wake when an incident begins: it is opened anew
    if incident.is_due(check.route.repeat, check.now):
        return _repeated(incident, finding or incident.finding, check, sinks=check.sinks)
    if finding is not None and (incident.n_passed > 0 or finding.rules != incident.finding.rules):
        return _repeated(incident, finding, check, sinks=())
    return None


def _finding_of(incident: Incident, findings: Sequence[Finding], check: Check) -> Finding | None:
    """That of the incident's rule; a group keeps the rules that this check did not judge."""
    finding = next((f for f in findings if f.rule == incident.rule and _same_contract(incident, check)), None)
    if finding is None or not incident.is_group:
        return finding
    unknown = [r for r in incident.finding.rules if r not in check.rules_checked and r not in finding.rules]
    return finding.model_copy(update={"rules": (*finding.rules, *unknown)})


def _passes(incident: Incident, check: Check) -> bool:
    """Every rule that the incident stands for was judged, and found whole."""
    broken = {f.rule for f in check.findings} if _same_contract(incident, check) else set()
    rules = {incident.rule, *incident.finding.rules}
    return rules <= check.rules_checked and not rules & broken


def _passed(incident: Incident, check: Check) -> Event | None:
    needed = 1 if RULES[incident.rule].closes_at_once else check.route.resolve_after
    if incident.last_check == check.name:
        return None  # this very check has been counted
    if incident.n_passed + 1 >= needed:
        return _resolved(incident, check)
    return Passed(incident_id=incident.incident_id, at=check.now, check=check.name)


def _resolved(incident: Incident, check: Check) -> Resolved:
    return Resolved(incident_id=incident.incident_id, at=check.now, run_id=check.run_id, sinks=check.sinks)


def _repeated(incident: Incident, finding: Finding, check: Check, *, sinks: tuple[str, ...]) -> Repeated:
    return Repeated(incident_id=incident.incident_id, at=check.now, run_id=check.run_id, finding=finding, sinks=sinks)


def _opened(finding: Finding, check: Check, everything: Sequence[Incident]) -> Opened:
    parts = (check.environment, check.contract, check.task, finding.rule)
    stem = ".".join(re.sub(r"[^\w-]", "-", part) for part in parts if part)
    n_earlier = sum(i.incident_id.rpartition(".")[0] == stem for i in everything)
    return Opened(
        incident_id=f"{stem}.{n_earlier + 1}",
        at=check.now,
        environment=check.environment,
        contract=check.contract,
        task=check.task,
        run_id=check.run_id,
        finding=finding,
        sinks=check.sinks,
    )


def _same_contract(incident: Incident, check: Check) -> bool:
    return incident.contract in ("", check.contract)
