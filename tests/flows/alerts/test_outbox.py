"""A receiver hears of every event once; one that cannot be reached loses nothing and stops no run."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_contracts.home import Home
from flows.alerts.events import Opened, append_event
from flows.alerts.incidents import acknowledge, open_incidents
from flows.alerts.outbox import ROUND_SECONDS, count_owed, deliver_pending, send_test
from flows.alerts.route import AlertmanagerRoute, AlertRoute, AppriseRoute, PagerDutyRoute
from flows.alerts.sinks.webhook import WebhookSink
from tests.flows.alerts.receivers import Receiver, closed_port, listening
from tests.flows.alerts.small_incidents import NOW, finding, report

WEIGHT, DRIFT = "prod.shop_log.shop.expected_weight.1", "prod.shop_log.shop.drift.1"


def to(*urls: str) -> AlertRoute:
    return AlertRoute(webhooks=urls)


def pager(base: str) -> AlertRoute:
    return AlertRoute(pagerduty=PagerDutyRoute(routing_key_env="SHOP_PAGER", url=base))


def test_one_call_when_opened_none_on_repetition_one_when_resolved(home: Home, receiver: Receiver) -> None:
    route = to(receiver.url)
    for hour in (0, 0.1, 0.2):
        report(home, finding(), hour=hour, route=route)
    assert receiver.told == [("trigger", WEIGHT)]
    for hour in (0.3, 0.4):
        report(home, hour=hour, route=route)
    assert receiver.told == [("trigger", WEIGHT), ("resolve", WEIGHT)]


def test_an_hour_without_a_pager_loses_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs every ten minutes while nobody listens; back again, it hears of every event once, in order."""
    monkeypatch.setenv("SHOP_PAGER", "key")
    port = closed_port()
    route = pager(f"http://127.0.0.1:{port}")
    for tenth in range(7):
        broken = [finding()] + ([finding("drift")] if 1 <= tenth < 4 else [])
        assert report(home, *broken, hour=tenth / 6, route=route).n_undelivered > 0
    acknowledge(home, WEIGHT, actor="ada", now=NOW)
    with listening(port) as back:
        assert report(home, hour=1.2, route=route).n_undelivered == 0
        expected = [
            ("trigger", WEIGHT),
            ("trigger", DRIFT),
            ("resolve", DRIFT),
            ("acknowledge", WEIGHT),
            ("resolve", WEIGHT),
        ]
        assert back.told == expected, "the repetition after an hour is old news by now"
        report(home, hour=1.3, route=route)
        assert back.told == expected


def test_only_the_newest_repetition_is_still_owed(home: Home) -> None:
    port = closed_port()
    route = to(f"http://127.0.0.1:{port}/")
    for hour in range(8):
        report(home, finding(), hour=hour, route=route)
    assert set(count_owed(home).values()) == {2}
    with listening(port) as back:
        report(home, finding(), hour=7.5, route=route)
        assert [(call.body["event_action"], call.body["repeat"]) for call in back.calls] == [
            ("trigger", 0),
            ("trigger", 7),
        ]


def test_a_run_waits_a_bounded_time_for_a_sink_that_is_slow(home: Home, receiver: Receiver) -> None:
    route = to(receiver.url, receiver.base + "/other")
    rules = [finding(rule) for rule in ("expected_weight", "drift", "range", "unique", "finite")]
    ticks = itertools.count(step=ROUND_SECONDS / 2)
    slow = report(home, *rules, route=route, clock=lambda: float(next(ticks)))
    assert [call.path for call in receiver.calls].count("/other") == 2, "after 20 s no further delivery begins"
    assert slow.n_undelivered == 9
    assert report(home, *rules, hour=0.5, route=route).n_undelivered == 0
    assert len(receiver.taken) == 10


def test_a_sink_that_is_down_costs_its_attempts_once_however_much_it_is_owed(home: Home, receiver: Receiver) -> None:
    receiver.statuses = [503] * 99
    rules = [finding(rule) for rule in ("expected_weight", "drift", "range", "unique", "finite")]
    report(home, *rules, route=to(receiver.url), pauses=(0.0, 0.0))
    assert len(receiver.calls) == 3


