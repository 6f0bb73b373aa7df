"""A planted shift: one webhook call, none on repetition, one resolve after a clean batch."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.end_to_end.cli import sluice
from tests.end_to_end.conftest import Site
from tests.tiny_task import rows, write_jsonl, write_task

pytestmark = pytest.mark.xdist_group("tiny")


@pytest.fixture
def pager() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A real HTTP receiver on loopback: its address, and what it was sent."""
    received: list[dict[str, object]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/page", received
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_planted_shift_pages_once_and_resolves_itself(
    site: Site, tmp_path: Path, pager: tuple[str, list[dict[str, object]]]
) -> None:
    address, received = pager
    task = write_task(site.task.parent, webhook=address)
    shifted = write_jsonl(tmp_path / "shifted.jsonl", rows(600, seed=7, day=10, days=2, shift=2.5))
    blocked = sluice(site.home, "retrain", task, "--from", shifted, code=3)
    assert "drift" in blocked.out["error"]["message"]
    assert [e["event_action"] for e in received] == ["trigger"]
    sluice(site.home, "retrain", task, "--from", shifted, code=3)
    sluice(site.home, "validate", task, code=3)
    assert len(received) == 1, "repetition does not page again"
    (incident,) = sluice(site.home, "alerts").out["incidents"]
    assert incident["rule"] == "drift"
    clean = write_jsonl(tmp_path / "clean.jsonl", rows(600, seed=8, day=12, days=2))
    sluice(site.home, "retrain", task, "--from", clean)
    assert [e["event_action"] for e in received] == ["trigger", "resolve"]
    assert received[0]["dedup_key"] == received[1]["dedup_key"]
    assert sluice(site.home, "alerts").out["incidents"] == []


def test_a_broken_contract_opens_an_incident_and_trains_nothing(
    site: Site, tmp_path: Path, pager: tuple[str, list[dict[str, object]]]
) -> None:
    address, received = pager
    task = write_task(site.task.parent, webhook=address)
    renamed = [{**row, "propensity": 1.0} for row in rows(600, seed=9, day=10)]  # a renamed column once did this
    blocked = sluice(site.home, "retrain", task, "--from", write_jsonl(tmp_path / "ones.jsonl", renamed), code=3)
    assert "expected_weight" in blocked.out["error"]["message"]
    assert len(received) == 1
    assert sluice(site.home, "policies", task).out["aliases"]["champion"] == 2


def test_silence_opens_an_incident(site: Site) -> None:
    task = write_task(site.task.parent)
    task.write_text(task.read_text().replace("stale_after_hours: 1000000", "stale_after_hours: 0.0000001"))
    sluice(site.home, "status", task)
    incidents = sluice(site.home, "alerts", "check", task).out["incidents"]
    assert [i["rule"] for i in incidents] == ["stale"]
