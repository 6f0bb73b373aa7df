"""Who is still to be told what: folded from the chain of events, pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flows.alerts.events import Acknowledged, Delivered, Event, Opened, Redirected, Repeated, Resolved, Told


def owed(events: Sequence[Event]) -> list[tuple[Told, str]]:
    """(event, sink) pairs that were not delivered, oldest event first.

    A repetition is owed only until something newer is told of its incident: a receiver that was away for a week hears
    that it began, that it lasts, or that it is over, not 168 times that it lasts.
    """
    done = {(e.event, e.sink) for e in events if isinstance(e, Delivered)}
    news = {e.incident_id: e.index for e in events if isinstance(e, Repeated | Resolved) and e.sinks}
    moved = _redirections(events)
    return [
        (event, sink)
        for event in events
        if isinstance(event, Opened | Repeated | Acknowledged | Resolved)
        and not (isinstance(event, Repeated) and event.index < news.get(event.incident_id, 0))
        for sink in _addressees(event, moved.get(event.index, ()))
        if (event.index, sink) not in done
    ]


def orphan(
    events: Sequence[Event], sinks: Sequence[str], *, environment: str, task: str, now: datetime
) -> Redirected | None:
    """The first delivery of a task that is owed to a sink no longer among its `sinks` (an address was changed, or
    removed): all of these inherit it, and those that heard of the event already hear nothing. None: nothing is."""
    mine = {e.incident_id for e in events if isinstance(e, Opened) and (e.environment, e.task) == (environment, task)}
    for event, sink in owed(events):
        if event.incident_id in mine and sink not in sinks:
            return Redirected(incident_id=event.incident_id, at=now, event=event.index, sink=sink, to=tuple(sinks))
    return None


def _addressees(event: Told, moved: Sequence[Redirected]) -> list[str]:
    names = list(event.sinks)
    for redirected in moved:
        names = [name for name in names if name != redirected.sink]
        names += [name for name in redirected.to if name not in names]
    return names


def _redirections(events: Sequence[Event]) -> dict[int, list[Redirected]]:
    """Index of the redirected event -> its redirections, oldest first."""
    moved: dict[int, list[Redirected]] = {}
    for event in events:
        if isinstance(event, Redirected):
            moved.setdefault(event.event, []).append(event)
    return moved
