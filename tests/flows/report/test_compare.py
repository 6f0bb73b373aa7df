"""What changed since the last report, in words."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from data_contracts.errors import UsageError
from flows.report.compare import describe_changes
from flows.report.facts import RunFacts
from tests.flows.report.example_facts import AS_OF, hold_facts, least_facts, promote_facts

LN10 = math.log(10)


def test_the_first_report_says_so() -> None:
    assert describe_changes(None, hold_facts()) == ["This is the first report of open_bandit."]


def test_nothing_changed() -> None:
    later = hold_facts(run_id="later", as_of=AS_OF + timedelta(days=1))
    found = describe_changes(hold_facts(), later)
    assert found == ["Nothing has changed since run 20261120T033000-19c04e (20 Nov 2026, 03:00\N{NO-BREAK SPACE}UTC)."]


def test_reports_of_two_tasks_are_not_compared() -> None:
    with pytest.raises(UsageError, match="expected reports of digits_bandit, got one of open_bandit"):
        describe_changes(hold_facts(), promote_facts())


def test_the_next_look_at_the_same_challenger() -> None:
    """Evidence 0.13 -> 1.5 of 3; interval .0154 -> .0077 long, 50 % narrower; 6,000 more gate rows."""
    old = hold_facts()
    gate = {**old.gate.model_dump(), "look": 2, "n": 11_000, "log_e_promote": 1.5 * LN10}
    lift = {**old.lift.model_dump(), "estimate": 0.0012, "lower": -0.0026, "upper": 0.0051}
    assert describe_changes(old, hold_facts(gate=gate, lift=lift)) == [
        "Look 2 of 5, with 6,000 gate rows that no earlier look had read.",
        "Evidence for the challenger (log10 e) went from 0.13 to 1.5; 3 is needed.",
        "The estimated lift went from +0.0004 to +0.0012.",
        "Its interval is 50\N{NO-BREAK SPACE}% narrower: 0.015 long before, 0.0077 now.",
    ]


def test_another_challenger_is_not_compared_with_the_last_one() -> None:
    old = hold_facts()
    challenger = {**old.challenger.model_dump(), "version": 3, "algorithm": "cql", "seed": 0}
    lift = {**old.lift.model_dump(), "estimate": 0.5, "lower": 0.4, "upper": 0.6}
    found = describe_changes(old, hold_facts(challenger=challenger, lift=lift))
    assert found == ["A new challenger: version 3 (cql, seed 0)."]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ({}, {"champion": {"version": 7, "origin": "trained"}}, "The champion moved from version 1 to version 7."),
        ({}, {"override": True}, "The champion was promoted by override, without a promote verdict."),
        ({"verdict": "hold"}, {"verdict": "promote"}, "The verdict went from hold to promote."),
        ({"verdict": "hold"}, {"verdict": None}, "The verdict went from hold to none."),
        (
            {"data": {"n_interactions": 100}},
            {"data": {"n_interactions": 2100}},
            "2,000 more interactions: 100 before, 2,100 now.",
        ),
        (
            {"data": {"n_matured": 90}},
            {"data": {"n_matured": 80}},
            "10 fewer matured interactions: 90 before, 80 now.",
        ),
        (
            {},
            {"data": {"quarantine_reasons": [{"reason": "broken JSON", "n": 3}]}},
            "New reasons for quarantine: broken JSON (3).",
        ),
        (
            {"data": {"rows_by_version": [{"policy_version": "1", "n": 5}]}},
            {"data": {"rows_by_version": [{"policy_version": "1", "n": 5}, {"policy_version": "2", "n": 5}]}},
            "New policy versions in the log: 2.",
        ),
        (
            {"data": {"validation": {"level": "ok"}}},
            {"data": {"validation": {"level": "block"}}},
            "The contract's checks went from ok to block.",
        ),
        (
            {"lineage": {"contract_version": "1.0.0"}},
            {"lineage": {"contract_version": "1.1.0"}},
            "The contract went from version 1.0.0 to 1.1.0.",
        ),
        (
            {"lineage": {"contract_version": "1.0.0", "contract_sha256": "a"}},
            {"lineage": {"contract_version": "1.0.0", "contract_sha256": "b"}},
            "The contract's file changed, but its version is still 1.0.0.",
        ),
        ({"lineage": {"settings_sha256": "a"}}, {"lineage": {"settings_sha256": "b"}}, "The task's settings changed."),
        ({}, {"lineage": {"code_version": "0.2.0"}}, "The code went from unknown to 0.2.0."),
        ({}, {"lineage": {"lock_sha256": "b"}}, "The locked dependencies changed."),
        (
            {},
            {"incidents": [{"rule": "drift", "urgency": "ticket", "summary": "shift"}]},
            "New open incidents: drift.",
        ),
        (
            {"incidents": [{"rule": "drift", "urgency": "ticket", "summary": "shift"}]},
            {},
            "Resolved incidents: drift.",
        ),
    ],
)
def test_one_change_is_one_sentence(old: dict[str, Any], new: dict[str, Any], sentence: str) -> None:
    assert describe_changes(least_facts(**old), least_facts(**new)) == [sentence]


def test_drift_is_compared_by_level() -> None:
    assert "Drift went from warn to ok." in describe_changes(hold_facts(), _with_drift("ok"))
    appeared = describe_changes(hold_facts(data={}), _with_drift("warn"))
    assert "Drift is at warn; the last report had none to compare with." in appeared


def _with_drift(level: str) -> RunFacts:
    data = hold_facts().data.model_dump()
    return hold_facts(data={**data, "drift": {**data["drift"], "level": level}})
