"""Deliveries that nothing loses: an event stays pending for a sink until the chain says it was delivered."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from data_contracts.home import Home
from flows.alerts.events import Delivered, Event, Opened, Resolved, append_event, read_events
from flows.alerts.rules import Finding
from flows.alerts.sinks import Payload, Sink, SinkDown, SinkRefused, make_sinks

Action = Literal["trigger", "resolve"]

PAUSES = (0.2, 0.8)  # seconds before the second and the third attempt; then the next run tries


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What one round achieved; `n_pending` counts (event, sink) pairs, also of sinks no longer configured."""

    n_delivered: int
    n_pending: int


def deliver_pending(
    home: Home, *, webhooks: Sequence[str], now: datetime, pauses: Sequence[float] = PAUSES
) -> Deliveries:
    """Try every pending delivery, oldest first. An unreachable sink costs its attempts once and keeps its events.

    Two processes may deliver one event at the same moment; the receiver knows it by `Idempotency-Key`.
    """
    events = read_events(home)
    pending = _pending(events)
    n_delivered = sum(
        _deliver_to(home, sink, [e for e, name in pending if name == sink.name], events=events, now=now, pauses=pauses)
        for sink in make_sinks(home, webhooks)
    )
    return Deliveries(n_delivered, len(pending) - n_delivered)


def send_test(
    home: Home, *, webhooks: Sequence[str], now: datetime, pauses: Sequence[float] = PAUSES
) -> dict[str, bool]:
    """Send a test incident and its end through every sink; returns sink name -> delivered. Opens no incident."""
    opened, resolved = _test_events(now)
    payloads = (_payload(opened, opened), _payload(resolved, opened))
    return {
        sink.name: all(_attempt(sink, payload, pauses) == "delivered" for payload in payloads)
        for sink in make_sinks(home, webhooks)
    }


def _pending(events: list[Event]) -> list[tuple[Opened | Resolved, str]]:
    done = {(e.event, e.sink) for e in events if isinstance(e, Delivered)}
    told = [e for e in events if isinstance(e, Opened | Resolved)]
    return [(event, sink) for event in told for sink in event.sinks if (event.index, sink) not in done]


def _deliver_to(
    home: Home,
    sink: Sink,
    events_for_it: Sequence[Opened | Resolved],
    *,
    events: list[Event],
    now: datetime,
    pauses: Sequence[float],
) -> int:
    """Returns how many were delivered. The end of an incident never overtakes its beginning."""
    opened = {e.incident_id: e for e in events if isinstance(e, Opened)}
    n_delivered, refused = 0, set[str]()
    for event in events_for_it:
        if event.incident_id in refused:
            continue
        outcome = _attempt(sink, _payload(event, opened[event.incident_id]), pauses)
        if outcome == "down":
            break
        if outcome == "refused":
            refused.add(event.incident_id)
            continue
        _record(home, event, sink.name, now)
        n_delivered += 1
    return n_delivered


def _attempt(sink: Sink, payload: Payload, pauses: Sequence[float]) -> Literal["delivered", "down", "refused"]:
    reason = ""
    for pause in (0.0, *pauses):
        time.sleep(pause)
        try:
            sink.deliver(payload)
        except SinkDown as error:
            reason = str(error)
        except SinkRefused as error:
            _complain(sink, payload, f"refused it ({error})")
            return "refused"
        else:
            return "delivered"
    _complain(sink, payload, f"is unreachable ({reason})")
    return "down"


def _complain(sink: Sink, payload: Payload, what: str) -> None:
    sys.stderr.write(f"alert {payload.event_id} not delivered: {sink.name} {what}; it is kept for the next run\n")


def _record(home: Home, event: Opened | Resolved, sink: str, now: datetime) -> None:
    def decide(events: list[Event]) -> Delivered | None:
        if (event, sink) not in _pending(events):
            return None  # another process delivered it too
        return Delivered(incident_id=event.incident_id, at=now, event=event.index, sink=sink)

    append_event(home, decide)


def _payload(event: Opened | Resolved, opened: Opened) -> Payload:
    action: Action = "trigger" if isinstance(event, Opened) else "resolve"
    return Payload(
        event_action=action,
        dedup_key=event.incident_id,
        event_id=f"{event.incident_id}.{action}",
        at=event.at,
        opened_at=opened.at,
        environment=opened.environment,
        task=opened.task,
        run_id=event.run_id,
        **opened.finding.model_dump(),
    )


def _test_events(now: datetime) -> tuple[Opened, Resolved]:
    finding = Finding.of_rule(
        "test",
        summary="a test of the alert route: nothing is wrong",
        observed="sluice alerts test",
        limit="none",
        scope="the alert route",
        owner="whoever ran it",
        next_command="sluice alerts",
    )
    key = f"test.{now:%Y%m%dT%H%M%S%f}"
    opened = Opened(incident_id=key, at=now, environment="test", task="test", run_id=None, finding=finding, sinks=())
    return opened, Resolved(incident_id=key, at=now, run_id=None, sinks=())
