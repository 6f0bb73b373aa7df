"""Outcomes become rewards exactly once, inside their window, as they were known at the moment asked for."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import UsageError
from data_contracts.interactions import interaction_schema, outcome_schema
from data_contracts.rewards.outcomes import ChannelSummary, RewardCounts, attach_rewards
from data_contracts.rewards.reward_settings import RewardSettings
from data_contracts.sampling import sampling_weights

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


def test_a_default_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        RewardSettings.model_validate({"default": float("nan")})


def shop(**words: Any) -> RewardSettings:
    """Clicks within a day at full weight, ratings within three days at half; unsubscribes are watched."""
    declared = {
        "attribution_window": "P3D",
        "combine": "weighted",
        "bounds": [-1, 2],
        "channel": "click",
        "channels": {
            "click": {"kind": "interaction", "window": "P1D"},
            "rating": {"kind": "feedback", "weight": 0.5, "within": "last"},
        },
        "guardrails": {"unsubscribe": {"window": "P9D", "limit": 0.01}},
    }
    return RewardSettings.model_validate({**declared, **words})


def test_channels_are_added_up_by_weight_and_clipped() -> None:
    log = interactions(("a", WEDNESDAY, None), ("b", WEDNESDAY, None), ("c", WEDNESDAY, 1.0), ("d", WEDNESDAY, None))
    late = outcomes(
        ("a", "click", 1.0, WEDNESDAY + DAY),
        ("a", "rating", 4.0, WEDNESDAY + DAY),  # repeated: the last one counts
        ("a", "rating", -1.0, WEDNESDAY + 2 * DAY),
        ("a", "unsubscribe", 1.0, WEDNESDAY + 2 * DAY),
        ("b", "click", 1.0, WEDNESDAY + 2 * DAY),  # outside the day of clicks
        ("c", "rating", 5.0, WEDNESDAY + 3 * DAY),
    )
    result = attach_rewards(log, late, reward=shop(), as_of=WEDNESDAY + 4 * DAY)
    assert rewards(result.table) == {"a": 0.5, "b": None, "c": 2.0, "d": None}  # 1 - .5; nothing; 1 + 2.5 is above 2
    assert result.counts == RewardCounts(
        n_outcomes=6, n_not_yet=0, n_orphan=0, n_other_channel=0, n_guardrail=1, n_outside_window=1, n_repeated=1,
        n_waiting=0, n_used=3, n_defaulted=0, n_missing=2, n_clipped=1,
    )  # fmt: skip
    assert result.channels == (ChannelSummary("click", 2, 1.0), ChannelSummary("rating", 2, 2.0))


def test_a_channels_default_is_added_where_it_is_silent_and_the_tasks_where_all_are() -> None:
    log = interactions(("a", WEDNESDAY, None), ("b", WEDNESDAY, None))
    late = outcomes(("a", "rating", 3.0, WEDNESDAY))
    silent = shop(default=0.25)
    assert rewards(attach_rewards(log, late, reward=silent, as_of=WEDNESDAY + 4 * DAY).table) == {"a": 1.5, "b": 0.25}
    channels = {
        "click": {"kind": "interaction", "default": -1},
        "rating": {"kind": "feedback", "weight": 0.5},
    }
    declared = shop(default=0.25, channels=channels)
    result = attach_rewards(log, late, reward=declared, as_of=WEDNESDAY + 4 * DAY)
    assert rewards(result.table) == {"a": 0.5, "b": -1.0}  # 1.5 - 1
    assert (result.counts.n_defaulted, result.counts.n_missing) == (0, 0)


def test_rows_mature_with_the_longest_reward_channel_and_wait_for_no_guardrail() -> None:
    log = interactions(("a", WEDNESDAY, None))
    late = outcomes(("a", "click", 1.0, WEDNESDAY))
    early = attach_rewards(log, late, reward=shop(), as_of=WEDNESDAY + 3 * DAY - timedelta(microseconds=1))
    assert (early.table["matured"].to_pylist(), early.counts.n_waiting) == ([False], 1)
    assert early.channels[0] == ChannelSummary("click", 0, None)
    ripe = attach_rewards(log, late, reward=shop(), as_of=WEDNESDAY + 3 * DAY)  # a guardrail matures days later
    assert (ripe.table["matured"].to_pylist(), rewards(ripe.table)) == ([True], {"a": 1.0})


def test_what_thursday_brings_is_not_known_on_wednesday_and_enters_later() -> None:
    """Ratings are read by their last one, so an outcome may also replace another."""
    log = interactions(("a", WEDNESDAY - 3 * DAY, None))
    late = outcomes(("a", "rating", 1.0, WEDNESDAY - DAY), ("a", "rating", 3.0, WEDNESDAY))
    settings_ = shop(attribution_window="P3D")
    before = attach_rewards(log, late, reward=settings_, as_of=WEDNESDAY - timedelta(microseconds=1))
    after = attach_rewards(log, late, reward=settings_, as_of=WEDNESDAY)
    assert (rewards(before.table), before.counts.n_not_yet) == ({"a": None}, 1)
    assert (rewards(after.table), after.counts.n_repeated) == ({"a": 1.5}, 1)


@pytest.mark.parametrize(
    ("within", "value"), [("earliest", 0.5), ("last", 0.25), ("sum", 1.75), ("max", 1.0), ("mean", 1.75 / 3)]
)
def test_several_outcomes_of_a_channel_become_one_value(within: str, value: float) -> None:
    log = interactions(("a", WEDNESDAY, None))
    late = outcomes(
        ("a", "click", 1.0, WEDNESDAY + timedelta(hours=2)),
        ("a", "click", 0.25, WEDNESDAY + timedelta(hours=3)),
        ("a", "click", 0.5, WEDNESDAY + timedelta(hours=1)),
    )
    channels = {"click": {"kind": "interaction", "within": within}}
    result = attach_rewards(log, late, reward=shop(channels=channels), as_of=WEDNESDAY + 9 * DAY)
    assert rewards(result.table) == {"a": value}
    n_used = 3 if within in ("sum", "mean") else 1
    assert (result.counts.n_used, result.counts.n_repeated) == (n_used, 3 - n_used)


def test_the_first_or_the_last_outcome_of_any_channel_decides() -> None:
    log = interactions(("a", WEDNESDAY, None), ("b", WEDNESDAY, 3.0))
    late = outcomes(
        ("a", "label", 1.0, WEDNESDAY + DAY),
        ("a", "click", 2.0, WEDNESDAY + 2 * DAY),
        ("b", "click", 5.0, WEDNESDAY),  # at the moment of the reward in the row, which is the first of it
        ("b", "label", 4.0, WEDNESDAY),
    )
    channels = {"click": {"kind": "interaction"}, "label": {"kind": "feedback"}}
    for combine, expected in (("earliest", {"a": 1.0, "b": 3.0}), ("last", {"a": 2.0, "b": 4.0})):
        reward = RewardSettings.model_validate({"attribution_window": "P3D", "combine": combine, "channels": channels})
        assert rewards(attach_rewards(log, late, reward=reward, as_of=WEDNESDAY + 9 * DAY).table) == expected


def test_rounding_does_not_depend_on_the_order_of_arrival() -> None:
    log = interactions(("a", WEDNESDAY, None))
    late = [("a", "click", value, WEDNESDAY) for value in (0.1, 0.2, 0.3, 1e16, -1e16, 0.7, -0.0, 0.0)]
    reward = shop(bounds=[-9, 9], channels={"click": {"kind": "interaction", "within": "sum"}})
    found = set()
    for seed in range(20):
        mixed = random.Random(seed).sample(late, len(late))
        table = attach_rewards(log, outcomes(*mixed), reward=reward, as_of=WEDNESDAY + 9 * DAY).table
        found.add(table["reward"][0].as_py())
    assert len(found) == 1
    for rule in ("earliest", "last"):
        one = RewardSettings.model_validate({"attribution_window": "P1D", "combine": rule, "channel": "click"})
        for pair in ([0.0, -0.0], [-0.0, 0.0]):
            both = outcomes(*[("a", "click", value, WEDNESDAY) for value in pair])
            table = attach_rewards(log, both, reward=one, as_of=WEDNESDAY + 9 * DAY).table
            assert math.copysign(1, table["reward"][0].as_py()) == -1, "their bits enter the id of a snapshot"


def test_downsampled_rows_weigh_what_they_stand_for() -> None:
    """100 clicks and 900 silent rows, of which every tenth was kept: a click rate of a tenth, not of 100 / 190."""
    kept = [(f"c{n}", WEDNESDAY, 1.0) for n in range(100)] + [(f"s{n}", WEDNESDAY, 0.0) for n in range(90)]
    log = interactions(*kept)
    rate = pa.array([None] * 100 + [0.1] * 90, pa.float64())
    log = log.set_column(log.schema.get_field_index("sampling_rate"), "sampling_rate", rate)
    result = attach_rewards(log, outcomes(), reward=RewardSettings(), as_of=WEDNESDAY)
    assert result.table["reward"].to_pylist() == [1.0] * 100 + [0.0] * 90, "rewards themselves stay"
    weight, reward = sampling_weights(log), result.table["reward"].to_numpy()
    assert float(weight @ reward / weight.sum()) == pytest.approx(0.1, abs=1e-15)
    assert result.channels[0].mean == pytest.approx(0.1, abs=1e-15)
    assert sampling_weights(log.drop_columns("sampling_rate")).tolist() == [1.0] * 190


hours = st.integers(0, 12).map(lambda h: WEDNESDAY + timedelta(hours=h))
quarters = st.integers(-8, 8).map(lambda n: n / 4)  # sums of them are exact in any order
some_interactions = st.lists(
    st.tuples(st.sampled_from("abc"), hours, st.none() | quarters), max_size=3, unique_by=lambda row: row[0]
)
some_outcomes = st.lists(
    st.tuples(st.sampled_from("abz"), st.sampled_from(["reward", "reward", "x", "watched", "?"]), quarters, hours),
    max_size=14,
)
windows = st.integers(0, 6).map(lambda h: timedelta(hours=h))
maybe = st.none() | quarters
bounds = st.tuples(st.sampled_from([-2.0, -0.5]), st.sampled_from([0.5, 3.0]))


@st.composite
def some_settings(draw: st.DrawFn) -> RewardSettings:
    combine = draw(st.sampled_from(["earliest", "last", "sum", "weighted"]))
    adding = combine in ("sum", "weighted")
    limits = draw(bounds) if adding else draw(st.none() | bounds)
    default = draw(st.sampled_from([None, 0.25, -0.5]))
    words: dict[str, Any] = {"combine": combine, "bounds": limits, "attribution_window": draw(windows)}
    words |= {"default": default, "guardrails": {"watched": {"limit": 0, "window": draw(windows)}}}
    if adding or draw(st.booleans()):
        words["channels"] = {name: {"kind": "feedback", "window": draw(windows)} for name in ("x", "reward")}
        words["channel"] = draw(st.sampled_from(["x", "reward"]))
        for channel in words["channels"].values():
            if adding:
                channel |= {"within": draw(st.sampled_from(["earliest", "last", "sum", "max"])), "default": draw(maybe)}
            if combine == "weighted":
                channel["weight"] = draw(st.sampled_from([-1, 0.5, 2]))
    return RewardSettings.model_validate(words)


def pick(found: list[tuple[datetime, int, float]], rule: str) -> float:
    """One value of (observed, 0 if it came in the row, value)."""
    last = max(found)[0]
    of_last = [event for event in found if event[0] == last]
    return {
        "earliest": min(found)[2],
        "last": min((-in_row, value) for _, in_row, value in of_last)[1],
        "sum": sum(value for _, _, value in found),
        "max": max(value for _, _, value in found),
    }[rule]


def model(log: list[Any], late: list[Any], reward: RewardSettings, as_of: datetime) -> dict[str, float | None]:
    """`attach_rewards` in plain Python, one row at a time."""
    final: dict[str, float | None] = {}
    for key, occurred, own in log:
        found: dict[str, list[tuple[datetime, int, float]]] = {c.name: [] for c in reward.reward_channels}
        if own is not None:
            found[reward.channel].append((occurred, 0, own))
        for channel in reward.reward_channels:
            end = min(as_of, occurred + channel.window)
            found[channel.name] += [
                (t, 1, v) for i, c, v, t in late if i == key and c == channel.name and occurred <= t <= end
            ]
        if reward.combine in ("earliest", "last"):
            every = [event for events in found.values() for event in events]
            value = pick(every, reward.combine) if every else None
        else:
            values = [
                (c.weight, pick(found[c.name], c.within) if found[c.name] else c.default)
                for c in reward.reward_channels
            ]
            known = [weight * v for weight, v in values if v is not None]
            value = sum(known) if known else None
        value = reward.default if value is None else value
        if value is not None and reward.bounds is not None:
            value = min(max(value, reward.bounds[0]), reward.bounds[1])
        final[key] = None if occurred + reward.longest_window > as_of else value
    return final


@settings(max_examples=400, deadline=None, database=None)
@given(log=some_interactions, late=some_outcomes, reward=some_settings(), as_of=hours, data=st.data())
def test_equals_the_plain_model_in_any_order_of_arrival(
    log: list[Any], late: list[Any], reward: RewardSettings, as_of: datetime, data: st.DataObject
) -> None:
    result = attach_rewards(interactions(*log), outcomes(*late), reward=reward, as_of=as_of)
    assert rewards(result.table) == model(log, late, reward, as_of)
    c = result.counts
    assert c.n_outcomes == len(late)
    went = (c.n_not_yet, c.n_orphan, c.n_other_channel, c.n_guardrail, c.n_outside_window, c.n_repeated, c.n_waiting)
    assert c.n_outcomes == sum(went) + c.n_used
    if reward.bounds is not None:
        known = [value for value in rewards(result.table).values() if value is not None]
        assert all(reward.bounds[0] <= value <= reward.bounds[1] for value in known)
    shuffled = data.draw(st.permutations(late))
    again = attach_rewards(interactions(*log), outcomes(*shuffled), reward=reward, as_of=as_of)
    assert rewards(again.table) == rewards(result.table)
    assert (again.counts, again.channels) == (result.counts, result.channels)
