"""What a validation, a run, or silence says to the person on call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import IntegrityError
from data_contracts.home import Home, create_home
from flows import monitor
from flows.alerts.incident import Incident
from flows.alerts.incidents import open_incidents
from flows.alerts.judged import rules_judged, validation_findings
from flows.alerts.rules import rules_of
from flows.alerts.situation import Situation
from flows.champion import remember_task
from flows.context import Context, open_context
from flows.monitor import acknowledge_incident, check_task_staleness, report_failure, report_run
from flows.records import Ingested, Looked, Step, Validated
from flows.runs import Run, begin_run, call_directly
from tests.flows.alerts.receivers import listening
from tests.tiny_task import write_task

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
SITUATION = Situation(
    task="tiny", argument="tiny.yaml", owner="testers, #t", champion="champion version 2 keeps serving", links=("docs",)
)
OK: dict[str, Any] = {"level": "ok", "checks": [], "drift": None, "data_docs": None}
DRIFT: dict[str, Any] = {
    "level": "block",
    "reference": "training snapshot of version 2",
    "false_alarm_budget": "5 % a month",
    "statistic": 812.0,
    "top": [{"name": "mean x", "observed": 2.5, "expected": 0.0, "z": 40.0}],
}


def check(rule: str, column: str | None = None, *, passed: bool = False, level: str = "block", **more: Any) -> Any:
    facts = {"observed": "3 rows", "limit": "0 rows", "n_rows": 1000, "description": rule, "examples": []}
    return {"rule": rule, "column": column, "passed": passed, "level": level, **facts, **more}


def validated(*checks: Any, sections: dict[str, list[Any]] | None = None, drift: Any = None) -> Validated:
    given = [{"name": name, "title": name, "checks": found} for name, found in (sections or {}).items()]
    return Validated(level="block", checks=list(checks), drift=drift, data_docs="docs", sections=given)


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return open_context(write_task(tmp_path / "task"), home=create_home(), actor="ada")


def findings(context: Context, result: Validated) -> dict[str, Any]:
    found = validation_findings(
        result, contract=context.contract, situation=SITUATION, examples=lambda ids: ({"n": str(len(ids))},)
    )
    return {f.rule: f for f in found}


def test_one_finding_per_rule_over_columns_and_sections(context: Context) -> None:
    result = validated(
        check("range", "x", examples=["s1", "s2"]),
        check("range", "y", observed="9 rows"),
        check("unique", "interaction_id", passed=True),
        sections={"propensities": [check("serving_skew"), check("constant_propensity", level="warn")]},
        drift=DRIFT,
    )
    found = findings(context, result)
    assert list(found) == ["range", "serving_skew", "constant_propensity", "drift"]
    assert found["range"].summary == "a number lies outside its bounds (x; y)"
    assert found["range"].observed == "x: 3 rows; y: 9 rows"
    assert (found["range"].limit, found["range"].rows) == ("0 rows", ({"n": "2"},))
    assert found["range"].effect.endswith("Nothing is trained on these data. The champion version 2 keeps serving.")
    assert found["constant_propensity"].effect.count("Nothing is trained") == 0
    assert (found["drift"].urgency, found["drift"].blocks) == ("ticket", True)
    assert "mean x 2.5 (expected 0)" in found["drift"].summary
    assert found["serving_skew"].next_command == "sluice verify tiny.yaml"


@pytest.mark.parametrize(
    ("broken", "urgency"),
    [
        (check("required", "x"), "page"),
        (check("required", "action"), "page"),
        (check("required", "reward"), "ticket"),  # no decision reads it
        (check("required", "x", level="warn"), "ticket"),
        (check("schema"), "page"),
        (check("unique", "interaction_id"), "ticket"),
        (check("known_policy_version", "policy_version"), "page"),
        (check("freshness", level="warn"), "ticket"),
        (check("a_rule_of_tomorrow"), "ticket"),
    ],
)
def test_only_what_touches_decisions_pages(context: Context, broken: Any, urgency: str) -> None:
    [found] = findings(context, validated(broken)).values()
    assert found.urgency == urgency


def test_texts_of_the_log_are_masked(context: Context) -> None:
    [found] = findings(context, validated(check("valid_values", "x", observed="'ada@example.org'"))).values()
    assert found.observed == "x: '<address>'"


def test_a_rule_without_an_entry_is_still_told(context: Context) -> None:
    [found] = findings(context, validated(check("a_rule_of_tomorrow"))).values()
    assert found.rule == "other"


def test_which_rules_a_validation_judged() -> None:
    whole = validated(check("range", "x", passed=True), sections={"sla": [check("freshness", passed=True)]})
    assert set(rules_judged(whole)) == {"contract", *rules_of("contract"), *rules_of("sla")}
    broken = validated(check("schema"), check("unique", passed=True))
    assert set(rules_judged(broken)) == {"contract", "schema", "unique"}, "the rest could not be measured"


@pytest.mark.parametrize(
    ("drift", "judged"),
    [
        (None, False),
        ({"level": "ok"}, True),
        ({"level": "ok", "may_close": False}, False),
        ({"level": "ok", "may_close": True}, True),
        ({"level": "warn", "may_close": False}, True),
    ],
)
def test_drift_ends_when_its_detector_says_so(drift: Any, judged: bool) -> None:
    assert ("drift" in rules_judged(validated(drift=drift))) == judged


def run_of(context: Context, hours: float = 0, **steps: Step) -> Run:
    """A run that did these steps, `hours` after NOW."""
    now = NOW + timedelta(hours=hours)
    run = begin_run(context.home, "tiny", command="retrain", request={"h": hours}, now=now, call=call_directly)
    for name, step in steps.items():
        run.step(name, type(step), lambda step=step: step)  # type: ignore[misc]
    return run


def looked(verdict: Any) -> Looked:
    return Looked(
        version=3, champion=2, verdict=verdict, reasons=["no support"], evidence_id="e", look=1, n_looks=3, final=True
    )


def rules_open(home: Home) -> list[str]:
    return [i.rule for i in open_incidents(home)]


def test_the_gate_refusing_three_times_in_a_row_is_an_incident_until_it_judges(context: Context) -> None:
    for i, (verdict, expected) in enumerate(
        [("refuse", []), ("hold", []), ("refuse", []), ("refuse", []), ("refuse", ["gate_refused"])]
    ):
        report_run(context, run_of(context, i, look=looked(verdict)), now=NOW + timedelta(hours=i))
        assert rules_open(context.home) == expected
    report_run(context, run_of(context, 6), now=NOW + timedelta(hours=6))
    assert rules_open(context.home) == ["gate_refused"], "a run without a look says nothing"
    report_run(context, run_of(context, 7, look=looked("hold")), now=NOW + timedelta(hours=7))
    assert rules_open(context.home) == []


def ingested(n_accepted: int, n_quarantined: int, n_duplicate: int) -> Ingested:
    return Ingested(
        batch_id="b" * 64,
        n_read=n_accepted + n_quarantined + n_duplicate,
        n_accepted=n_accepted,
        n_quarantined=n_quarantined,
        n_duplicate=n_duplicate,
        reasons={"x: expected a number": n_quarantined},
    )


def test_a_delivery_whose_lines_are_mostly_rejected_pages_until_one_is_whole(context: Context) -> None:
    def deliver(hours: float, *lines: int) -> list[str]:
        run = run_of(context, hours, ingest=ingested(*lines))
        report_run(context, run, now=NOW + timedelta(hours=hours))
        return rules_open(context.home)

    assert deliver(0, 51, 49, 0) == []
    assert deliver(0.1, 50, 50, 900) == ["quarantine"]
    assert deliver(0.2, 0, 0, 1000) == ["quarantine"], "the same file again: nothing new is known"
    assert deliver(0.3, 99, 1, 0) == []


def test_a_failed_run_says_what_it_was(context: Context) -> None:
    report_failure(context, run_of(context), ValueError("mail to ada@example.org failed"), now=NOW)
    [incident] = open_incidents(context.home)
    assert (incident.rule, incident.urgency) == ("run_failed", "ticket")
    assert incident.summary == "mail to <address> failed"
    assert incident.finding.next_command == f"sluice status {context.task.file}"
    assert "declared champion keeps serving" in incident.finding.effect


def silence(context: Context, hours: float) -> list[str]:
    check_task_staleness(context, now=NOW + timedelta(hours=hours))
    return rules_open(context.home)


def sla(context: Context, hours: float) -> None:
    text = context.task.file.read_text().replace("stale_after_hours: 1000000", f"stale_after_hours: {hours:g}")
    context.task.file.write_text(text)


def test_silence_is_an_incident_and_runs_that_a_broken_contract_blocks_are_not(context: Context) -> None:
    sla(context, 24)
    context = open_context(context.task.file, home=context.home, actor="ada")
    run_of(context).finish("finished", now=NOW)
    assert silence(context, 24) == []
    assert silence(context, 25) == ["stale"]
    run_of(context, 26).finish("finished", now=NOW + timedelta(hours=26))
    assert silence(context, 26) == []
    blocked = run_of(context, 40, validate=validated(check("expected_weight")))
    blocked.finish("blocked", now=NOW + timedelta(hours=40))
    report_run(context, blocked, now=NOW + timedelta(hours=40))
    assert silence(context, 60) == ["expected_weight"], "one broken feed, one incident"
    assert silence(context, 65) == ["expected_weight", "stale"], "and now not even blocked runs"


def test_a_damaged_store_hides_no_silence(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object, **__: object) -> datetime:
        raise IntegrityError("changed file a.parquet: expected its hash, got another. Restore it.")

    monkeypatch.setattr(monitor, "newest_interaction", damaged)
    sla(context, 24)
    context = open_context(context.task.file, home=context.home, actor="ada")
    run_of(context).finish("finished", now=NOW)
    assert silence(context, 25) == ["stale", "integrity"]


def test_an_acknowledgement_reaches_the_receivers_of_the_task(context: Context) -> None:
    with listening() as receiver:
        file = write_task(context.task.file.parent, webhook=receiver.url)
        told = open_context(file, home=context.home, actor="ada")
        remember_task(told)
        report_failure(told, run_of(told), ValueError("x"), now=NOW)
        [incident] = open_incidents(context.home)
        seen: Incident = acknowledge_incident(context.home, incident.incident_id, actor="ada", now=NOW)
        assert seen.acknowledged_by == "ada"
        assert [action for action, _ in receiver.told] == ["trigger", "acknowledge"]
