"""Deliveries that nothing loses: an event stays owed to a sink until the chain says it was delivered."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from data_contracts.home import Home
from flows.alerts.events import Delivered, Event, Told, append_event, read_events
from flows.alerts.incident import fold
from flows.alerts.owed import orphan, owed
from flows.alerts.payload import Payload, payload_of, payload_of_open, sample_payloads
from flows.alerts.route import AlertRoute
from flows.alerts.sinks.base import Sink, SinkDown, SinkRefused, SinkUnset
from flows.alerts.sinks.made import make_sinks

PAUSES: Final = (0.2, 0.8)  # seconds before the second and the third attempt; then the next check tries
ROUND_SECONDS: Final = 20.0  # after which no further delivery to one sink begins; a run waits no longer for a slow one

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What one round achieved; `n_pending` counts (event, sink) pairs, also of other tasks' sinks."""

    n_delivered: int
    n_pending: int


def deliver_pending(
    home: Home,
    *,
    route: AlertRoute,
    environment: str,
    task: str,
    now: datetime,
    pauses: Sequence[float] = PAUSES,
    clock: Clock = time.monotonic,
) -> Deliveries:
    """Try everything that is owed to the sinks of a task's route, oldest first; what is owed to a sink that left the
    route goes to those that are on it.

    A sink that is down costs its attempts once and keeps its events. Two processes may deliver one event at the same
    moment; receivers know it by its dedup key (webhooks also by `Idempotency-Key`).
    """
    sinks = make_sinks(home, route, now=now)
    _redirect(home, [sink.name for sink in sinks], environment=environment, task=task, now=now)
    events = read_events(home)
    debts = owed(events)
    n_delivered = 0
    for sink in sinks:
        mine = [event for event, name in debts if name == sink.name]
        round_ = _Round(sink, events, now=now, pauses=pauses, clock=clock)
        n_delivered += round_.deliver(home, mine)
    return Deliveries(n_delivered, len(debts) - n_delivered)


def send_test(
    home: Home, *, route: AlertRoute, now: datetime, pauses: Sequence[float] = PAUSES
) -> dict[str, tuple[str, bool]]:
    """Send a test incident and its end through every sink; sink name -> (label, delivered). Opens no incident."""
    payloads = sample_payloads(now)
    return {
        sink.name: (sink.label, all(_attempt(sink, payload, pauses) == "delivered" for payload in payloads))
        for sink in make_sinks(home, route, now=now)
    }


def count_owed(home: Home) -> dict[str, int]:
    """Sink name -> events that wait for it; only sinks that are owed something."""
    counts: dict[str, int] = {}
    for _, sink in owed(read_events(home)):
        counts[sink] = counts.get(sink, 0) + 1
    return counts


class _Round:
    """One sink's turn: it ends when the sink is down or its time is up."""

    def __init__(
        self, sink: Sink, events: Sequence[Event], *, now: datetime, pauses: Sequence[float], clock: Clock
    ) -> None:
        self._sink, self._events, self._now, self._pauses, self._clock = sink, events, now, pauses, clock
        self._deadline = clock() + ROUND_SECONDS

    def deliver(self, home: Home, debts: Sequence[Told]) -> int:
        """Returns how many events were delivered. The end of an incident never overtakes its beginning."""
        n_delivered, refused = 0, set[str]()
        for event in debts:
            if event.incident_id in refused:
                continue
            outcome = self._try(payload_of(event, self._events))
            if outcome == "down":
                return n_delivered
            if outcome == "refused":
                refused.add(event.incident_id)
                continue
            _record(home, event, self._sink.name, self._now)
            n_delivered += 1
        if self._sink.forgets:
            self._remind({event.incident_id for event in debts})
        return n_delivered

    def _remind(self, told_now: set[str]) -> None:
        """Say of every open incident that it lasts; nothing of this is kept or owed: the next check says it again."""
        told = {e.incident_id for e in self._events if isinstance(e, Delivered) and e.sink == self._sink.name}
        for incident in fold(self._events).values():
            lasts = incident.resolved_at is None and incident.incident_id in told - told_now
            if lasts and self._try(payload_of_open(incident, now=self._now)) == "down":
                return

    def _try(self, payload: Payload) -> Literal["delivered", "down", "refused"]:
        if self._clock() > self._deadline:
            _complain(self._sink, payload, f"was too slow (over {ROUND_SECONDS:g} s for this run)")
            return "down"
        return _attempt(self._sink, payload, self._pauses)


def _redirect(home: Home, names: Sequence[str], *, environment: str, task: str, now: datetime) -> None:
    def decide(events: list[Event]) -> Event | None:
        return orphan(events, names, environment=environment, task=task, now=now)

    while append_event(home, decide) is not None:
        pass


def _attempt(sink: Sink, payload: Payload, pauses: Sequence[float]) -> Literal["delivered", "down", "refused"]:
    reason = ""
    for pause in (0.0, *pauses):
        time.sleep(pause)
        try:
            sink.deliver(payload)
        except SinkUnset as error:
            reason = str(error)
            break
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


def _record(home: Home, event: Told, sink: str, now: datetime) -> None:
    def decide(events: list[Event]) -> Delivered | None:
        if (event.index, sink) not in [(e.index, name) for e, name in owed(events)]:
            return None  # another process delivered it too, or nobody has to hear of it any more
        return Delivered(incident_id=event.incident_id, at=now, event=event.index, sink=sink)

    append_event(home, decide)
