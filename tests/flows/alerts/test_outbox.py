"""A receiver hears of every event once; one that cannot be reached loses nothing and stops no run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from data_contracts.home import Home
from flows.alerts.events import Opened, append_event
from flows.alerts.incidents import AlertResult, Finding, open_incidents, report_findings
from flows.alerts.outbox import deliver_pending, send_test
from flows.alerts.sinks import LogSink, Payload, Sink, SinkDown, SinkRefused, WebhookSink

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
CONTRACT = Finding.of_rule(
    "contract",
    summary="row_count failed",
    observed="0 rows",
    limit="> 0",
    scope="task shop",
    owner="shop-data",
    next_command="sluice validate shop",
)
DRIFT = CONTRACT.model_copy(update={"rule": "drift", "urgency": "ticket"})

PAYLOAD = Payload(
    event_action="trigger",
    dedup_key="k",
    event_id="k.trigger",
    at=NOW,
    opened_at=NOW,
    environment="prod",
    task="shop",
    run_id=None,
    **CONTRACT.model_dump(),
)


@dataclass
class Receiver:
    """A real HTTP server that keeps what it got; `statuses` are its next answers, then 200."""

    server: HTTPServer
    statuses: list[int] = field(default_factory=list)
    calls: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook?token=secret"

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(body["event_action"], body["dedup_key"]) for _, body in self.calls]


def listen(port: int = 0) -> Receiver:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = heard.statuses.pop(0) if heard.statuses else 200
            heard.calls.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    heard = Receiver(HTTPServer(("127.0.0.1", port), Handler))
    threading.Thread(target=heard.server.serve_forever, args=(0.02,), daemon=True).start()
    return heard


def stop(receiver: Receiver) -> None:
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = listen()
    yield receiver
    stop(receiver)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def report(home: Home, *findings: Finding, webhooks: tuple[str, ...], pauses: tuple[float, ...] = ()) -> AlertResult:
    return report_findings(
        home,
        task="shop",
        environment="prod",
        findings=findings,
        rules_checked=("contract", "drift"),
        webhooks=webhooks,
        now=NOW,
        run_id="run1",
        pauses=pauses,
    )


def test_one_call_when_opened_none_on_repetition_one_when_resolved(home: Home, receiver: Receiver) -> None:
    hooks = (receiver.url,)
    report(home, CONTRACT, webhooks=hooks)
    report(home, CONTRACT, webhooks=hooks)
    report(home, CONTRACT, webhooks=hooks)
    assert receiver.told == [("trigger", "prod.shop.contract.1")]
    report(home, webhooks=hooks)
    report(home, webhooks=hooks)
    assert receiver.told == [("trigger", "prod.shop.contract.1"), ("resolve", "prod.shop.contract.1")]


def test_what_a_receiver_gets(home: Home, receiver: Receiver) -> None:
    report(home, CONTRACT, webhooks=(receiver.url,))
    [(headers, body)] = receiver.calls
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == body["event_id"] == "prod.shop.contract.1.trigger"
    assert body == {
        "event_action": "trigger",
        "dedup_key": "prod.shop.contract.1",
        "event_id": "prod.shop.contract.1.trigger",
        "at": "2026-11-21T03:00:00Z",
        "opened_at": "2026-11-21T03:00:00Z",
        "environment": "prod",
        "task": "shop",
        "run_id": "run1",
        "rule": "contract",
        "urgency": "page",
        "summary": "row_count failed",
        "observed": "0 rows",
        "limit": "> 0",
        "scope": "task shop",
        "effect": "Nothing was trained on this data; the champion keeps serving.",
        "owner": "shop-data",
        "runbook": "infra/RUNBOOK.md#contract",
        "links": [],
        "next_command": "sluice validate shop",
    }


def test_the_address_with_its_token_is_written_nowhere(
    home: Home, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.statuses = [500]
    report(home, CONTRACT, webhooks=(receiver.url, "http://127.0.0.1:1/?token=secret"))
    stored = b"".join(path.read_bytes() for path in home.root.rglob("*") if path.is_file())
    assert b"secret" not in stored
    assert "secret" not in "".join(capsys.readouterr())


def test_a_receiver_that_is_down_loses_nothing_and_hears_each_event_once(home: Home) -> None:
    receiver = listen()
    hooks, port = (receiver.url,), receiver.server.server_port
    stop(receiver)
    assert report(home, CONTRACT, DRIFT, webhooks=hooks).n_undelivered == 2
    assert report(home, CONTRACT, webhooks=hooks).n_undelivered == 3  # drift ended meanwhile
    back = listen(port)
    try:
        assert report(home, CONTRACT, webhooks=hooks).n_undelivered == 0
        assert back.told == [
            ("trigger", "prod.shop.contract.1"),
            ("trigger", "prod.shop.drift.1"),
            ("resolve", "prod.shop.drift.1"),
        ]
        report(home, CONTRACT, webhooks=hooks)
        assert len(back.calls) == 3
    finally:
        stop(back)


def test_a_hiccup_is_retried_at_once_with_the_same_key(home: Home, receiver: Receiver) -> None:
    receiver.statuses = [503, 429]
    assert report(home, CONTRACT, webhooks=(receiver.url,), pauses=(0.0, 0.0)).n_undelivered == 0
    assert [headers["idempotency-key"] for headers, _ in receiver.calls] == ["prod.shop.contract.1.trigger"] * 3


def test_a_refused_event_holds_up_its_own_incident_alone(home: Home, receiver: Receiver) -> None:
    receiver.statuses = [400]
    assert report(home, CONTRACT, DRIFT, webhooks=(receiver.url,)).n_undelivered == 1
    assert receiver.told == [("trigger", "prod.shop.contract.1"), ("trigger", "prod.shop.drift.1")]
    receiver.statuses = [400]
    assert report(home, DRIFT, webhooks=(receiver.url,)).n_undelivered == 2  # its end waits behind its beginning
    assert deliver_pending(home, webhooks=(receiver.url,), now=NOW, pauses=()).n_pending == 0
    assert receiver.told[-2:] == [("trigger", "prod.shop.contract.1"), ("resolve", "prod.shop.contract.1")]


def test_one_receiver_that_is_down_does_not_keep_the_others_waiting(home: Home, receiver: Receiver) -> None:
    junk = ("not an address", "http://[bad", "http://a b/", "http://\u2603\x00", "http://127.0.0.1:99999/", "")
    result = report(home, CONTRACT, webhooks=("http://127.0.0.1:1/", *junk, receiver.url))
    assert result.n_undelivered == 7
    assert receiver.told == [("trigger", "prod.shop.contract.1")]
    assert (home.alerts / "alerts.log").read_text().count("trigger") > 0


def test_a_redirect_is_not_a_delivery(home: Home, receiver: Receiver) -> None:
    receiver.statuses = [302]
    assert report(home, CONTRACT, webhooks=(receiver.url,)).n_undelivered == 1


def test_killed_between_the_event_and_its_delivery(home: Home, receiver: Receiver) -> None:
    """The process dies by SIGKILL once the incident is in the chain; the next run delivers it, under one key."""
    program = """
