"""The first day of a log without propensities: numbers by hand, words that say what to do."""

from __future__ import annotations

import json
import math

import pytest

from policies.first_day import FIELDS, FirstDay, first_day, reward_facts
from policies.gate.settings import GateSettings

ACTIONS = ("left", "stay", "right")


def day(present: tuple[str, ...] = ("interaction_id", "reward"), rewards: int = 10_000) -> FirstDay:
    return first_day(
        rows_per_action={"left": 6000, "stay": 3990, "up": 10},
        actions=ACTIONS,
        n_days=4.0,
        reward=reward_facts(n=rewards, total=rewards / 5, squares=rewards / 5, minimum=0.0, maximum=1.0),
        present=present,
        settings=GateSettings(),
    )


def test_counts() -> None:
    found = day()
    assert found.n_rows == 10_000
    assert found.rows_per_action == {"left": 6000, "stay": 3990, "right": 0}
    assert found.rows_per_day == 2500
    assert found.lacking == ("propensity", "action_probabilities", "policy_version", "unit_id")


def test_days_by_hand() -> None:
    # 20 % of 10,000 rewards are 1: variance (2000 * 0.8 + 0.8^2) / 10001; the lift is 5 % of 0.2
    found = day()
    variance = (2000 * 0.8 + 0.8**2) / 10_001
    assert found.reward.variance == pytest.approx(variance)
    inverse = 1 / (0.9 + 0.1 / 3) + 3 / 0.1
    rows = math.ceil(2 * math.log(6 * 5000) * 0.3 * variance * inverse / 0.01**2)
    option = next(option for option in found.days if option.rate == 0.1)
    assert option.rows == rows
    assert option.days == pytest.approx(rows / 2500)


def test_without_a_reward_a_coin_is_assumed_and_said() -> None:
    found = day(rewards=0)
    assert (found.reward.mean, found.reward.variance, found.reward.n) == (0.5, 0.25, 0)
    assert "mean reward 0.5 assumed, none is logged" in found.text()


def test_the_text_says_why_and_what_to_do() -> None:
    text = day().text()
    assert text.startswith("The gate refuses: none of the 10,000 rows says with which probability")
    assert "right" in text
    for words in ("2,500 a day", "exploring   1%", "exploring  20%", f"propensity: {FIELDS['propensity']}"):
        assert words in text


def test_a_task_that_only_reports_says_so() -> None:
    found = day(present=tuple(FIELDS))
    assert found.reason.startswith("The gate refuses: this task only reports")
    assert "The log has every field" in found.text()


def test_json() -> None:
    found = json.loads(json.dumps(day().to_json()))
    assert found["days"][0]["rate"] == 0.01
    assert found["reason"] == day().reason
