"""A planted shift and a broken feed: one call, none on repetition, one resolve when the data is whole again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.cli import sluice
from tests.end_to_end.conftest import Site
from tests.flows.alerts.receivers import Receiver, closed_port, listening
from tests.tiny_task import rows, write_jsonl, write_task

pytestmark = pytest.mark.xdist_group("tiny")


@pytest.fixture
def pager() -> Iterator[Receiver]:
    """A real HTTP receiver on loopback: its address, and what it was sent."""
    with listening() as receiver:
        yield receiver


def told(receiver: Receiver, rule: str) -> list[str]:
    """Actions that a webhook or PagerDuty heard of one rule's incidents."""
    return [action for action, key in receiver.told if f".{rule}." in key]


def test_a_planted_shift_pages_once_and_resolves_itself(site: Site, tmp_path: Path, pager: Receiver) -> None:
    task = write_task(site.task.parent, webhook=pager.url)
    shifted = write_jsonl(tmp_path / "shifted.jsonl", rows(600, seed=7, day=10, days=2, shift=2.5))
    blocked = sluice(site.home, "retrain", task, "--from", shifted, code=3)
    assert "drift" in blocked.out["error"]["message"]
    assert told(pager, "drift") == ["trigger"]
    sluice(site.home, "retrain", task, "--from", shifted, code=3)
    sluice(site.home, "validate", task, code=3)
    assert told(pager, "drift") == ["trigger"], "repetition does not page again"
    assert "drift" in [i["rule"] for i in sluice(site.home, "alerts").out["incidents"]]
    clean = write_jsonl(tmp_path / "clean.jsonl", rows(1200, seed=8, day=12, days=8))  # seven quiet cells close it
    sluice(site.home, "retrain", task, "--from", clean)
    assert told(pager, "drift") == ["trigger", "resolve"]
    assert len({key for _, key in pager.told if ".drift." in key}) == 1
    assert "drift" not in [i["rule"] for i in sluice(site.home, "alerts").out["incidents"]]


def test_a_broken_contract_opens_an_incident_and_trains_nothing(site: Site, tmp_path: Path, pager: Receiver) -> None:
    task = write_task(site.task.parent, webhook=pager.url)
    renamed = [{**row, "propensity": 1.0} for row in rows(600, seed=9, day=10)]  # a renamed column once did this
    ones = write_jsonl(tmp_path / "ones.jsonl", renamed)
    blocked = sluice(site.home, "retrain", task, "--from", ones, code=3)
    assert "expected_weight" in blocked.out["error"]["message"]
    sluice(site.home, "retrain", task, "--from", ones, code=3)
    pages = [call.body for call in pager.calls if call.body["urgency"] == "page"]
    assert len(pages) == 1, "one page, and what follows from it is listed there"
    assert any("drift" in text for text in pages[0]["consequences"])
    assert "expected_weight" in pages[0]["rule"] + "".join(pages[0]["consequences"])
    assert sluice(site.home, "policies", task).out["aliases"]["champion"] == 2


def test_a_broken_feed_is_one_page_also_when_the_pager_was_away(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renamed column rejects every line: two deliveries while PagerDuty cannot be reached, one after, one whole."""
    monkeypatch.setenv("TINY_PAGER_KEY", "secret-routing-key")
    port, task = closed_port(), site.task
    route = f"{{pagerduty: {{routing_key_env: TINY_PAGER_KEY, url: 'http://127.0.0.1:{port}'}}}}"
    task.write_text(task.read_text().replace("alerts: {webhooks: []}", f"alerts: {route}"))
    for day in (10, 11):
        renamed = [{**row, "z": row.pop("x")} for row in rows(60, seed=day, day=day, days=1)]
        sluice(site.home, "retrain", task, "--from", write_jsonl(tmp_path / f"{day}.jsonl", renamed))
    [incident] = [i for i in sluice(site.home, "alerts").out["incidents"] if i["rule"] == "quarantine"]
    assert incident["urgency"] == "page"
    with listening(port) as pager:
        sluice(site.home, "retrain", task, "--from", tmp_path / "11.jsonl")
        assert told(pager, "quarantine") == ["trigger"], "nothing was lost, and three runs are one page"
        sluice(site.home, "alerts", "ack", incident["incident_id"])
        whole = write_jsonl(tmp_path / "12.jsonl", rows(60, seed=12, day=12, days=1))
        sluice(site.home, "retrain", task, "--from", whole)
        assert told(pager, "quarantine") == ["trigger", "acknowledge", "resolve"]
        assert {call.body["routing_key"] for call in pager.calls} == {"secret-routing-key"}
    stored = b"".join(path.read_bytes() for path in (site.home / "alerts").rglob("*") if path.is_file())
    assert b"secret-routing-key" not in stored


def test_silence_opens_an_incident(site: Site) -> None:
    task = write_task(site.task.parent)
    task.write_text(task.read_text().replace("stale_after_hours: 1000000", "stale_after_hours: 0.0000001"))
    sluice(site.home, "status", task)
    incidents = sluice(site.home, "alerts", "check", task).out["incidents"]
    assert {"stale", "freshness"} <= {i["rule"] for i in incidents}, "no run, and no row since October"