import os, signal, sys
from datetime import datetime, timezone
from pathlib import Path
import httpx
from data_contracts.home import Home
from flows.alerts.incidents import Finding, report_findings
httpx.stream = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
finding = Finding.of_rule("contract", summary="s", observed="o", limit="l", scope="c", owner="w", next_command="n")
report_findings(Home(Path(sys.argv[1])), task="shop", environment="prod", findings=[finding],
    rules_checked=["contract"], webhooks=[sys.argv[2]], now=datetime(2026, 11, 21, tzinfo=timezone.utc), run_id="r")
"""
    command = [sys.executable, "-c", program, str(home.root), receiver.url]
    died = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert receiver.calls == []
    assert len(open_incidents(home)) == 1
    report(home, CONTRACT, webhooks=(receiver.url,))
    report(home, CONTRACT, webhooks=(receiver.url,))
    assert receiver.told == [("trigger", "prod.shop.contract.1")]


def test_an_event_that_was_appended_and_never_tried_is_delivered(home: Home, receiver: Receiver) -> None:
    sink = WebhookSink(receiver.url).name
    opened = Opened(
        incident_id="prod.shop.contract.1",
        at=NOW,
        environment="prod",
        task="shop",
        run_id="r",
        finding=CONTRACT,
        sinks=("log", sink),
    )
    append_event(home, lambda events: opened)
    report(home, CONTRACT, webhooks=(receiver.url,))
    assert {body["dedup_key"] for _, body in receiver.calls} == {"prod.shop.contract.1"}
    assert len(receiver.calls) == 1


def test_a_test_message_goes_through_every_sink_and_opens_nothing(home: Home, receiver: Receiver) -> None:
    down = "http://127.0.0.1:1/"
    result = send_test(home, webhooks=(receiver.url, down), now=NOW, pauses=())
    assert result == {"log": True, WebhookSink(receiver.url).name: True, WebhookSink(down).name: False}
    assert [action for action, _ in receiver.told] == ["trigger", "resolve"]
    assert len({key for _, key in receiver.told}) == 1
    assert open_incidents(home) == []


@pytest.fixture(params=["log", "webhook"])
def sink(request: pytest.FixtureRequest, home: Home, receiver: Receiver) -> Sink:
    """Every kind of sink, for the laws that all of them keep."""
    return LogSink(home.root / "alerts.log") if request.param == "log" else WebhookSink(receiver.url)


def test_sinks_have_a_stable_name_and_take_the_same_payload_again(sink: Sink) -> None:
    assert "secret" not in sink.name
    assert replace(sink).name == sink.name  # type: ignore[type-var]
    sink.deliver(PAYLOAD)
    sink.deliver(PAYLOAD)


def test_a_log_that_cannot_be_written_is_a_sink_that_is_down_and_stops_no_run(home: Home) -> None:
    (home.alerts / "alerts.log").mkdir(parents=True)
    assert report(home, CONTRACT, webhooks=()).n_undelivered == 1
    (home.alerts / "alerts.log").rmdir()
    assert report(home, CONTRACT, webhooks=()).n_undelivered == 0


def test_answers_of_a_webhook(receiver: Receiver) -> None:
    for status, error in ((500, SinkDown), (429, SinkDown), (404, SinkRefused), (301, SinkRefused)):
        receiver.statuses = [status]
        with pytest.raises(error, match=str(status)):
            WebhookSink(receiver.url).deliver(PAYLOAD)
