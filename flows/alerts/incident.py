"""An incident as it is now, folded from the chain of events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from flows.alerts.events import Acknowledged, Event, Opened, Passed, Repeated, Resolved
from flows.alerts.findings import Finding
from flows.alerts.route import Repeat
from flows.alerts.rules import GROUP, Urgency


class Incident(BaseModel):
    """Something that is, or was, wrong. `incident_id` is the receivers' dedup key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    incident_id: str
    environment: str
    contract: str  # empty: opened before incidents knew their contract
    task: str
    opened_at: datetime
    run_id: str | None  # that found it; None: found between runs
    finding: Finding  # as it was last kept, with the urgency of its beginning
    told_at: datetime  # last time
    n_repeats: int = 0
    n_passed: int = 0  # checks in a row that found it whole
    last_check: str | None = None  # the last of them
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
    def is_group(self) -> bool:
        return self.rule == GROUP

    def is_due(self, repeat: Repeat, now: datetime) -> bool:
        """Whether it is time to say it again."""
        interval = self._interval(repeat)
        return interval is not None and now - self.told_at >= interval

    def _interval(self, repeat: Repeat) -> timedelta | None:
        if self.acknowledged_at is not None:
            return repeat.ticket if self.urgency == "page" else None
        return repeat.page if self.urgency == "page" else repeat.ticket

    def to_json(self) -> dict[str, object]:
        """Flat, as `sluice alerts --json` shows it."""
        own = self.model_dump(mode="json", exclude={"finding", "n_repeats", "n_passed", "last_check"})
        return {**own, "repeats": self.n_repeats, **self.finding.model_dump(mode="json")}


def fold(events: Sequence[Event]) -> dict[str, Incident]:
    """Incident id -> incident, in the order of opening."""
    incidents: dict[str, Incident] = {}
    for event in events:
        if isinstance(event, Opened):
            incidents[event.incident_id] = _opened(event)
        elif changes := _changes(event, incidents[event.incident_id]):
            incidents[event.incident_id] = incidents[event.incident_id].model_copy(update=changes)
    return incidents


def _opened(event: Opened) -> Incident:
    return Incident(
        incident_id=event.incident_id,
        environment=event.environment,
        contract=event.contract,
        task=event.task,
        opened_at=event.at,
        run_id=event.run_id,
        finding=event.finding,
        told_at=event.at,
    )


def _changes(event: Event, incident: Incident) -> dict[str, object]:
    if isinstance(event, Repeated):
        finding = event.finding.model_copy(update={"urgency": incident.urgency})
        told = {"told_at": event.at, "n_repeats": incident.n_repeats + 1} if event.sinks else {}
        return {"finding": finding, "n_passed": 0, "last_check": None, **told}
    if isinstance(event, Passed):
        return {"n_passed": incident.n_passed + 1, "last_check": event.check}
    if isinstance(event, Acknowledged):
        return {"acknowledged_at": event.at, "acknowledged_by": event.actor}
    if isinstance(event, Resolved):
        return {"resolved_at": event.at}
    return {}
