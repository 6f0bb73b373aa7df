"""What every sink promises, and what it says when it cannot deliver."""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

from flows.alerts.payload import Payload

CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 5.0  # a run waits so long for one attempt
TRY_AGAIN: Final = (408, 425, 429)  # and every 5xx: the receiver may take the same payload later


class SinkDown(Exception):
    """Nobody takes deliveries there now; worth another attempt."""


class SinkUnset(SinkDown):
    """Its address or key is not in this environment: nothing to attempt before that changes."""


class SinkRefused(Exception):
    """The receiver answered, and does not want this payload."""


class Sink(Protocol):
    @property
    def name(self) -> str:
        """Its kind and a hash: stable and free of secrets. Deliveries are recorded under it."""
        ...

    @property
    def label(self) -> str:
        """For people: what the task file says, without anything secret."""
        ...

    @property
    def forgets(self) -> bool:
        """Whether the receiver drops an open alert that nobody repeats: then it is told at every check."""
        ...

    def deliver(self, payload: Payload) -> None:
        """Deliver once; an acknowledgement that means nothing there is done. Raises SinkDown or SinkRefused."""
        ...


def name_of(kind: str, *secrets: str) -> str:
    return f"{kind}:{hashlib.sha256(chr(0).join(secrets).encode()).hexdigest()[:12]}"


def require_taken(status: int) -> None:
    """Raises SinkDown or SinkRefused unless an HTTP status says that the payload was taken."""
    if status >= 500 or status in TRY_AGAIN:
        raise SinkDown(f"status {status}")
    if not 200 <= status < 300:
        raise SinkRefused(f"status {status}")


def post_json(url: str, body: bytes, headers: dict[str, str] | None = None) -> None:
    """POST JSON; any 2xx answer is a delivery. The answer's body is not read: it may be of any size."""
    import httpx

    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    every = {"Content-Type": "application/json", **(headers or {})}
    try:
        with httpx.stream("POST", url, content=body, headers=every, timeout=timeout) as answer:
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise SinkDown(type(error).__name__) from error
    require_taken(status)
