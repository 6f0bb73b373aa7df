"""One incident per root cause, and one for many rules of one contract."""

from __future__ import annotations

from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from data_contracts.home import Home
from flows.alerts.causes import find_causes, group_finding
from flows.alerts.incidents import open_incidents
from flows.alerts.rules import GROUP, RULES, explains
from tests.flows.alerts.small_incidents import finding, report

SEVEN = ("unique", "as_of", "range", "required", "finite", "known_action", "propensity")  # the first two are tickets
GROUP_ID = "prod.shop_log.shop.contract.1"
EVERY_RULE = tuple(RULES)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def say(
    home: Home, *rules: str, hour: float = 0.0, checked: tuple[str, ...] = EVERY_RULE
) -> dict[str, tuple[str, ...]]:
    """Rule -> rules of the group, of every open incident after a run in which `rules` were broken."""
    report(home, *(finding(rule) for rule in rules), hour=hour, rules=checked)
    return {i.rule: i.finding.rules for i in open_incidents(home)}


def test_no_rule_explains_itself_in_a_circle() -> None:
    graph = {rule: {cause for cause in RULES if explains(cause, rule, blocks=True)} for rule in RULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(RULES)


def test_a_lost_propensity_column_is_one_page_that_names_what_follows_from_it() -> None:
    broken = ("silent_propensity", "expected_weight", "propensity_calibration", "constant_propensity", "drift")
    causes = find_causes([finding(rule, blocks=rule != "constant_propensity") for rule in broken])
    [root] = causes.roots
    assert (root.rule, root.urgency) == ("silent_propensity", "page")
    assert [text.partition(":")[0] for text in root.consequences] == list(broken[1:])


def test_a_cause_is_as_urgent_as_what_it_explains() -> None:
    causes = find_causes([finding("constant_propensity"), finding("expected_weight", blocks=True)])
    [root] = causes.roots
    assert (root.rule, root.urgency, root.blocks) == ("constant_propensity", "page", True)


@pytest.mark.parametrize(("blocks", "roots"), [(True, ["null_share"]), (False, ["null_share", "drift"])])
def test_only_a_break_that_blocks_explains_drift(blocks: bool, roots: list[str]) -> None:
    causes = find_causes([finding("null_share", blocks=blocks), finding("drift", blocks=True)])
    assert [f.rule for f in causes.roots] == roots


def test_what_is_explained_opens_nothing_but_keeps_open_what_was_open(home: Home) -> None:
    assert list(say(home, "drift")) == ["drift"]
    assert list(say(home, "schema", "drift", "range", hour=0.1)) == ["drift", "schema"]
    assert list(say(home, "drift", hour=0.2)) == ["drift"]
    assert list(say(home, hour=0.3)) == []


def test_five_rules_have_five_incidents_and_six_have_one(home: Home) -> None:
    assert list(say(home, *SEVEN[:5])) == list(SEVEN[:5])
    assert say(home, hour=0.1) == {}
    assert list(say(home, *SEVEN[:6], hour=0.2)) == [GROUP]
    [group] = open_incidents(home)
    assert (group.incident_id, group.urgency) == (GROUP_ID, "page")
    assert set(group.finding.rules) == set(SEVEN[:6])
    assert group.finding.rules[-2:] == ("unique", "as_of"), "pages first"
    assert "6 rules of the contract broken: range" in group.summary
    assert group.finding.runbook == "infra/RUNBOOK.md#contract"


def test_a_group_that_shrinks_and_grows_stays_one_incident_until_none_of_its_rules_is_broken(home: Home) -> None:
    say(home, *SEVEN)
    assert list(say(home, *SEVEN[:2], hour=0.1)) == [GROUP], "two left: still the same incident"
    assert say(home, "unique", "valid_values", hour=0.2) == {GROUP: ("valid_values", "unique")}, "a new rule joins"
    assert say(home, hour=0.3) == {}
    log = (home.alerts / "alerts.log").read_text()
    assert (log.count('"trigger"'), log.count('"resolve"'), log.count(GROUP_ID + '"')) == (1, 1, 2)


def test_rules_with_incidents_of_their_own_keep_them_when_more_rules_break(home: Home) -> None:
    assert list(say(home, "range", "unique")) == ["range", "unique"]
    now = say(home, *SEVEN, hour=0.1)
    assert list(now) == ["range", "unique", GROUP]
    assert set(now[GROUP]) == set(SEVEN) - {"range", "unique"}
    assert list(say(home, *SEVEN[1:], hour=0.2)) == ["range", GROUP], "its own incident ends on its own"


def test_a_group_keeps_rules_that_a_run_could_not_judge(home: Home) -> None:
    say(home, *SEVEN)
    kept = say(home, "unique", hour=0.1, checked=("contract", "unique", "range"))
    assert set(kept[GROUP]) == set(SEVEN) - {"range"}
    assert list(say(home, hour=0.2, checked=("contract", "unique", "range"))) == [GROUP]
    assert say(home, hour=0.3) == {}


def test_a_page_does_not_hide_in_a_group_of_tickets(home: Home) -> None:
    tickets = ("unique", "as_of", "rowCount", "one_terminal", "rare_action", "concentration")
    assert list(say(home, *tickets)) == [GROUP]
    assert list(say(home, *tickets, "known_action", hour=0.1)) == [GROUP, "known_action"]
    assert [i.urgency for i in open_incidents(home)] == ["ticket", "page"]


def test_what_is_not_the_contracts_is_never_grouped(home: Home) -> None:
    assert list(say(home, *SEVEN, "run_failed", "gate_refused")) == ["run_failed", "gate_refused", GROUP]


def test_a_group_of_one() -> None:
    assert group_finding([finding("range")]).summary == "1 rule of the contract broken: range"
