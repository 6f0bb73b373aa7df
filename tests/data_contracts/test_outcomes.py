"""Outcomes become rewards exactly once, inside their window, as they were known at the moment asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import UsageError
from data_contracts.interactions import interaction_schema, outcome_schema
from data_contracts.outcomes import RewardCounts, RewardSettings, attach_rewards

WEDNESDAY = datetime(2026, 1, 7, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = RewardSettings(attribution_window=timedelta(days=7))


def interactions(*rows: tuple[str, datetime, float | None]) -> pa.Table:
    records = [{"interaction_id": i, "occurred_at": t, "reward": r} for i, t, r in rows]
    return pa.Table.from_pylist(records, schema=interaction_schema({}))


def outcomes(*rows: tuple[str, str, float, datetime]) -> pa.Table:
    records = [{"interaction_id": i, "channel": c, "value": v, "observed_at": t} for i, c, v, t in rows]
    return pa.Table.from_pylist(records, schema=outcome_schema())


def rewards(table: pa.Table) -> dict[str, float | None]:
    return dict(zip(table["interaction_id"].to_pylist(), table["reward"].to_pylist(), strict=True))


def test_every_outcome_goes_to_exactly_one_place() -> None:
    log = interactions(("a", WEDNESDAY, None), ("b", WEDNESDAY, 0.5), ("c", WEDNESDAY + 7 * DAY, None))
    late = outcomes(
        ("a", "reward", 9.0, WEDNESDAY + 4 * DAY),  # repeated: an earlier one counts
        ("a", "reward", 2.0, WEDNESDAY + 3 * DAY),  # used
        ("a", "reward", 9.0, WEDNESDAY - DAY),  # before its interaction
        ("a", "reward", 9.0, WEDNESDAY + 7 * DAY + timedelta(microseconds=1)),  # after the window
        ("a", "refund", 9.0, WEDNESDAY + DAY),  # other channel
        ("b", "reward", 9.0, WEDNESDAY),  # repeated: the row has a reward
        ("c", "reward", 9.0, WEDNESDAY + 8 * DAY),  # c has not matured
        ("z", "reward", 9.0, WEDNESDAY),  # orphan
        ("a", "reward", 9.0, WEDNESDAY + 11 * DAY),  # not yet observed
    )
    result = attach_rewards(log, late, reward=WEEK, as_of=WEDNESDAY + 10 * DAY)
    assert rewards(result.table) == {"a": 2.0, "b": 0.5, "c": None}
    assert result.table["matured"].to_pylist() == [True, True, False]
    assert result.counts == RewardCounts(
        n_outcomes=9, n_not_yet=1, n_orphan=1, n_other_channel=1, n_outside_window=2, n_repeated=2, n_waiting=1,
        n_used=1, n_defaulted=0, n_missing=0,
    )  # fmt: skip


def test_borders_of_the_window_are_inclusive() -> None:
    log = interactions(("a", WEDNESDAY, None), ("b", WEDNESDAY, None))
    late = outcomes(("a", "reward", 1.0, WEDNESDAY), ("b", "reward", 2.0, WEDNESDAY + 7 * DAY))
    end = WEDNESDAY + 7 * DAY
    assert rewards(attach_rewards(log, late, reward=WEEK, as_of=end).table) == {"a": 1.0, "b": 2.0}
    before = attach_rewards(log, late, reward=WEEK, as_of=end - timedelta(microseconds=1)).table
    assert before["matured"].to_pylist() == [False, False]


def test_default_is_taken_by_matured_rows_alone() -> None:
    log = interactions(("a", WEDNESDAY, None), ("b", WEDNESDAY + DAY, None))
    settings_ = RewardSettings(attribution_window=timedelta(days=7), default=0.0)
    result = attach_rewards(log, outcomes(), reward=settings_, as_of=WEDNESDAY + 7 * DAY)
    assert rewards(result.table) == {"a": 0.0, "b": None}
    assert (result.counts.n_defaulted, result.counts.n_missing) == (1, 0)
    without = attach_rewards(log, outcomes(), reward=WEEK, as_of=WEDNESDAY + 7 * DAY)
    assert rewards(without.table) == {"a": None, "b": None}
    assert (without.counts.n_defaulted, without.counts.n_missing) == (0, 1)


def test_moment_in_another_zone_is_the_same_moment_and_a_naive_one_is_refused() -> None:
    log = interactions(("a", WEDNESDAY, 1.0))
    tokyo = WEDNESDAY.astimezone(timezone(timedelta(hours=9)))
    assert attach_rewards(log, outcomes(), reward=RewardSettings(), as_of=tokyo).table["matured"].to_pylist() == [True]
    with pytest.raises(UsageError, match=r"naive time 2026-01-07T12:00:00: expected a time zone"):
        attach_rewards(log, outcomes(), reward=RewardSettings(), as_of=WEDNESDAY.replace(tzinfo=None))


def test_window_that_leaves_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="less than or equal"):
        RewardSettings.model_validate({"attribution_window": "P4000D"})
    with pytest.raises(ValueError, match="finite"):
        RewardSettings.model_validate({"default": float("nan")})


hours = st.integers(0, 12).map(lambda h: WEDNESDAY + timedelta(hours=h))
some_interactions = st.lists(
    st.tuples(st.sampled_from("abc"), hours, st.none() | st.sampled_from([0.0, 1.0])),
    max_size=3,
    unique_by=lambda row: row[0],
)
some_outcomes = st.lists(
    st.tuples(
        st.sampled_from("abz"), st.sampled_from(["reward", "reward", "x"]), st.sampled_from([0.0, 2.0, 3.0]), hours
    ),
    max_size=12,
)


def model(log: list[Any], late: list[Any], reward: RewardSettings, as_of: datetime) -> dict[str, float | None]:
    """`attach_rewards` in plain Python, one row at a time."""
    final: dict[str, float | None] = {}
    for key, occurred, own in log:
        if occurred + reward.attribution_window > as_of:
            final[key] = None
            continue
        end = min(as_of, occurred + reward.attribution_window)
        found = [
            (observed, value)
            for other, channel, value, observed in late
            if other == key and channel == reward.channel and occurred <= observed <= end
        ]
        final[key] = own if own is not None else min(found)[1] if found else reward.default
    return final


@settings(max_examples=200, deadline=None, database=None)
@given(
    log=some_interactions,
    late=some_outcomes,
    window=st.integers(0, 6).map(lambda h: timedelta(hours=h)),
    default=st.none() | st.just(-1.0),
    as_of=hours,
    data=st.data(),
)
def test_equals_the_plain_model_in_any_order_of_arrival(
    log: list[Any], late: list[Any], window: timedelta, default: float | None, as_of: datetime, data: st.DataObject
) -> None:
    reward = RewardSettings(attribution_window=window, default=default)
    result = attach_rewards(interactions(*log), outcomes(*late), reward=reward, as_of=as_of)
    assert rewards(result.table) == model(log, late, reward, as_of)
    c = result.counts
    assert c.n_outcomes == len(late)
    assert c.n_outcomes == (
        c.n_not_yet + c.n_orphan + c.n_other_channel + c.n_outside_window + c.n_repeated + c.n_waiting + c.n_used
    )
    shuffled = data.draw(st.permutations(late))
    again = attach_rewards(interactions(*log), outcomes(*shuffled), reward=reward, as_of=as_of)
    assert rewards(again.table) == rewards(result.table)
    assert again.counts == result.counts
