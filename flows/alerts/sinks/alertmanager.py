"""Prometheus Alertmanager, API v2: an alert is known by its labels and lasts as long as somebody repeats it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from data_contracts.storage import canonical_json
from flows.alerts.payload import Payload, text_of
from flows.alerts.sinks.base import name_of, post_json

PATH = "/api/v2/alerts"


@dataclass(frozen=True, slots=True)
class AlertmanagerSink:
    """One member of a cluster. It keeps alerts in memory and ends them by itself, so it is told at every check that
    they last (`forgets`): until `now + hold`, which must outlast the time between two checks."""

    url: str
    hold: timedelta
    now: datetime
    forgets: bool = True

    @property
    def name(self) -> str:
        return name_of("alertmanager", self.url)

    @property
    def label(self) -> str:
        return "Alertmanager"

    def deliver(self, payload: Payload) -> None:
        if payload.event_action == "acknowledge":
            return  # it knows silences only
        post_json(self.url.rstrip("/") + PATH, canonical_json([self._alert(payload)]))

    def _alert(self, payload: Payload) -> dict[str, object]:
        ends = payload.at if payload.event_action == "resolve" else self.now + self.hold
        link = next((link for link in payload.links if link.startswith(("https://", "http://"))), None)
        return {
            "labels": {
                "alertname": f"sluice_{payload.rule}",
                "environment": payload.environment,
                "contract": payload.contract,
                "task": payload.task,
                "rule": payload.rule,
                "severity": payload.urgency,
            },
            "annotations": {
                "summary": payload.summary,
                "description": text_of(payload),
                "runbook": payload.runbook,
                "next_command": payload.next_command,
                "incident": payload.dedup_key,
            },
            "startsAt": payload.opened_at.isoformat(),
            "endsAt": ends.isoformat(),
            **({"generatorURL": link} if link else {}),
        }
