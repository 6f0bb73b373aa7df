"""PagerDuty, Events API v2: trigger, acknowledge and resolve under the incident's dedup key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.alerts.payload import Payload, title_of
from flows.alerts.sinks.base import ANSWER_SECONDS, TRY_AGAIN, SinkDown, SinkRefused, SinkUnset, name_of

if TYPE_CHECKING:
    from pagerduty import EventsApiV2Client

LONGEST_SUMMARY = 1024  # characters; PagerDuty refuses a longer one
SEVERITY = {"page": "critical", "ticket": "warning"}


@dataclass(frozen=True, slots=True)
class PagerDutySink:
    """One service of PagerDuty; the name is of the variable that holds its key, so that a key may be renewed."""

    key_variable: str
    url: str | None = None
    forgets: bool = False

    @property
    def name(self) -> str:
        return name_of("pagerduty", self.key_variable, self.url or "")

    @property
    def label(self) -> str:
        return f"PagerDuty, key in {self.key_variable}"

    def deliver(self, payload: Payload) -> None:
        key = os.environ.get(self.key_variable)
        if not key:
            raise SinkUnset(f"environment variable {self.key_variable} is not set")
        import httpx2
        import pagerduty

        try:
            with _client(key, self.url) as client:
                client.send_event(payload.event_action, dedup_key=payload.dedup_key, **_properties(payload))
        except pagerduty.Error as error:
            raise _failure(error.response.status_code if error.response is not None else None) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise SinkDown(type(error).__name__) from error


def _failure(status: int | None) -> Exception:
    if status is None:
        return SinkDown("no connection")
    again = status >= 500 or status in TRY_AGAIN or 200 <= status < 300  # 2xx: taken, but not by PagerDuty
    return SinkDown(f"status {status}") if again else SinkRefused(f"status {status}")


def _client(key: str, url: str | None) -> EventsApiV2Client:
    """The maintained client without its own retries: it would wait minutes, and for ever on 429 (7.2.0)."""
    from pagerduty import EventsApiV2Client

    class Client(EventsApiV2Client):
        """`url` may be plain http, which the client refuses: receivers on this machine speak no TLS."""

        @property
        def url(self) -> str:
            return url or self.default_base_url

        @url.setter
        def url(self, _: str) -> None:
            pass

    client = Client(key)
    client.retry = {429: 1}  # at once, then the answer is given to us
    client.sleep_timer = 0.0
    client.max_network_attempts = 0
    client.timeout = int(ANSWER_SECONDS)
    return client


def _properties(payload: Payload) -> dict[str, Any]:
    """What a trigger carries beside its key; the other actions need the key alone."""
    if payload.event_action != "trigger":
        return {}
    details = payload.model_dump(mode="json", exclude={"event_action", "dedup_key", "links"})
    body = {
        "summary": title_of(payload)[:LONGEST_SUMMARY],
        "source": f"sluice/{payload.environment}/{payload.task}",
        "severity": SEVERITY[payload.urgency],
        "timestamp": payload.at.isoformat(),
        "component": payload.task,
        "group": payload.contract or payload.task,
        "class": payload.rule,
        "custom_details": {**details, "links": list(payload.links)},
    }
    links = [{"href": link, "text": link} for link in payload.links if link.startswith(("https://", "http://"))]
    return {"payload": body, "client": "Sluice", **({"links": links} if links else {})}
