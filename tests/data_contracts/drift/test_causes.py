"""Candidates for the cause of a drift, in the order of their nearness."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from data_contracts.drift.causes import Promotion, Superseded, possible_causes

SINCE = datetime(2026, 5, 10, tzinfo=UTC)


def before(days: float) -> datetime:
    return SINCE - timedelta(days=days)


def test_a_peers_promotion_in_the_same_week_is_a_possible_cause() -> None:
    found = possible_causes(
        SINCE,
        task="ads",
        promotions=[
            Promotion("search", 4, before(2)),
            Promotion("ads", 7, before(5)),
            Promotion("search", 3, before(7)),
            Promotion("mail", 2, before(-2)),
        ],
        policy_versions={"1": before(90), "7": before(1), "6": before(30)},
        contract_versions={"1.0.0": before(3)},
        superseded=[Superseded("new", "old", before(-0.5))],
    )
    assert [(cause.kind, cause.moment) for cause in found] == [
        ("superseding_batch", before(-0.5)),
        ("policy_version", before(1)),
        ("peer_promotion", before(2)),
        ("own_promotion", before(5)),
    ]
    assert found[2].text == "version 4 became champion of search, which may share units with this task"


def test_a_contract_version_after_the_first_is_a_change() -> None:
    found = possible_causes(
        SINCE,
        task="ads",
        promotions=[],
        policy_versions={},
        contract_versions={"1.0.0": before(80), "2.0.0": before(0)},
        superseded=[],
    )
    assert [cause.text for cause in found] == ["rows are read by contract version 2.0.0 from here on"]


def test_nothing_happened() -> None:
    nothing = possible_causes(SINCE, task="ads", promotions=[], policy_versions={}, contract_versions={}, superseded=[])
    assert nothing == ()
