"""Where an alert goes: a log on this machine, and webhooks. A sink delivers one payload or says why not."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from data_contracts.home import Home
from data_contracts.storage import canonical_json
from flows.alerts.rules import Urgency

CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 5.0  # a run waits so long for one attempt
TRY_AGAIN = (408, 425, 429)  # and every 5xx: the receiver may take the same payload later


class SinkDown(Exception):
    """Nobody takes deliveries there now; worth another attempt."""


class SinkRefused(Exception):
    """The receiver answered, and does not want this payload."""


class Payload(BaseModel):
    """What a receiver gets, as JSON. `dedup_key` is the incident's; `event_id` is this event's, the same at every
    attempt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_action: Literal["trigger", "resolve"]
    dedup_key: str
    event_id: str
    at: datetime
    opened_at: datetime
    environment: str
    task: str
    run_id: str | None
    rule: str
    urgency: Urgency
    summary: str
    observed: str
    limit: str
    scope: str
    effect: str
    owner: str
    runbook: str
    links: tuple[str, ...]
    next_command: str


class Sink(Protocol):
    @property
    def name(self) -> str:
        """Stable and free of secrets; deliveries are recorded under it."""
        ...

    def deliver(self, payload: Payload) -> None:
        """Deliver once. Raises SinkDown or SinkRefused."""
        ...


@dataclass(frozen=True, slots=True)
class LogSink:
    """One JSON line per event in a file, one readable line on stderr."""

    path: Path
    name: str = "log"

    def deliver(self, payload: Payload) -> None:
        line = payload.model_dump_json().encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _append_line(self.path, line)
        except OSError as error:
            raise SinkDown(str(error)) from error
        sys.stderr.write(_readable(payload) + "\n")


@dataclass(frozen=True, slots=True)
class WebhookSink:
    """A JSON POST; any 2xx answer means delivered. The URL may hold a token, so it is never stored or shown."""

    url: str

    @property
    def name(self) -> str:
        return f"webhook:{hashlib.sha256(self.url.encode()).hexdigest()[:12]}"

    def deliver(self, payload: Payload) -> None:
        import httpx

        headers = {"Content-Type": "application/json", "Idempotency-Key": payload.event_id}
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        body = canonical_json(payload.model_dump(mode="json"))
        try:
            with httpx.stream("POST", self.url, content=body, headers=headers, timeout=timeout) as answer:
                status = answer.status_code  # the body is not read: it may be of any size
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise SinkDown(type(error).__name__) from error
        if status >= 500 or status in TRY_AGAIN:
            raise SinkDown(f"status {status}")
        if not 200 <= status < 300:
            raise SinkRefused(f"status {status}")


def make_sinks(home: Home, webhooks: Sequence[str]) -> tuple[Sink, ...]:
    """The embedded log first, then one sink per distinct webhook."""
    return (LogSink(home.alerts / "alerts.log"), *(WebhookSink(url) for url in dict.fromkeys(webhooks)))


def _append_line(path: Path, line: bytes) -> None:
    """Append durably; a line that a crash cut short stays alone, so the next one is whole."""
    with path.open("ab+") as stream:
        if stream.tell() and os.pread(stream.fileno(), 1, stream.tell() - 1) != b"\n":
            line = b"\n" + line
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())


def _readable(payload: Payload) -> str:
    verb = "ALERT" if payload.event_action == "trigger" else "resolved"
    text = (
        f"{verb} {payload.urgency} {payload.task}/{payload.rule}: {payload.summary} "
        f"(next: {payload.next_command}; see {payload.runbook}) [{payload.dedup_key}]"
    )
    return "".join(c if c.isprintable() else " " for c in text)  # data in a summary must not steer a terminal
