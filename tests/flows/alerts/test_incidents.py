"""An incident opens once, is repeated by interval while it lasts, and is resolved when checks pass."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import IntegrityError, UsageError
from data_contracts.home import Home
from data_contracts.storage import append_chain
from flows.alerts.findings import Finding, fresh_finding, refused_in_a_row, stale_finding
from flows.alerts.incidents import AlertResult, acknowledge, open_incidents
from flows.alerts.route import AlertRoute, Repeat
from tests.flows.alerts.small_incidents import HOUR, NOW, finding, report

FIRST = "prod.shop_log.shop.expected_weight.1"
PATIENT = AlertRoute(repeat=Repeat(page=timedelta(days=99), ticket=timedelta(days=99)))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def log_lines(home: Home) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home.alerts / "alerts.log").read_text().splitlines()]


def told(home: Home) -> list[tuple[str, str]]:
    return [(line["event_action"], line["dedup_key"]) for line in log_lines(home)]


def test_opened_once_then_resolved_then_opened_anew(home: Home) -> None:
    assert report(home, finding()) == AlertResult(opened=(FIRST,), resolved=(), still_open=(), n_undelivered=0)
    assert report(home, finding(), hour=0.5) == AlertResult((), (), (FIRST,), 0)
    [incident] = open_incidents(home)
    assert (incident.opened_at, incident.run_id, incident.summary) == (NOW, "run0", "expected_weight is broken")
    assert report(home, hour=0.6) == AlertResult((), (FIRST,), (), 0)
    assert report(home, hour=0.7) == AlertResult((), (), (), 0)
    assert open_incidents(home) == []
    second = "prod.shop_log.shop.expected_weight.2"
    assert report(home, finding(), hour=4).opened == (second,)
    assert told(home) == [("trigger", FIRST), ("resolve", FIRST), ("trigger", second)]


def test_incidents_are_apart_by_rule_task_environment_and_contract(home: Home) -> None:
    report(home, finding(), finding("drift"))
    report(home, finding(), task="other")
    report(home, finding(), environment="dev")
    assert len(open_incidents(home)) == 4
    assert report(home, finding("drift"), hour=0.5).resolved == (FIRST,)
    assert [i.incident_id for i in open_incidents(home, "shop")] == [
        "prod.shop_log.shop.drift.1",
        "dev.shop_log.shop.expected_weight.1",
    ]
    assert [i.task for i in open_incidents(home, "other")] == ["other"]


def test_under_another_contract_it_is_another_incident_and_the_old_one_ends(home: Home) -> None:
    report(home, finding())
    moved = report(home, finding(), contract="new_log", hour=0.5)
    assert (moved.resolved, moved.opened) == ((FIRST,), ("prod.new_log.shop.expected_weight.1",))


def test_a_rule_that_was_not_checked_is_not_resolved(home: Home) -> None:
    report(home, finding("integrity"))
    assert report(home, hour=0.5).still_open == ("prod.shop_log.shop.integrity.1",)


def test_a_page_repeats_every_hour_and_a_ticket_every_day_under_the_same_key(home: Home) -> None:
    drift = "prod.shop_log.shop.drift.1"
    report(home, finding(), finding("drift"))
    assert report(home, finding(), finding("drift"), hour=0.9).repeated == ()
    assert report(home, finding(), finding("drift"), hour=1).repeated == (FIRST,)
    assert report(home, finding(), finding("drift"), hour=1.9).repeated == ()
    assert report(home, finding(), finding("drift"), hour=24).repeated == (FIRST, drift)
    assert told(home)[2:] == [("trigger", FIRST), ("trigger", FIRST), ("trigger", drift)]
    assert [line["repeat"] for line in log_lines(home)] == [0, 0, 1, 2, 1]
    assert len({line["event_id"] for line in log_lines(home)}) == 5
    assert [i.n_repeats for i in open_incidents(home)] == [2, 1]


def test_it_repeats_with_what_it_looks_like_now_also_between_runs(home: Home) -> None:
    report(home, finding())
    report(home, finding(observed="0.2"), hour=1)
    report(home, hour=2, rules=("stale",))  # the monitor: this rule was not checked
    assert [line["observed"] for line in log_lines(home)] == ["0.33", "0.2", "0.2"]


def test_an_acknowledged_page_repeats_as_a_ticket_and_a_ticket_not_at_all(home: Home) -> None:
    report(home, finding(), finding("drift"))
    for incident in (FIRST, "prod.shop_log.shop.drift.1"):
        acknowledge(home, incident, actor="ada", now=NOW)
    assert report(home, finding(), finding("drift"), hour=23).repeated == ()
    assert report(home, finding(), finding("drift"), hour=24).repeated == (FIRST,)


def test_acknowledging_keeps_the_first_name(home: Home) -> None:
    report(home, finding())
    seen = acknowledge(home, FIRST, actor="ada", now=NOW + HOUR)
    assert (seen.acknowledged_by, seen.acknowledged_at) == ("ada", NOW + HOUR)
    assert acknowledge(home, FIRST, actor="bob", now=NOW + 2 * HOUR).acknowledged_by == "ada"
    assert open_incidents(home)[0].to_json()["acknowledged_by"] == "ada"
    assert report(home, hour=3).resolved == (FIRST,)
    with pytest.raises(UsageError, match=r"no open incident 'prod\.shop_log\.shop\.expected_weight\.1'"):
        acknowledge(home, FIRST, actor="ada", now=NOW)


def test_resolved_after_so_many_passing_checks_in_a_row(home: Home) -> None:
    route = PATIENT.model_copy(update={"resolve_after": 3})
    report(home, finding(), route=route)
    assert report(home, hour=1, route=route).resolved == ()
    assert report(home, hour=1, route=route).resolved == (), "a run that is taken over is one check"
    assert report(home, hour=2, route=route).resolved == ()
    assert report(home, finding(), hour=3, route=route).still_open == (FIRST,), "it came back: counted anew"
    assert report(home, hour=4, route=route).resolved == ()
    assert report(home, hour=5, route=route).resolved == ()
    assert report(home, hour=6, route=route).resolved == (FIRST,)
    assert told(home) == [("trigger", FIRST), ("resolve", FIRST)]


def test_drift_closes_by_the_word_of_its_detector_whatever_the_task_says(home: Home) -> None:
    route = PATIENT.model_copy(update={"resolve_after": 9})
    report(home, finding("drift"), route=route)
    assert report(home, hour=1, route=route).resolved == ("prod.shop_log.shop.drift.1",)


def test_a_ticket_that_becomes_a_page_is_opened_anew_and_a_page_that_eases_stays(home: Home) -> None:
    ticket = finding("required", urgency="ticket")
    report(home, ticket, route=PATIENT)
    risen = report(home, finding("required"), hour=1, route=PATIENT)
    assert (risen.resolved, risen.opened) == (
        ("prod.shop_log.shop.required.1",),
        ("prod.shop_log.shop.required.2",),
    )
    assert report(home, ticket, hour=2, route=PATIENT).still_open == ("prod.shop_log.shop.required.2",)
    report(home, ticket, hour=3)  # repeated under the default route
    assert [line["urgency"] for line in log_lines(home)] == ["ticket", "ticket", "page", "page"]


def test_mistakes_of_the_caller_are_refused(home: Home) -> None:
    with pytest.raises(ValueError, match="one finding per rule"):
        report(home, finding(), finding())
    with pytest.raises(ValueError, match="unknown rule 'typo'"):
        Finding.model_validate({**finding().model_dump(), "rule": "typo"})
    with pytest.raises(ValueError, match="unknown rules checked"):
        report(home, rules=("typo",))
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
    path = home.alerts / "events" / "00000001.json"
    path.write_bytes(path.read_bytes().replace(b"0.33", b"0.34"))
    with pytest.raises(IntegrityError, match="damaged entry"):
        open_incidents(home)


def test_chains_that_are_older_still_fold_and_end(home: Home) -> None:
    """Events as they were stored before incidents knew contract, repetition and groups."""
    old_finding = {
        "rule": "contract",
        "urgency": "page",
        "summary": "2 of 9 checks failed: range, required",
        "observed": "3 rows",
        "limit": "0 rows",
        "scope": "task shop",
        "effect": "Nothing was trained.",
        "owner": "shop-data",
        "runbook": "infra/RUNBOOK.md#contract",
        "links": [],
        "next_command": "sluice status shop",
    }
    common = {"incident_id": "prod.shop.contract.1", "at": "2026-11-20T03:00:00+00:00"}
    opened = {"environment": "prod", "task": "shop", "run_id": "r", "finding": old_finding, "sinks": ["log"]}
    for entry in (
        {**common, "kind": "opened", **opened},
        {**common, "kind": "delivered", "event": 1, "sink": "log"},
        {**common, "kind": "acknowledged", "actor": "ada"},
    ):
        append_chain(home.alerts / "events", lambda entries, entry=entry: entry)  # type: ignore[misc]
    [incident] = open_incidents(home)
    assert (incident.contract, incident.rule, incident.acknowledged_by) == ("", "contract", "ada")
    lasting = report(home, finding("range"), route=PATIENT)
    assert (lasting.opened, lasting.still_open) == ((), ("prod.shop.contract.1",)), "an upgrade pages nobody again"
    assert report(home, hour=1).resolved == ("prod.shop.contract.1",)


def test_a_summary_cannot_steer_a_terminal_or_break_the_log(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    report(home, finding(summary="bad\x1b[2J\nALERT page fake"))
    [line] = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line
    assert line.startswith("ALERT page shop/expected_weight: bad [2J ALERT page fake (next: sluice validate shop; see")
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


@pytest.mark.parametrize(("hours", "found"), [(48.0, False), (48.1, True)])
def test_freshness(hours: float, found: bool) -> None:
    arguments: dict[str, Any] = {"task": "shop", "now": NOW, "freshness_hours": 48.0, "owner": "o", "next_command": "c"}
    old = fresh_finding(NOW - timedelta(hours=hours), **arguments)
    assert (old is not None) == found
    assert fresh_finding(None, **arguments) is None, "a task without rows has nothing that could be late"


def test_refusals_in_a_row_end_with_any_other_verdict() -> None:
    assert refused_in_a_row([]) == 0
    assert refused_in_a_row(["refuse", "hold", "refuse", "refuse"]) == 2
    assert refused_in_a_row(["refuse", "refuse", "promote"]) == 0
