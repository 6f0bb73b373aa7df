"""The section of influence: concentration by hand, campaigns refused, and what cannot be judged said aloud."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data_contracts.checks import CheckResult, Section
from data_contracts.units.concentration import largest_top, measure_concentration
from data_contracts.units.influence import influence_section
from data_contracts.units.influence_settings import InfluenceSettings
from tests.worlds.coordination_worlds import Log, campaign, honest_log

START = datetime(2026, 1, 1, tzinfo=UTC)
ACTIONS = ("a", "b", "c", "d", "e")


def _table(log: Log, **columns: Any) -> pa.Table:
    n = len(log.unit)
    return pa.table(
        {
            "interaction_id": [f"i{i}" for i in range(n)],
            "unit_id": [f"u{u}" for u in log.unit],
            "occurred_at": [START + timedelta(seconds=i) for i in range(n)],
            "action": np.array(ACTIONS)[log.action].tolist(),
            "reward": log.reward,
            **columns,
        }
    )


def _even(sizes: list[int]) -> Log:
    unit = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(3)
    return Log(unit, rng.integers(5, size=len(unit)), (rng.random(len(unit)) < 0.2) * 1.0, 5)


def _section(table: pa.Table, **settings: Any) -> Section:
    return influence_section(table, actions=ACTIONS, settings=InfluenceSettings(**settings))


def _check(section: Section, rule: str) -> CheckResult:
    return next(check for check in section.checks if check.rule == rule)


def test_concentration_by_hand() -> None:
    # 200 units: 198 of weight 1, two of 51; the top 1 % are the two
    unit = np.concatenate([np.arange(200), np.repeat([0, 1], 50)])
    found = measure_concentration(np.ones(300), unit)
    assert (found.n_units, found.n_top) == (200, 2)
    assert found.top == pytest.approx(102 / 300)
    assert found.largest == pytest.approx(51 / 300)
    assert found.effective_units == pytest.approx(300**2 / (198 + 2 * 51**2))


@pytest.mark.parametrize(
    ("sizes", "passed"),
    [
        ([1] * 990 + [24] * 10, True),  # top 1 %: 240 of 1,230, 19.5 %
        ([1] * 990 + [25] * 10, False),  # 250 of 1,240, 20.2 %
        ([4, 4, 4], True),  # one of three units carries a third, as it must
        ([1] * 19 + [6], True),  # 6 of 25, 24 %: five even shares of twenty units are 25 %
        ([1] * 19 + [7], False),  # 7 of 26, 27 %
        ([1] * 100 + [400], False),
    ],
)
def test_the_top_one_per_cent_may_carry_a_fifth(sizes: list[int], passed: bool) -> None:
    check = _check(_section(_table(_even(sizes))), "concentration")
    assert (check.passed, check.level) == (passed, "block")
    assert "of the weight in" in check.observed


def test_weights_count_not_rows() -> None:
    """Ten units of a thousand were logged at a rate of 1 %: a hundred rows' weight each."""
    log = _even([1] * 1000)
    rate = np.where(log.unit < 10, 0.01, 1.0)
    assert _check(_section(_table(log)), "concentration").passed
    check = _check(_section(_table(log, sampling_rate=rate)), "concentration")
    assert not check.passed
    assert check.observed.startswith("50.3% of the weight in 10 of 1,000 units")  # 1,000 of 1,990


def test_the_settings_move_limit_and_severity() -> None:
    table = _table(_even([1] * 990 + [40] * 10))
    assert _check(_section(table, alarm_share=0.4), "concentration").passed
    check = _check(_section(table, severity="warn"), "concentration")
    assert (check.passed, check.level) == (False, "warn")
    for wrong in ({"max_rows_per_unit": 0}, {"max_weight_share_per_unit": 0}, {"alarm_share": 1}, {"severety": "warn"}):
        with pytest.raises(ValidationError):
            InfluenceSettings(**wrong)


def test_a_campaign_is_refused_and_named() -> None:
    check = _check(_section(_table(campaign("fabricated", np.random.default_rng(4), share=0.05))), "coordination")
    assert (check.passed, check.level) == (False, "block")
    assert "units on action b always reward it highest" in check.observed


def test_an_honest_log_passes_with_its_tables() -> None:
    section = _section(_table(honest_log("tastes, heavy users", np.random.default_rng(5))), max_rows_per_unit=50)
    assert _check(section, "coordination").passed
    first, second = section.tables
    assert all(len(row) == len(table.columns) for table in section.tables for row in table.rows)
    assert {row[0]: row[2] for row in first.rows}["rows beyond the limit of a unit"] != "0"
    assert len(second.rows) >= 5
    assert section.notes == ()


def test_a_row_without_reward_or_with_an_unknown_action_is_not_judged() -> None:
    log = campaign("fabricated", np.random.default_rng(6), share=0.05)
    theirs = log.unit < 100
    silent = _table(log).set_column(4, "reward", pa.array(log.reward, mask=theirs))
    assert _check(_section(silent), "coordination").passed
    other = _table(Log(log.unit, log.action, log.reward, 5), note=theirs)
    renamed = other.set_column(3, "action", pa.array(np.where(theirs, "z", np.array(ACTIONS)[log.action])))
    assert _check(_section(renamed), "coordination").passed


def test_unknown_units_are_said_aloud() -> None:
    table = _table(_even([1] * 300))
    section = _section(table.set_column(1, "unit_id", table["interaction_id"]))
    assert "Units are not known" in section.notes[0]
    assert _check(section, "coordination").observed.startswith("not judged")
    assert "cannot be judged" in _section(table).notes[0]


def test_no_rows_are_judged_by_nothing() -> None:
    section = _section(_table(_even([2, 2])).slice(0, 0))
    assert section.checks == ()
    assert "nothing to judge" in section.notes[0]


def test_the_order_of_rows_does_not_matter() -> None:
    table = _table(campaign("fabricated, 10 rows among heavy users", np.random.default_rng(7), share=0.05))
    shuffled = table.take(np.random.default_rng(8).permutation(table.num_rows))
    assert _section(shuffled) == _section(table)


def test_the_limit_for_few_units() -> None:
    found = [measure_concentration(np.ones(n), np.arange(n)) for n in (3, 20, 99, 100, 5000)]
    assert [largest_top(f, alarm_share=0.2) for f in found] == pytest.approx([5 / 3, 0.25, 0.2, 0.2, 0.2])
