"""The sinks of a route, as they are in this environment now."""

from __future__ import annotations

import os
from datetime import datetime

from data_contracts.home import Home
from flows.alerts.route import AlertRoute
from flows.alerts.sinks.alertmanager import AlertmanagerSink
from flows.alerts.sinks.apprise import apprise_sinks
from flows.alerts.sinks.base import Sink
from flows.alerts.sinks.log import LogSink
from flows.alerts.sinks.pagerduty import PagerDutySink
from flows.alerts.sinks.webhook import WebhookSink


def make_sinks(home: Home, route: AlertRoute, *, now: datetime) -> tuple[Sink, ...]:
    """The embedded log first, then who is to be woken, then the rest; each address once."""
    found: list[Sink] = [LogSink(home.alerts / "alerts.log")]
    if route.pagerduty is not None:
        found.append(PagerDutySink(route.pagerduty.routing_key_env, route.pagerduty.url))
    if route.alertmanager is not None:
        urls = dict.fromkeys(route.alertmanager.urls)
        found += [AlertmanagerSink(url, hold=route.alertmanager.hold, now=now) for url in urls]
    found += [WebhookSink(url) for url in dict.fromkeys(route.webhooks)]
    if route.apprise is not None:
        found += apprise_sinks(route.apprise.urls_env)
    return tuple(found)


def unset_variables(route: AlertRoute) -> tuple[str, ...]:
    """Environment variables that the route names and that hold nothing here: their sinks are down, nothing is lost."""
    named = [
        *([route.pagerduty.routing_key_env] if route.pagerduty else []),
        *([route.apprise.urls_env] if route.apprise else []),
    ]
    return tuple(name for name in named if not os.environ.get(name, "").strip())
