"""Rules about whole episodes and rare actions, on tables small enough to count by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pytest

from data_contracts.contract import TableRule
from data_contracts.episode_rules import episode_continuity, one_terminal, rare_action
from data_contracts.expectations import Expectation
from data_contracts.interactions import interaction_schema

START = datetime(2026, 5, 1, tzinfo=UTC)
SCHEMA = interaction_schema({})
Step = tuple[str | None, int | None, float, str]  # episode, step, minutes after START, ending


def table(*steps: Step, unit: str = "u") -> pa.Table:
    rows = [
        {
            "interaction_id": f"i{i}",
            "unit_id": unit,
            "occurred_at": START + timedelta(minutes=minutes),
            "action": "a",
            "episode_id": episode,
            "step": step,
            "terminated": ending == "terminated",
            "truncated": None if ending == "" else ending == "truncated",
        }
        for i, (episode, step, minutes, ending) in enumerate(steps)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def rule(name: str, **arguments: float | str | list[str]) -> TableRule:
    return TableRule(name, "warn", arguments, "said by the contract")


def value(expectation: Expectation, rows: pa.Table) -> float | None:
    """Measured alone, and beside an aggregate over the same table: both ways must agree."""
    with duckdb.connect(":memory:") as connection:
        connection.register("interactions", rows)
        alone = connection.execute(f"SELECT {expectation.sql}", list(expectation.values)).fetchall()[0][0]
        query = f"SELECT count(*), {expectation.sql} FROM interactions"
        assert connection.execute(query, list(expectation.values)).fetchall()[0] == (rows.num_rows, alone)
    return None if alone is None else float(alone)


GOOD: tuple[Step, ...] = (("e", 3, 0, ""), ("e", 4, 1, ""), ("e", 5, 1, "terminated"), (None, None, 0, ""))


def test_episodes_that_are_whole_break_nothing() -> None:
    other: tuple[Step, ...] = (("f", 1, 7, "truncated"), ("f", 0, 2, ""), (None, None, 9, "terminated"))
    rows = table(*GOOD, *other)  # in any order; rows without an episode have no steps
    assert value(episode_continuity(rule("episode_continuity")), rows) == 0
    assert value(one_terminal(rule("one_terminal")), rows) == 0


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ((("e", 0, 0, ""), ("e", 2, 1, ""), ("e", 3, 2, "")), 1),  # 1 is not there
        ((("e", 0, 0, ""), ("e", 1, 1, ""), ("e", 1, 2, ""), ("e", 2, 3, "")), 1),  # 1 twice
        ((("e", 0, 5, ""), ("e", 1, 1, ""), ("e", 2, 2, "")), 1),  # 1 earlier than 0
        ((("e", 0, 0, ""), ("e", None, 1, ""), ("e", None, 2, "")), 2),  # no step
        ((("e", 0, 0, ""), ("f", 1, 1, ""), ("e", 1, 1, "")), 0),  # another episode's step does not count
    ],
)
def test_rows_that_do_not_follow_are_counted(steps: tuple[Step, ...], count: int) -> None:
    expectation = episode_continuity(rule("episode_continuity"))
    assert value(expectation, table(*steps)) == count
    assert expectation.limit.holds(count) == (count == 0)


def test_an_episode_is_of_one_unit() -> None:
    rows = pa.concat_tables([table(("e", 0, 0, "")), table(("e", 1, 1, ""), unit="v")])
    assert value(episode_continuity(rule("episode_continuity")), rows) == 1


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ((("e", 0, 0, "terminated"), ("e", 1, 1, "terminated")), 1),  # two ends
        ((("e", 0, 0, ""), ("e", 1, 1, "truncated"), ("e", 2, 2, "")), 1),  # the end is not the last
        ((("e", 0, 0, "terminated"), ("e", 1, 1, "truncated"), ("e", 2, 2, "")), 2),
        ((("e", 1, 1, "terminated"), ("e", 0, 2, "")), 0),  # the last by step, whatever the clock says
        ((("e", 0, 0, ""), ("e", 1, 1, "")), 0),  # an episode may be open
    ],
)
def test_ends_that_are_followed_are_counted(steps: tuple[Step, ...], count: int) -> None:
    assert value(one_terminal(rule("one_terminal")), table(*steps)) == count


def test_broken_rows_may_be_a_share_of_those_in_episodes() -> None:
    rows = table(("e", 0, 0, "terminated"), ("e", 2, 1, ""), ("f", 0, 0, ""), ("f", 1, 1, ""), (None, None, 0, ""))
    for make in (episode_continuity, one_terminal):
        expectation = make(rule("any", unit="percent", mustBeLessOrEqualTo=25))
        assert value(expectation, rows) == 25  # 1 of 4
        assert expectation.limit.holds(25)
        assert value(expectation, table((None, None, 0, ""))) == 0


def test_the_rarest_declared_action() -> None:
    rows = table(*[(None, None, 0, "")] * 10)
    rows = rows.set_column(rows.column_names.index("action"), "action", pa.array(["a"] * 7 + ["b"] * 3))
    for actions, count in ((("a", "b"), 3), (("a", "b", "c"), 0), (("a",), 7)):
        least = rule("rare_action", mustBeGreaterOrEqualTo=3)
        assert value(rare_action(least, actions=actions), rows) == count
        assert rare_action(least, actions=actions).limit.holds(count) == (count >= 3)
    share = rare_action(rule("rare_action", unit="percent", mustBeGreaterThan=30), actions=("a", "b"))
    assert value(share, rows) == 30
    assert not share.limit.holds(30)
    assert str(share.limit) == "at least 30 %"
    assert value(share, table()) is None  # without rows there is no share, and nothing passes
