"""What every sink promises, on every kind of sink, against real receivers; then what each kind says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from data_contracts.home import Home
from flows.alerts.events import Acknowledged, Opened, Repeated, Resolved
from flows.alerts.payload import Payload, payload_of, text_of, title_of
from flows.alerts.route import AlertmanagerRoute, AlertRoute, AppriseRoute, PagerDutyRoute
from flows.alerts.sinks.alertmanager import AlertmanagerSink
from flows.alerts.sinks.apprise import AppriseSink, UnsetSink, apprise_sinks
from flows.alerts.sinks.base import Sink, SinkDown, SinkRefused, SinkUnset
from flows.alerts.sinks.log import LogSink
from flows.alerts.sinks.made import make_sinks, unset_variables
from flows.alerts.sinks.pagerduty import PagerDutySink
from flows.alerts.sinks.webhook import WebhookSink
from tests.flows.alerts.receivers import Receiver, closed_port
from tests.flows.alerts.small_incidents import HOUR, NOW, finding

KEY = "prod.shop_log.shop.expected_weight.1"
ROUTING_KEY = "secret0123456789secret0123456789"
HOLD = timedelta(days=2)
FOUND = finding(consequences=("drift: z 9, expected 0",), rows=({"unit_id": "#12345678", "action": "left"},))
OPENED = Opened(
    incident_id=KEY,
    index=1,
    at=NOW,
    environment="prod",
    contract="shop_log",
    task="shop",
    run_id="run0",
    finding=FOUND,
    sinks=("log",),
)
EVENTS = [
    OPENED,
    Repeated(incident_id=KEY, index=2, at=NOW + HOUR, run_id="run1", finding=FOUND, sinks=("log",)),
    Acknowledged(incident_id=KEY, index=3, at=NOW + 2 * HOUR, actor="ada"),
    Resolved(incident_id=KEY, index=4, at=NOW + 3 * HOUR, run_id="run3", sinks=("log",)),
]
TRIGGER, REPEAT, ACKNOWLEDGE, RESOLVE = (payload_of(event, EVENTS) for event in EVENTS)


@dataclass(frozen=True)
class Kind:
    """A kind of sink: how it is made for an address, and the actions that its receiver hears of."""

    name: str
    make: Callable[[str], Sink]
    hears: tuple[Payload, ...] = (TRIGGER, REPEAT, ACKNOWLEDGE, RESOLVE)


def _apprise_url(base: str) -> str:
    return base.replace("http://", "json://") + "/hook?token=secret"


KINDS = (
    Kind("webhook", lambda base: WebhookSink(f"{base}/hook?token=secret")),
    Kind("pagerduty", lambda base: PagerDutySink("SHOP_PAGER", base)),
    Kind("alertmanager", lambda base: AlertmanagerSink(base, hold=HOLD, now=NOW), (TRIGGER, REPEAT, RESOLVE)),
    Kind("apprise", lambda base: AppriseSink(_apprise_url(base)), (TRIGGER, REPEAT, RESOLVE)),
)


@pytest.fixture(autouse=True)
def _routing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PAGER", ROUTING_KEY)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_event_is_one_call_in_order_and_may_be_sent_again(kind: Kind, receiver: Receiver) -> None:
    sink = kind.make(receiver.base)
    for payload in (TRIGGER, REPEAT, ACKNOWLEDGE, RESOLVE):
        sink.deliver(payload)
    assert len(receiver.taken) == len(kind.hears)
    sink.deliver(TRIGGER)
    assert receiver.calls[-1].body == receiver.calls[0].body, "the same event says the same"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_receiver_in_trouble_is_down_and_is_asked_again_later(kind: Kind, status: int, receiver: Receiver) -> None:
    receiver.statuses = [status] * 9
    with pytest.raises(SinkDown):
        kind.make(receiver.base).deliver(TRIGGER)
    assert len(receiver.calls) <= 2, "its client does not wait and retry behind our back"
    receiver.statuses = []
    kind.make(receiver.base).deliver(TRIGGER)
    assert len(receiver.taken) == 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_a_receiver_does_not_want_is_refused(kind: Kind, status: int, receiver: Receiver) -> None:
    receiver.statuses = [status]
    expected = SinkDown if kind.name == "apprise" else SinkRefused  # Apprise does not say why
    with pytest.raises(expected):
        kind.make(receiver.base).deliver(TRIGGER)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nobody_there_is_down_without_a_word_of_the_secret(kind: Kind, capfd: pytest.CaptureFixture[str]) -> None:
    sink = kind.make(f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(SinkDown) as error:
        sink.deliver(TRIGGER)
    assert "secret" not in "".join((str(error.value), *capfd.readouterr()))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_names_are_stable_and_free_of_secrets(kind: Kind) -> None:
    sink = kind.make("http://127.0.0.1:9")
    assert sink.name == kind.make("http://127.0.0.1:9").name == replace(sink).name  # type: ignore[type-var]
    assert sink.name != kind.make("http://127.0.0.1:10").name
    assert sink.name.startswith(f"{kind.name}:")
    assert "secret" not in sink.name + sink.label
    assert "127" not in sink.name


def test_the_log_takes_the_same_event_again(home: Home) -> None:
    sink = LogSink(home.root / "alerts.log")
    sink.deliver(TRIGGER)
    sink.deliver(TRIGGER)
    assert (home.root / "alerts.log").read_text().count("\n") == 2


def test_what_a_webhook_gets(receiver: Receiver) -> None:
    WebhookSink(receiver.url).deliver(TRIGGER)
    [call] = receiver.calls
    assert call.headers["content-type"] == "application/json"
    assert call.headers["idempotency-key"] == call.body["event_id"] == f"{KEY}.trigger"
    assert call.body == {
        "event_action": "trigger",
        "dedup_key": KEY,
        "event_id": f"{KEY}.trigger",
        "at": "2026-11-21T03:00:00Z",
        "opened_at": "2026-11-21T03:00:00Z",
        "environment": "prod",
        "contract": "shop_log",
        "task": "shop",
        "run_id": "run0",
        "rule": "expected_weight",
        "urgency": "page",
        "repeat": 0,
        "acknowledged_by": None,
        "summary": "expected_weight is broken",
        "observed": "0.33",
        "limit": "1",
        "scope": "task shop",
        "effect": FOUND.effect,
        "owner": "shop-data, #shop",
        "runbook": "infra/RUNBOOK.md#expected_weight",
        "links": ["/srv/data_docs/index.html", "https://sluice.example.org/runs/1"],
        "next_command": "sluice validate shop",
        "blocks": False,
        "rules": [],
        "consequences": ["drift: z 9, expected 0"],
        "rows": [{"unit_id": "#12345678", "action": "left"}],
    }


def test_what_pagerduty_gets(receiver: Receiver) -> None:
    sink = PagerDutySink("SHOP_PAGER", receiver.base)
    for payload in (TRIGGER, REPEAT, ACKNOWLEDGE, RESOLVE):
        sink.deliver(payload)
    trigger, repeat, acknowledge, resolve = (call.body for call in receiver.calls)
    assert {call.path for call in receiver.calls} == {"/v2/enqueue"}
    assert {call.body["routing_key"] for call in receiver.calls} == {ROUTING_KEY}
    assert receiver.told == [("trigger", KEY), ("trigger", KEY), ("acknowledge", KEY), ("resolve", KEY)]
    details = trigger["payload"].pop("custom_details")
    assert trigger["payload"] == {
        "summary": "PAGE shop/expected_weight (prod): expected_weight is broken",
        "source": "sluice/prod/shop",
        "severity": "critical",
        "timestamp": "2026-11-21T03:00:00+00:00",
        "component": "shop",
        "group": "shop_log",
        "class": "expected_weight",
    }
    assert (details["observed"], details["limit"], details["owner"]) == ("0.33", "1", "shop-data, #shop")
    assert details["links"] == list(FOUND.links)
    assert [link["href"] for link in trigger["links"]] == ["https://sluice.example.org/runs/1"], "web addresses only"
    assert "still open" in repeat["payload"]["summary"]
    assert set(acknowledge) == set(resolve) == {"routing_key", "event_action", "dedup_key"}


def test_pagerduty_takes_no_longer_summary_than_1024_characters(receiver: Receiver) -> None:
    long = TRIGGER.model_copy(update={"summary": "word " * 1000, "urgency": "ticket"})
    PagerDutySink("SHOP_PAGER", receiver.base).deliver(long)
    assert len(receiver.calls[0].body["payload"]["summary"]) == 1024
    assert receiver.calls[0].body["payload"]["severity"] == "warning"


def test_what_alertmanager_gets(receiver: Receiver) -> None:
    sink = AlertmanagerSink(receiver.base + "/", hold=HOLD, now=NOW + HOUR)
    for payload in (TRIGGER, REPEAT, ACKNOWLEDGE, RESOLVE):
        sink.deliver(payload)
    assert {call.path for call in receiver.calls} == {"/api/v2/alerts"}
    [[trigger], [repeat], [resolve]] = (call.body for call in receiver.calls)
    assert (
        trigger["labels"]
        == repeat["labels"]
        == resolve["labels"]
        == {
            "alertname": "sluice_expected_weight",
            "environment": "prod",
            "contract": "shop_log",
            "task": "shop",
            "rule": "expected_weight",
            "severity": "page",
        }
    )
    assert {alert["startsAt"] for alert in (trigger, repeat, resolve)} == {"2026-11-21T03:00:00+00:00"}
    assert trigger["endsAt"] == "2026-11-23T04:00:00+00:00", "now + hold, however late it is delivered"
    assert resolve["endsAt"] == "2026-11-21T06:00:00+00:00"
    assert trigger["generatorURL"] == "https://sluice.example.org/runs/1"
    assert trigger["annotations"]["summary"] == "expected_weight is broken"
    assert "limit: 1" in trigger["annotations"]["description"]
    assert trigger["annotations"]["runbook"] == "infra/RUNBOOK.md#expected_weight"


def test_what_apprise_says(receiver: Receiver) -> None:
    sink = AppriseSink(_apprise_url(receiver.base))
    for payload in (TRIGGER, REPEAT, ACKNOWLEDGE, RESOLVE):
        sink.deliver(payload)
    said = [(call.body["title"], call.body["type"]) for call in receiver.calls]
    assert said == [
        ("PAGE shop/expected_weight (prod): expected_weight is broken", "failure"),
        ("PAGE still open shop/expected_weight (prod): expected_weight is broken", "failure"),
        ("RESOLVED shop/expected_weight (prod): expected_weight is broken", "success"),
    ]
    assert "observed: 0.33 (limit: 1)" in receiver.calls[0].body["message"]


def test_the_text_for_people_says_all_that_they_need() -> None:
    assert text_of(REPEAT).splitlines() == [
        "observed: 0.33 (limit: 1)",
        "since: 2026-11-21 03:00 UTC, for 1 h",
        "scope: task shop",
        f"effect: {FOUND.effect}",
        "because of it: drift: z 9, expected 0",
        "rows: unit_id=#12345678 action=left",
        "owner: shop-data, #shop",
        "runbook: infra/RUNBOOK.md#expected_weight",
        "see: /srv/data_docs/index.html, https://sluice.example.org/runs/1",
        "next: sluice validate shop",
        f"incident: {KEY}",
    ]
    assert title_of(ACKNOWLEDGE).startswith("SEEN by ada: shop/")


def test_a_missing_variable_is_a_sink_that_is_down_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_PAGER")
    for sink in (PagerDutySink("SHOP_PAGER"), *apprise_sinks("SHOP_ROOMS")):
        with pytest.raises(SinkUnset, match=r"environment variable SHOP_(PAGER|ROOMS) is not set"):
            sink.deliver(TRIGGER)
    monkeypatch.setenv("SHOP_ROOMS", "no address at all")
    with pytest.raises(SinkUnset, match="no URL that Apprise understands"):
        apprise_sinks("SHOP_ROOMS")[0].deliver(TRIGGER)


def test_the_sinks_of_a_route(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    route = AlertRoute(
        webhooks=("http://a/", "http://b/", "http://a/"),
        pagerduty=PagerDutyRoute(routing_key_env="SHOP_PAGER"),
        alertmanager=AlertmanagerRoute(urls=("http://c:9093", "http://d:9093")),
        apprise=AppriseRoute(urls_env="SHOP_ROOMS"),
    )
    monkeypatch.setenv(
        "SHOP_ROOMS", "json://e/?to=x,y, slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ\njson://f/"
    )
    kinds = [sink.name.partition(":")[0] for sink in make_sinks(home, route, now=NOW)]
    assert kinds == ["log", "pagerduty", *["alertmanager"] * 2, *["webhook"] * 2, *["apprise"] * 3]
    assert unset_variables(route) == ()
    monkeypatch.delenv("SHOP_ROOMS")
    monkeypatch.setenv("SHOP_PAGER", " ")
    assert unset_variables(route) == ("SHOP_PAGER", "SHOP_ROOMS")
    assert isinstance(make_sinks(home, route, now=NOW)[-1], UnsetSink)
    assert len(make_sinks(home, AlertRoute(), now=NOW)) == 1


@pytest.mark.parametrize(
    "wrong", [{"repeat": {"page": "PT0S"}}, {"pagerduty": {"routing_key_env": "no name"}}, {"resolve_after": 0}]
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        AlertRoute.model_validate(wrong)
