"""The page: self-contained, complete, true to the facts, safe against what users write, and the same every time."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from data_contracts.storage import canonical_json
from flows.report.data_facts import Check, Data
from flows.report.facts import RunFacts, read_facts
from flows.report.health import balances, budget_lines, check_lines, health_tiles
from flows.report.page import better_references
from flows.report.render import render_report, write_report
from tests.flows.report.example_facts import hold_facts, least_facts, promote_facts

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'
VOID = {"meta", "br", "img", "link", "input", "hr", "base"}
SECTIONS = [
    "verdict",
    "lift",
    "more",
    "three",
    "estimates",
    "evidence",
    "learning",
    "actions",
    "data",
    "lineage",
    "changes",
    "next",
    "candidates",
]


class Page(HTMLParser):
    """Tags, attributes, ids, texts and exact values of a page; fails where tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.values: dict[str, str] = {}
        self.texts: list[str] = []
        self._open: list[str] = []
        self._value: str | None = None
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "data":
            self._value = dict(attrs)["value"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._value is not None:
            self.values[self._value] = data
            self._value = None

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    @property
    def ids(self) -> list[str]:
        return [value for _, name, value in self.attributes if name == "id"]


@pytest.mark.parametrize("facts", [promote_facts(), hold_facts(), least_facts()], ids=["promote", "hold", "least"])
def test_the_page_is_whole_and_needs_nothing_from_outside(facts: RunFacts) -> None:
    html = render_report(facts)
    page = Page(html)
    assert [i for i in page.ids if i in SECTIONS] == SECTIONS
    assert not {"script", "link", "iframe", "object", "embed", "img", "form", "base", "image", "use"} & set(page.tags)
    assert not any(name in ("src", "href", "xlink:href", "srcset", "action") for _, name, _ in page.attributes)
    assert not any(name.startswith("on") or name == "style" for _, name, _ in page.attributes)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|@font-face", html)
    assert "default-src 'none'" in html
    assert "p-value" not in html.lower()
    assert "None" not in page.text
    assert not re.search(r"\bnan\b", page.text.lower())


def test_the_numbers_on_the_page_are_the_facts() -> None:
    facts = promote_facts()
    page = Page(render_report(facts))
    values = page.values
    assert values["0.1702"] == "+0.170"
    assert values["0.1414"] == "+0.141"
    assert values["0.1988"] == "+0.199"
    assert re.search(r"Value, estimated 0\.683 0\.853 Value, exact ◇ 0\.684 ◇ 0\.851", page.text)
    assert values[str(facts.gate.log_e_promote)] == "22.1"
    assert values[str(facts.gate.log_threshold)] == "3"
    for estimate in facts.estimates:
        assert str(estimate.value) in values
    for n in (20213, 20000, 201, 12, 10000, 3000, 7000):
        assert values[str(n)] == f"{n:,}"
    for candidate in facts.candidates:
        assert str(candidate.validation_value) in values
        assert str(candidate.truth) in values


def test_a_hold_says_how_much_longer_and_what_would_settle_it() -> None:
    facts = hold_facts()
    page = Page(render_report(facts))
    assert facts.more.settles in page.text
    assert page.values["1214000"] == "1,214,000"
    assert page.values["0.00041"] == "+0.0004"
    assert "2.4 years" in page.text
    assert "says nothing against the challenger" in page.text
    assert "Open incident · drift" in page.text
    assert "unknown (no unit in the log)" in page.text


@pytest.mark.parametrize(
    ("verdict", "word", "meaning"),
    [
        ("promote", "Promote", "evidence above the threshold that was fixed before"),
        ("stage", "Stage", "better on average, but not yet shown to be harmless"),
        ("hold", "Hold", "The log cannot yet tell the challenger from the champion"),
        ("block", "Block", "the challenger earns less than the champion"),
        ("refuse", "Refuse", "a finding about the log, not about the challenger"),
        (None, "No look", "This run did not consult the gate"),
    ],
)
def test_every_verdict_is_a_word_and_an_explanation(verdict: str | None, word: str, meaning: str) -> None:
    html = render_report(least_facts(verdict=verdict))
    text = Page(html).text
    assert f'<p class="word">{word}</p>' in html
    assert meaning in text
    assert "What to do." in text
    assert f'class="verdict {verdict or "none"}"' in html


def test_a_promote_verdict_that_moved_nothing_says_so() -> None:
    challenger = {**promote_facts().challenger.model_dump(), "state": "open"}
    text = Page(render_report(promote_facts(command="backfill", challenger=challenger))).text
    assert "It does not serve yet" in text
    assert "sluice promote digits_bandit --version 2 --reason …" in text


def test_blocked_data_is_not_the_verdict_block() -> None:
    text = Page(render_report(least_facts(data={"validation": {"level": "block"}}))).text
    assert "Data blocked" in text
    assert "nothing was trained and no look was taken" in text


def test_an_override_is_shown_and_only_then() -> None:
    assert '<section class="override"' in render_report(hold_facts(override=True))
    assert '<section class="override"' not in render_report(hold_facts())


def test_what_users_write_stays_text() -> None:
    hold = hold_facts().model_dump(mode="json")
    actions = [{"action": EVIL, "champion": 0.5, "challenger": 0.4}, *hold["actions"][1:]]
    curves = [{**curve, "algorithm": EVIL} for curve in hold["curves"]]
    candidates = [{**c, "algorithm": EVIL} for c in hold["candidates"]]
    checks = [{**hold["data"]["validation"]["checks"][0], "rule": EVIL, "observed": EVIL, "column": EVIL}]
    data = {
        **hold["data"],
        "rows_by_version": [{"policy_version": EVIL, "n": 1}],
        "quarantine_reasons": [{"reason": EVIL, "n": 1}],
        "channels": [{"channel": EVIL, "n_interactions": 1, "mean": 0.5}],
        "validation": {"level": "ok", "checks": checks, "data_docs": f"javascript:{EVIL}"},
        "drift": {
            **hold["data"]["drift"],
            "reference": EVIL,
            "top": [{**hold["data"]["drift"]["top"][0], "name": EVIL}],
            "alarms": [{**hold["data"]["drift"]["alarms"][0], "monitors": [EVIL], "reason": EVIL, "since": EVIL}],
            "budgets": [{"group": EVIL, "threshold": "warn", "at_most": 0.1}],
        },
    }
    facts = hold_facts(
        task=EVIL,
        description=EVIL,
        run_id=EVIL,
        sentence=f"`{EVIL}` and `{EVIL}",
        reasons=[EVIL, f"`{EVIL}`"],
        actions=actions,
        curves=curves,
        candidates=candidates,
        data=data,
        estimates=[{**e, "estimator": EVIL} for e in hold["estimates"]],
        champion={"version": 1, "origin": EVIL, "description": EVIL},
        lineage={**hold["lineage"], "snapshot_id": EVIL, "contract_id": EVIL, "batches": [EVIL]},
        incidents=[{"rule": EVIL, "urgency": EVIL, "summary": EVIL}],
        changes=[EVIL],
        next=[EVIL],
    )
    html = render_report(facts)
    page = Page(html)
    assert not {"script", "img"} & set(page.tags)
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert "<script" not in html
    assert EVIL in page.texts


def test_the_same_facts_give_the_same_bytes() -> None:
    again = RunFacts.model_validate_json(hold_facts().model_dump_json())
    assert render_report(again) == render_report(hold_facts())


def test_the_report_is_written_beside_its_facts(tmp_path: Path) -> None:
    path = write_report(promote_facts(), tmp_path / "run")
    assert path == tmp_path / "run" / "report.html"
    assert path.read_text() == render_report(promote_facts())
    assert (path.parent / "report.json").read_bytes() == canonical_json(promote_facts().model_dump(mode="json"))
    assert read_facts(path.parent / "report.json") == promote_facts()
    assert sorted(p.name for p in path.parent.iterdir()) == ["report.html", "report.json"]


def test_a_reference_that_does_better_is_named() -> None:
    better = better_references(promote_facts().candidates)
    assert [(c.algorithm, c.seed) for c in better] == [("linear", 1)]
    assert "A reference does better here: linear" in Page(render_report(promote_facts())).text
    assert better_references(hold_facts().candidates) == []
    unlucky = [
        c.model_copy(update={"chosen": c.algorithm == "bcq" and c.seed == 0}) for c in promote_facts().candidates
    ]
    assert [c.algorithm for c in better_references(unlucky)] == ["linear"]  # cql does better too, but is no reference
    assert "A reference does better" not in render_report(hold_facts())


def test_lines_that_do_not_add_up_are_shown() -> None:
    data = Data(n_read=10, n_accepted=7, n_quarantined=1, n_duplicate=1)
    assert not balances(data)
    assert "10 read ≠ 7 accepted + 1 quarantined + 1 duplicate" in _plain(least_facts(data=data.model_dump()))
    whole = data.model_copy(update={"n_accepted": 8})
    assert "10 read = 8 accepted + 1 quarantined + 1 duplicate" in _plain(least_facts(data=whole.model_dump()))


def test_three_numbers_of_data_health() -> None:
    assert [(t.name, t.value, t.level) for t in health_tiles(hold_facts())] == [
        ("Expected weight", "1.007", "ok"),
        ("Matured rows", "0.96", "ok"),
        ("Effective sample size", "2,861", "ok"),
    ]
    assert {t.level for t in health_tiles(least_facts())} == {"none"}
    weights = hold_facts().weights.model_dump()
    false = {**weights["expected_weight"][1], "mean": 1.2, "lower": 1.1, "upper": 1.3, "log_e": 9.0}
    wrong = hold_facts(weights={**weights, "expected_weight": [weights["expected_weight"][0], false]})
    assert health_tiles(wrong)[0].level == "block"
    assert "do not hold" in health_tiles(wrong)[0].note


def test_the_tile_shows_the_challenger_not_a_weight_that_is_one_by_construction() -> None:
    weights = hold_facts().weights.model_dump()
    champion = {**weights["expected_weight"][0], "lower": 0.99835, "upper": 1 - 1e-12, "log_e": 0.0}
    challenger = {**weights["expected_weight"][1], "mean": 0.955, "lower": 0.886, "upper": 1.057, "log_e": -2.0}
    tile = health_tiles(hold_facts(weights={**weights, "expected_weight": [champion, challenger]}))[0]
    assert (tile.value, tile.level) == ("0.955", "ok")


def test_evidence_that_is_in_needs_no_more_rows() -> None:
    text = _plain(promote_facts(more=hold_facts().more.model_dump()))
    assert "no more rows are needed" in text
    assert "Ways to know" not in text
    assert "Ways to know" in _plain(hold_facts())


def test_a_lift_below_zero_is_not_proved_by_waiting() -> None:
    lift = {**hold_facts().lift.model_dump(), "estimate": -0.0043}
    more = {**hold_facts().more.model_dump(), "rows_at_estimate": None, "days_at_estimate": None}
    assert "no number of rows would prove the challenger better" in _plain(hold_facts(lift=lift, more=more))


def test_estimators_that_disagree_in_sign_are_pointed_out() -> None:
    estimates = [e.model_dump() for e in hold_facts().estimates]
    turned = [
        {**e, "value": -e["value"]} if (e["estimator"], e["policy"]) == ("dm", "difference") else e for e in estimates
    ]
    assert "disagree about the sign" in _plain(hold_facts(estimates=turned))
    assert "disagree about the sign" not in _plain(hold_facts())


def test_checks_that_passed_are_shown_together_and_failures_alone() -> None:
    def check(rule: str, column: str, passed: bool) -> Check:
        return Check(rule=rule, column=column, level="block", passed=passed, observed=f"{column} seen", limit="0 rows")

    checks = [check("required", f"x{k}", passed=k not in (3, 50)) for k in range(100)] + [check("unique", "id", True)]
    lines = check_lines(checks)
    assert [(c.rule, c.passed, c.n) for c in lines] == [
        ("required", False, 1),
        ("required", False, 1),
        ("required", True, 98),
        ("unique", True, 1),
    ]
    assert [c.observed for c in lines] == ["x3 seen", "x50 seen", "all 98 within the limit", "id seen"]
    text = _plain(least_facts(data={"validation": {"level": "block", "checks": [c.model_dump() for c in checks]}}))
    assert "and 95 more" in text


def test_drift_shows_its_alarms_and_the_budgets_they_were_raised_under() -> None:
    text = Page(render_report(hold_facts())).text
    assert "Alarms in the newest batch" in text
    assert "position = 3, affinity_12" in text
    assert "the gate's verdict stays under the new covariates" in text
    drift = hold_facts().data.drift
    assert drift is not None
    lines = budget_lines(drift)
    assert [(line.group, line.warn, line.block) for line in lines] == [
        ("action", 0.02, 0.005),
        ("covariates", 0.14, 0.035),
        ("all together", pytest.approx(0.16), pytest.approx(0.04)),
    ]
    assert all(f"{chance}" in text for chance in (0.02, 0.005, 0.14, 0.035, 0.16, 0.04))


def test_channels_and_what_was_not_rewarded_are_shown_where_they_are_known() -> None:
    text = Page(render_report(hold_facts())).text
    assert "What each channel gave to matured rows" in text
    assert "complaint" in text
    assert "Rewards clipped to their bounds" in text
    assert "Outcomes of guardrail channels" in text
    older = hold_facts().data.model_dump(exclude={"channels", "n_clipped", "n_guardrail"})
    text = Page(render_report(hold_facts(data=older))).text
    assert "What each channel gave" not in text
    assert "guardrail channels" not in text


def test_drift_that_was_not_judged_is_not_called_ok() -> None:
    data = hold_facts().data.model_dump()
    drift = {**data["drift"], "level": "ok", "n_cells": 0, "top": [], "detail": "the champion was declared"}
    html = render_report(hold_facts(data={**data, "drift": drift}))
    assert "Not judged: the champion was declared." in Page(html).text
    assert not re.search(r"<h3>Drift\s*<span", html)
    assert re.search(r"<h3>Drift\s*<span", render_report(hold_facts()))


def _plain(facts: RunFacts) -> str:
    return Page(render_report(facts)).text.replace(" ,", ",")
