"""Slack, e-mail, Teams and whatever else Apprise reaches: messages for people, without dedup or resolve."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flows.alerts.payload import Payload, text_of, title_of
from flows.alerts.sinks.base import SinkDown, SinkUnset, name_of

BETWEEN_URLS = re.compile(r"\s+|\s*,\s*(?=[a-z][a-z0-9+.-]*://)")  # a comma inside a URL separates its targets


@dataclass(frozen=True, slots=True)
class AppriseSink:
    """One URL of Apprise. It says that an incident began, lasts, or is over; an acknowledgement is no news to it."""

    url: str
    forgets: bool = False

    @property
    def name(self) -> str:
        return name_of("apprise", self.url)

    @property
    def label(self) -> str:
        return f"Apprise, {self.url.partition(':')[0]}"

    def deliver(self, payload: Payload) -> None:
        if payload.event_action == "acknowledge":
            return
        with _quietly():
            import apprise

            room = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Sluice", app_desc="alerts"))
            if not room.add(self.url):
                raise SinkUnset("no URL that Apprise understands")
            kind = _kind(payload)
            if not room.notify(title=title_of(payload), body=text_of(payload), notify_type=apprise.NotifyType(kind)):
                raise SinkDown("Apprise could not deliver")


@dataclass(frozen=True, slots=True)
class UnsetSink:
    """Stands for sinks whose URLs are not in this environment; what it is owed goes to them once they are."""

    variable: str
    forgets: bool = False

    @property
    def name(self) -> str:
        return name_of("unset", self.variable)

    @property
    def label(self) -> str:
        return f"Apprise, URLs in {self.variable}"

    def deliver(self, payload: Payload) -> None:
        raise SinkUnset(f"environment variable {self.variable} is not set")


def apprise_sinks(variable: str) -> tuple[AppriseSink | UnsetSink, ...]:
    """One sink per URL in the environment variable, so that one that is down delays no other."""
    urls = [url for url in BETWEEN_URLS.split(os.environ.get(variable, "")) if url]
    return tuple(AppriseSink(url) for url in dict.fromkeys(urls)) or (UnsetSink(variable),)


def _kind(payload: Payload) -> str:
    if payload.event_action == "resolve":
        return "success"
    return "failure" if payload.urgency == "page" else "warning"


@contextmanager
def _quietly() -> Iterator[None]:
    """Apprise logs what a receiver answered, and imports imghdr, which Python 3.11 deprecates (apprise 1.13.1)."""
    logger = logging.getLogger("apprise")
    propagated, handler = logger.propagate, logging.NullHandler()
    logger.propagate = False
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.propagate = propagated
        logger.removeHandler(handler)
