"""An incident opens once, stays quiet while it lasts, and is resolved by the next clean run."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import IntegrityError, UsageError
from data_contracts.home import Home
from flows.alerts.incidents import (
    RULES,
    AlertResult,
    Finding,
    acknowledge,
    open_incidents,
    report_findings,
    stale_finding,
)

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES_CHECKED = ("contract", "drift", "run_failed")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def finding(rule: str = "contract", summary: str = "row_count failed") -> Finding:
    return Finding.of_rule(
        rule,
        summary=summary,
        observed="0 rows",
        limit="> 0",
        scope="task shop",
        owner="shop-data",
        next_command="sluice validate shop",
        links=("data_docs/index.html",),
    )


def report(home: Home, *findings: Finding, hour: int = 0, task: str = "shop", environment: str = "prod") -> AlertResult:
    return report_findings(
        home,
        task=task,
        environment=environment,
        findings=findings,
        rules_checked=RULES_CHECKED,
        webhooks=(),
        now=NOW + hour * HOUR,
        run_id=f"run{hour}",
        pauses=(),
    )


def log_lines(home: Home) -> list[dict[str, object]]:
    return [json.loads(line) for line in (home.alerts / "alerts.log").read_text().splitlines()]


def test_opened_once_then_resolved_then_opened_anew(home: Home) -> None:
    first = "prod.shop.contract.1"
    assert report(home, finding()) == AlertResult(opened=(first,), resolved=(), still_open=(), n_undelivered=0)
    assert report(home, finding(), hour=1) == AlertResult((), (), (first,), 0)
    [incident] = open_incidents(home)
    assert (incident.opened_at, incident.run_id, incident.summary) == (NOW, "run0", "row_count failed")
    assert report(home, hour=2) == AlertResult((), (first,), (), 0)
    assert report(home, hour=3) == AlertResult((), (), (), 0)
    assert open_incidents(home) == []
    assert report(home, finding(), hour=4).opened == ("prod.shop.contract.2",)
    assert [(line["event_action"], line["dedup_key"]) for line in log_lines(home)] == [
        ("trigger", first),
        ("resolve", first),
        ("trigger", "prod.shop.contract.2"),
    ]


def test_incidents_are_apart_by_rule_task_and_environment(home: Home) -> None:
    report(home, finding(), finding("drift"))
    report(home, finding(), task="other")
    report(home, finding(), environment="dev")
    assert len(open_incidents(home)) == 4
    assert report(home, finding("drift"), hour=1).resolved == ("prod.shop.contract.1",)
    assert [i.incident_id for i in open_incidents(home, "shop")] == ["prod.shop.drift.1", "dev.shop.contract.1"]
    assert [i.task for i in open_incidents(home, "other")] == ["other"]


def test_a_rule_that_was_not_checked_is_not_resolved(home: Home) -> None:
    report(home, finding("integrity"))
    assert report(home, hour=1).still_open == ("prod.shop.integrity.1",)


def test_acknowledging_keeps_the_first_name_and_silences_nothing_else(home: Home) -> None:
    report(home, finding())
    seen = acknowledge(home, "prod.shop.contract.1", actor="ada", now=NOW + HOUR)
    assert (seen.acknowledged_by, seen.acknowledged_at) == ("ada", NOW + HOUR)
    assert acknowledge(home, "prod.shop.contract.1", actor="bob", now=NOW + 2 * HOUR).acknowledged_by == "ada"
    assert open_incidents(home)[0].to_json()["acknowledged_by"] == "ada"
    assert report(home, hour=3).resolved == ("prod.shop.contract.1",)
    with pytest.raises(UsageError, match=r"no open incident 'prod\.shop\.contract\.1'"):
        acknowledge(home, "prod.shop.contract.1", actor="ada", now=NOW)


def test_mistakes_of_the_caller_are_refused(home: Home) -> None:
    with pytest.raises(ValueError, match="one finding per rule"):
        report(home, finding(), finding())
    with pytest.raises(ValueError, match="unknown rule 'typo'"):
        Finding.model_validate({**finding().model_dump(), "rule": "typo"})
    assert open_incidents(home) == []


def test_two_runs_at_once_open_one_incident(home: Home) -> None:
    results: list[AlertResult] = []
    threads = [threading.Thread(target=lambda: results.append(report(home, finding()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(r.opened) for r in results) == 1
    assert len(open_incidents(home)) == 1


def test_a_changed_event_is_found(home: Home) -> None:
    report(home, finding())
    report(home, hour=1)
    path = sorted((home.alerts / "events").iterdir())[0]
    path.write_bytes(path.read_bytes().replace(b"row_count", b"row-count"))
    with pytest.raises(IntegrityError, match="damaged entry"):
        open_incidents(home)


def test_a_summary_cannot_steer_a_terminal_or_break_the_log(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    report(home, finding(summary="bad\x1b[2J\nALERT page fake"))
    [line] = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line
    assert line.startswith("ALERT page shop/contract: bad [2J ALERT page fake (next: sluice validate shop; see infra/")
    assert len(log_lines(home)) == 1


def test_a_log_line_that_a_crash_cut_short_does_not_spoil_the_next(home: Home) -> None:
    home.alerts.mkdir()
    (home.alerts / "alerts.log").write_text('{"event_action": "trig')
    report(home, finding())
    assert json.loads((home.alerts / "alerts.log").read_text().splitlines()[1])["event_action"] == "trigger"


@pytest.mark.parametrize(("hours", "found"), [(47.9, False), (48.0, False), (48.1, True)])
def test_staleness(hours: float, found: bool) -> None:
    last = NOW - timedelta(hours=hours)
    stale = stale_finding(last, task="shop", now=NOW, stale_after_hours=48, owner="ops")
    assert (stale is not None) == found
    if stale is not None:
        assert (stale.urgency, stale.observed[:10], stale.limit) == ("page", "48.1 hours", "48 hours")


def test_a_task_that_never_succeeded_is_late_from_when_it_was_known() -> None:
    arguments: dict[str, Any] = {"task": "shop", "now": NOW, "stale_after_hours": 48.0, "owner": "ops"}
    assert stale_finding(None, **arguments) is None
    assert stale_finding(None, known_since=NOW - 47 * HOUR, **arguments) is None
    late = stale_finding(None, known_since=NOW - 49 * HOUR, **arguments)
    assert late is not None
    assert late.observed == "49.0 hours, none so far"


RUNBOOK = Path(__file__).parents[3] / "infra" / "RUNBOOK.md"


@pytest.mark.parametrize("rule", RULES)
def test_the_runbook_has_an_entry_with_commands_that_exist(rule: str) -> None:
    from flows.cli import cli

    entries = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(), re.M | re.S))
    assert finding(rule).runbook == f"infra/RUNBOOK.md#{rule}"
    entry = entries[rule]
    assert f"Urgency: {RULES[rule].urgency}." in entry
    for part in ("What it means.", "What keeps working.", "First three commands.", "Whom to call."):
        assert f"**{part}**" in entry, part
    steps = re.findall(r"^(\d)\. `sluice (\w+)", entry, re.M)
    assert [number for number, _ in steps] == ["1", "2", "3"]
    named = re.findall(r"`sluice (\w+)", entry)
    assert set(named) <= set(cli.commands)


def test_the_runbook_has_no_entry_without_a_rule() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.M) == list(RULES)
