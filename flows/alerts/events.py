"""The append-only chain of alert events; open incidents and owed deliveries are folded from it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from data_contracts.errors import IntegrityError
from data_contracts.home import Home
from data_contracts.storage import append_chain, read_chain
from flows.alerts.findings import Finding


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    incident_id: str
    at: datetime
    index: int = 0  # position in the chain, set when it is appended
    previous: str = ""
    seal: str = ""


class Opened(_Event):
    kind: Literal["opened"] = "opened"
    environment: str
    contract: str = ""  # its id; empty in chains that are older than this field
    task: str
    run_id: str | None  # None: found between runs
    finding: Finding
    sinks: tuple[str, ...]  # names of those to be told


class Repeated(_Event):
    """It lasts. `sinks` are told again; none: the chain only keeps what it looks like now."""

    kind: Literal["repeated"] = "repeated"
    run_id: str | None
    finding: Finding
    sinks: tuple[str, ...]


class Passed(_Event):
    """A check found it whole, but not yet often enough; `check` names that check, so that it counts once."""

    kind: Literal["passed"] = "passed"
    check: str


class Resolved(_Event):
    kind: Literal["resolved"] = "resolved"
    run_id: str | None
    sinks: tuple[str, ...]


class Acknowledged(_Event):
    kind: Literal["acknowledged"] = "acknowledged"
    actor: str
    sinks: tuple[str, ...] = ()


class Delivered(_Event):
    kind: Literal["delivered"] = "delivered"
    event: int  # index of the event that was delivered
    sink: str


class Redirected(_Event):
    """The sink left the route before it could be told: `to` are told in its place, unless they were."""

    kind: Literal["redirected"] = "redirected"
    event: int
    sink: str
    to: tuple[str, ...]


Told = Opened | Repeated | Acknowledged | Resolved  # what receivers hear of
Event = Opened | Repeated | Passed | Acknowledged | Resolved | Delivered | Redirected


def read_events(home: Home) -> list[Event]:
    """All events, oldest first. Raises IntegrityError when the chain is broken."""
    return _parse(read_chain(_folder(home)), home)


def append_event(home: Home, decide: Callable[[list[Event]], Event | None]) -> Event | None:
    """Append what `decide` makes of the events so far; None: there is nothing to do.

    When another process was first, `decide` sees its event and decides again.
    """

    def build(entries: list[dict[str, Any]]) -> dict[str, Any]:
        event = decide(_parse(entries, home))
        if event is None:
            raise _NothingToDo
        return event.model_dump(mode="json", exclude={"index", "previous", "seal"})

    try:
        entry = append_chain(_folder(home), build)
    except _NothingToDo:
        return None
    return _parse([entry], home)[0]


class _NothingToDo(Exception):
    pass


def _parse(entries: list[dict[str, Any]], home: Home) -> list[Event]:
    try:
        return _adapter().validate_python(entries)
    except ValidationError as error:
        raise IntegrityError(
            f"unknown alert event in {_folder(home)}: expected opened, repeated, passed, resolved, acknowledged, "
            f"delivered or redirected, got {error.error_count()} wrong fields. Restore the folder from a backup, or "
            "use the Sluice release that wrote it.",
            path=str(_folder(home)),
        ) from error


def _folder(home: Home) -> Path:
    return home.alerts / "events"


@cache
def _adapter() -> TypeAdapter[list[Event]]:
    return TypeAdapter(list[Annotated[Event, Field(discriminator="kind")]])