def test_the_address_with_its_token_is_written_nowhere(
    home: Home, receiver: Receiver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PAGER", "secretsecret")
    monkeypatch.setenv("SHOP_ROOMS", f"json://127.0.0.1:{receiver.port}/secret")
    receiver.statuses = [500, 500, 500]
    route = AlertRoute(
        webhooks=(receiver.url, "http://127.0.0.1:1/?token=secret"),
        pagerduty=PagerDutyRoute(routing_key_env="SHOP_PAGER", url=receiver.base),
        apprise=AppriseRoute(urls_env="SHOP_ROOMS"),
    )
    report(home, finding(), route=route)
    stored = b"".join(path.read_bytes() for path in home.root.rglob("*") if path.is_file())
    assert b"secret" not in stored
    assert "secret" not in "".join(capsys.readouterr())


def test_a_hiccup_is_retried_at_once_with_the_same_key(home: Home, receiver: Receiver) -> None:
    receiver.statuses = [503, 429]
    assert report(home, finding(), route=to(receiver.url), pauses=(0.0, 0.0)).n_undelivered == 0
    assert [call.headers["idempotency-key"] for call in receiver.calls] == [f"{WEIGHT}.trigger"] * 3


def test_a_refused_event_holds_up_its_own_incident_alone(home: Home, receiver: Receiver) -> None:
    receiver.statuses = [400]
    assert report(home, finding(), finding("drift"), route=to(receiver.url)).n_undelivered == 1
    assert receiver.told == [("trigger", WEIGHT), ("trigger", DRIFT)]
    receiver.statuses = [400]
    assert report(home, finding("drift"), hour=0.5, route=to(receiver.url)).n_undelivered == 2
    assert receiver.told[2:] == [("trigger", WEIGHT)], "its end does not overtake its beginning"


def test_a_changed_address_inherits_what_the_old_one_is_owed(home: Home, receiver: Receiver) -> None:
    old = f"http://127.0.0.1:{closed_port()}/old"
    report(home, finding(), route=to(old))
    assert report(home, finding(), hour=0.1, route=to(receiver.url)).n_undelivered == 0
    assert receiver.told == [("trigger", WEIGHT)]
    assert count_owed(home) == {}


def test_an_address_that_was_removed_is_owed_nothing_and_others_hear_nothing_twice(
    home: Home, receiver: Receiver
) -> None:
    old = f"http://127.0.0.1:{closed_port()}/old"
    report(home, finding(), route=to(receiver.url, old))
    assert report(home, finding(), hour=0.1, route=to(receiver.url)).n_undelivered == 0
    assert receiver.told == [("trigger", WEIGHT)]


def test_another_task_keeps_what_its_own_sinks_are_owed(home: Home, receiver: Receiver) -> None:
    own = to(f"http://127.0.0.1:{closed_port()}/own")
    report(home, finding(), task="other", route=own)
    assert report(home, finding(), route=to(receiver.url)).n_undelivered == 1
    assert receiver.told == [("trigger", WEIGHT)]


def test_a_missing_variable_loses_nothing_and_moves_nothing(
    home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    route = AlertRoute(
        pagerduty=PagerDutyRoute(routing_key_env="SHOP_PAGER", url=receiver.base),
        apprise=AppriseRoute(urls_env="SHOP_ROOMS"),
    )
    assert report(home, finding(), route=route).n_undelivered == 2
    assert "environment variable SHOP_PAGER is not set" in capsys.readouterr().err
    monkeypatch.setenv("SHOP_PAGER", "key")
    rooms = [f"json://127.0.0.1:{receiver.port}/{room}" for room in ("a", "b")]
    monkeypatch.setenv("SHOP_ROOMS", " ".join(rooms))
    assert report(home, finding(), hour=0.1, route=route).n_undelivered == 0
    assert [call.path for call in receiver.calls] == ["/v2/enqueue", "/a", "/b"]
    monkeypatch.delenv("SHOP_ROOMS")
    report(home, hour=0.2, route=route)
    assert [call.path for call in receiver.calls[3:]] == ["/v2/enqueue"]
    monkeypatch.setenv("SHOP_ROOMS", " ".join(rooms))
    assert report(home, hour=0.3, route=route).n_undelivered == 0
    assert [call.path for call in receiver.calls[4:]] == ["/a", "/b"]


def test_an_address_that_comes_back_gets_what_it_was_owed(home: Home) -> None:
    """Also when its variable was missing meanwhile, or another address stood in for it."""
    port = closed_port()
    first, other = to(f"http://127.0.0.1:{port}/"), to(f"http://127.0.0.1:{closed_port()}/")
    for hour, route in enumerate((first, other, to(), first)):
        report(home, finding(), finding("drift"), hour=hour / 10, route=route)
    assert count_owed(home) == {}, "removed without a successor: nobody is owed anything"
    report(home, finding("range"), hour=0.5, route=first)
    report(home, finding("range"), hour=0.6, route=other)
    with listening(port) as back:
        report(home, finding("range"), hour=0.7, route=first)
        assert ("trigger", "prod.shop_log.shop.range.1") in back.told


def test_a_variable_that_is_missing_for_a_while_costs_nobody_anything(
    home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = closed_port()
    rooms = f"json://127.0.0.1:{receiver.port}/a, json://127.0.0.1:{port}/b"
    route = AlertRoute(apprise=AppriseRoute(urls_env="SHOP_ROOMS"))
    for hour, value in enumerate((rooms, "", rooms)):
        monkeypatch.setenv("SHOP_ROOMS", value)
        assert report(home, finding(), hour=hour / 10, route=route).n_undelivered == 1
    with listening(port) as b:
        assert report(home, finding(), hour=0.4, route=route).n_undelivered == 0
        assert [call.path for call in (*receiver.calls, *b.calls)] == ["/a", "/b"]


def test_alertmanager_is_told_at_every_check_that_an_alert_lasts(home: Home, receiver: Receiver) -> None:
    route = AlertRoute(alertmanager=AlertmanagerRoute(urls=(receiver.base,)))
    report(home, finding(), route=route)
    report(home, finding(), hour=0.5, route=route)
    report(home, hour=0.7, rules=("stale",), route=route)
    report(home, hour=0.9, route=route)
    report(home, hour=1.0, route=route)
    ends = [alert["endsAt"] for call in receiver.calls for alert in call.body]
    assert ends == [
        "2026-11-23T03:00:00+00:00",
        "2026-11-23T03:30:00+00:00",
        "2026-11-23T03:42:00+00:00",
        "2026-11-21T03:54:00+00:00",
    ]
    assert len({json.dumps(alert["labels"]) for call in receiver.calls for alert in call.body}) == 1


def test_an_acknowledgement_reaches_those_that_were_told(
    home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PAGER", "key")
    route = pager(receiver.base)
    report(home, finding(), route=route)
    acknowledge(home, WEIGHT, actor="ada", now=NOW)
    acknowledge(home, WEIGHT, actor="bob", now=NOW)
    deliver_pending(home, route=route, environment="prod", task="shop", now=NOW, pauses=())
    assert receiver.told == [("trigger", WEIGHT), ("acknowledge", WEIGHT)]


def test_a_redirect_is_not_a_delivery(home: Home, receiver: Receiver) -> None:
    receiver.statuses = [302]
    assert report(home, finding(), route=to(receiver.url)).n_undelivered == 1


def test_killed_between_the_event_and_its_delivery(home: Home, receiver: Receiver) -> None:
    """The process dies by SIGKILL once the incident is in the chain; the next run delivers it, under one key."""
    program = """
import os, signal, sys
from pathlib import Path
import httpx
from data_contracts.home import Home
from flows.alerts.route import AlertRoute
from tests.flows.alerts.small_incidents import finding, report
httpx.stream = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
report(Home(Path(sys.argv[1])), finding(), route=AlertRoute(webhooks=(sys.argv[2],)))
"""
    command = [sys.executable, "-c", program, str(home.root), receiver.url]
    died = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert receiver.calls == []
    assert len(open_incidents(home)) == 1
    report(home, finding(), hour=0.1, route=to(receiver.url))
    report(home, finding(), hour=0.2, route=to(receiver.url))
    assert receiver.told == [("trigger", WEIGHT)]


def test_an_event_that_was_appended_and_never_tried_is_delivered(home: Home, receiver: Receiver) -> None:
    opened = Opened(
        incident_id=WEIGHT,
        at=NOW,
        environment="prod",
        contract="shop_log",
        task="shop",
        run_id="r",
        finding=finding(),
        sinks=("log", WebhookSink(receiver.url).name),
    )
    append_event(home, lambda events: opened)
    report(home, finding(), hour=0.1, route=to(receiver.url))
    assert receiver.told == [("trigger", WEIGHT)]


def test_a_test_message_goes_through_every_sink_and_opens_nothing(home: Home, receiver: Receiver) -> None:
    down = f"http://127.0.0.1:{closed_port()}/"
    result = send_test(home, route=to(receiver.url, down), now=NOW, pauses=())
    names = {name: delivered for name, (_, delivered) in result.items()}
    assert names == {"log": True, WebhookSink(receiver.url).name: True, WebhookSink(down).name: False}
    assert [action for action, _ in receiver.told] == ["trigger", "resolve"]
    assert len({key for _, key in receiver.told}) == 1
    assert open_incidents(home) == []


def test_a_log_that_cannot_be_written_is_a_sink_that_is_down_and_stops_no_run(home: Home) -> None:
    (home.alerts / "alerts.log").mkdir(parents=True)
    assert report(home, finding()).n_undelivered == 1
    (home.alerts / "alerts.log").rmdir()
    assert report(home, finding(), hour=0.1).n_undelivered == 0
