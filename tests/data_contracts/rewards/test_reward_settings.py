"""What `reward:` of a task file may say, and the bounds that every reward then has."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from data_contracts.contract import Column, Contract
from data_contracts.rewards.reward_settings import Channel, RewardSettings, reward_bounds

CONTRACT = Contract(
    id="shop", version="1.0.0", path="shop.odcs.yaml", sha256="0" * 64, columns=(),
    outcome_columns=(Column("value", "value", "number", ("reserved",), minimum=0, maximum=5),),
    table_rules=(), owner="o", support="s", runbook="r", freshness_hours=None,
)  # fmt: skip
CLICK = {"kind": "interaction", "window": "P1D"}
RATING = {"kind": "feedback", "quality": "high", "delay": "PT2H"}


def read(**words: Any) -> RewardSettings:
    """As a task file is read: strictly, from JSON."""
    return RewardSettings.model_validate_json(json.dumps(words), strict=True)


def test_the_short_form_is_one_channel_with_the_tasks_window() -> None:
    reward = read(channel="click", attribution_window="P7D", default=0)
    assert reward.reward_channels == (Channel("click", timedelta(days=7)),)
    assert (reward.combine, reward.channel_names, reward.longest_window) == ("earliest", ("click",), timedelta(days=7))
    assert reward.follows_from_row
    assert read().channel_names == ("reward",)


def test_declared_channels_have_their_own_window_or_the_tasks() -> None:
    reward = read(
        attribution_window="P7D",
        combine="weighted",
        bounds=[-1, 2],
        channels={"rating": {**RATING, "weight": 0.5, "within": "last"}, "click": {**CLICK, "default": 0}},
        guardrails={"unsubscribe": {"window": "P30D", "limit": 0.01}},
    )
    click, rating = reward.reward_channels  # in order of their names
    assert click == Channel("click", timedelta(days=1), default=0.0, kind="interaction")
    assert rating == Channel(
        "rating", timedelta(days=7), "last", 0.5, kind="feedback", quality="high", delay=timedelta(hours=2)
    )
    assert reward.channel_names == ("rating", "click", "unsubscribe"), "outcomes that name none are of the first"
    assert reward.longest_window == timedelta(days=7), "a guardrail delays no reward"
    assert [g.window for g in reward.guardrail_channels] == [timedelta(days=30)]
    assert not reward.follows_from_row


def test_settings_survive_the_manifest_whatever_the_order_of_its_keys() -> None:
    reward = read(channels={"b": CLICK, "a": RATING}, attribution_window="P2D")
    stored = json.dumps(reward.model_dump(mode="json"), sort_keys=True)
    again = RewardSettings.model_validate_json(stored)
    assert again == reward
    assert again.channel == "b"


def test_settings_that_were_stored_before_there_were_channels_mean_what_they_meant() -> None:
    old = RewardSettings.model_validate({"attribution_window": "P2D", "channel": "buy", "default": 0.0})
    assert old == read(attribution_window="P2D", channel="buy", default=0)
    assert old.combine == "earliest"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"combine": "sum", "bounds": [0, 1]}, "channels, which combine: sum adds up"),
        ({"combine": "sum", "channels": {"a": CLICK}}, "bounds of the reward, as combine: sum adds channels up"),
        ({"combine": "weighted", "channels": {"a": CLICK}}, "bounds of the reward"),
        ({"bounds": [1, 1]}, "bounds with the lower one first"),
        ({"bounds": [0, 1], "default": 2}, r"default inside bounds \[0, 1\]"),
        ({"channels": {"a": {**CLICK, "weight": 2}}}, "no weight in channel a: combine: earliest"),
        ({"channels": {"a": {**CLICK, "within": "sum"}}, "combine": "last"}, "no within in channel a: combine: last"),
        ({"channels": {"a": {**CLICK, "default": 0}}}, "no default in channel a"),
        ({"channels": {"a": {**CLICK, "weight": 2}}, "combine": "sum", "bounds": [0, 1]}, "no weight in channel a"),
        ({"channels": {"a": CLICK}, "channel": "b"}, r"channel to be one of channels \(a\)"),
        ({"channels": {"a": CLICK}, "guardrails": {"a": {"limit": 0}}}, "a among channels or among guardrails"),
        ({"guardrails": {"reward": {"limit": 0}}}, "reward among channels or among guardrails"),
        ({"channels": {" ": CLICK}}, "a word as the name of every channel"),
        ({"channels": {"a": {**CLICK, "delay": "P2D"}}}, "delay of channel a to be no longer than its window"),
        ({"channels": {"a": {"window": "P1D"}}}, "kind"),
        ({"channels": {"a": {**CLICK, "quality": "fine"}}}, "'high', 'medium' or 'low'"),
        ({"guardrails": {"a": {"better": "lower"}}}, "limit"),
        ({"feed": {"recent": "PT0S"}}, "greater than 0"),
        ({"attribution_window": "P4000D"}, "less than or equal"),
    ],
)
def test_what_does_not_fit_together_is_refused(words: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        read(**words)


def test_bounds_are_the_declared_ones_else_the_contracts_and_the_default() -> None:
    assert reward_bounds(CONTRACT, read(attribution_window="P1D", default=0)) == (0, 5)
    assert reward_bounds(CONTRACT, read(default=-1)) == (-1, 5), "the default is a reward as well"
    assert reward_bounds(CONTRACT, read(bounds=[0, 1])) == (0, 1)
    narrow = replace(CONTRACT, columns=(Column("reward", "reward", "number", ("reserved",), minimum=0, maximum=1),))
    added = read(combine="sum", bounds=[-2, 3], channels={"a": CLICK, "b": CLICK})
    assert reward_bounds(narrow, added) == (-2, 3)
