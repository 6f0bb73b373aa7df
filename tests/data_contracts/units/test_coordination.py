"""Campaigns are found, honest logs of every kind are not: figures of the whole table are in tests/benchmarks."""

from __future__ import annotations

import numpy as np
import pytest

from data_contracts.units.coordination import FALSE_ALARMS, MATERIAL, find_pushes
from data_contracts.units.taste_mixture import fit_habits, tally
from tests.worlds.coordination_worlds import CAMPAIGNS, HONEST, Log, campaign, honest_log


def _alarms(log: Log) -> list[tuple[int, str]]:
    found = find_pushes(log.unit, log.action, log.reward, n_actions=log.n_actions)
    return sorted({(push.action, push.direction) for push in found if push.alarming})


@pytest.mark.parametrize("name", HONEST)
def test_honest_logs_raise_no_alarm(name: str) -> None:
    rng = np.random.default_rng(41)
    assert sum(bool(_alarms(honest_log(name, rng))) for _ in range(2)) == 0


@pytest.mark.parametrize("name", [name for name in CAMPAIGNS if not name.endswith(("4 rows", "2 rows"))])
def test_five_per_cent_of_coordinated_units_are_found_and_the_action_is_named(name: str) -> None:
    rng = np.random.default_rng(42)
    log = campaign(name, rng, share=0.05)
    assert _alarms(log) == [(log.pushed, log.direction)]


def test_a_push_downwards_is_found_on_graded_rewards() -> None:
    log = campaign("ratings", np.random.default_rng(43), share=0.05)
    assert _alarms(Log(log.unit, log.action, -log.reward, log.n_actions, log.pushed)) == [(log.pushed, "down")]


def test_a_campaign_of_a_handful_is_left_to_the_caps() -> None:
    assert _alarms(campaign("fabricated", np.random.default_rng(44), share=0.002)) == []


def test_one_row_a_unit_says_nothing() -> None:
    rng = np.random.default_rng(45)
    n = 5000
    assert find_pushes(np.arange(n), rng.integers(3, size=n), rng.integers(2, size=n) * 1.0, n_actions=3) == ()


def test_an_empty_log_says_nothing() -> None:
    nothing = np.zeros(0, np.int64)
    assert find_pushes(nothing, nothing, np.zeros(0), n_actions=3) == ()


def test_habits_by_hand() -> None:
    """900 units never, 100 always, ten rows each."""
    plain = fit_habits(tally(np.full(1000, 10), np.repeat([0, 10], [900, 100])))
    assert plain.always == pytest.approx(0.1, abs=1e-3)
    assert (plain.keen, plain.honest_mean) == (pytest.approx(0, abs=1e-3), pytest.approx(0, abs=1e-3))
    # without `always` the best law puts the hundred at .9: each of their likelihoods falls by (.995 / .9)^10
    assert plain.log_ratio == pytest.approx(100 * 10 * np.log(0.995 / 0.9), abs=0.1)
    assert plain.p_value < 1e-12


def test_the_p_value_is_right_where_the_null_is_at_its_border() -> None:
    """Every unit at .9, the keenest honest one: p <= .05 in about 5 % of logs, never more."""
    rng = np.random.default_rng(46)
    small = sum(fit_habits(tally(np.full(400, 12), rng.binomial(12, 0.9, 400))).p_value <= 0.05 for _ in range(100))
    assert small <= 14  # 5 +- 4 standard deviations of 2.2
    assert FALSE_ALARMS <= 0.01


def test_a_large_campaign_does_not_hide_by_moving_the_border_of_extreme_rewards() -> None:
    """At a tenth of the units its own rewards are the upper tenth, and half of them lie below the 90 % quantile."""
    log = campaign("ratings", np.random.default_rng(47), share=0.1)
    assert _alarms(log) == [(log.pushed, log.direction)]


def test_units_that_reward_everything_are_expected_on_every_action() -> None:
    rng = np.random.default_rng(48)
    for _ in range(3):
        log = honest_log("a twentieth rewards everything", rng)
        found = find_pushes(log.unit, log.action, log.reward, n_actions=log.n_actions)
        assert any(push.p_value < FALSE_ALARMS for push in found)  # improbable by tastes alone
        assert not any(push.alarming for push in found)


def test_tastes_that_divide_people_are_no_campaign() -> None:
    """One action is loved or hated (chances of Beta(.3, .6)): many always reward it, and many more nearly always."""
    rng = np.random.default_rng(49)
    unit, action = np.repeat(np.arange(3000), 30), rng.integers(3, size=90_000)
    chance = np.full((3000, 3), 0.1)
    chance[:, 1] = rng.beta(0.3, 0.6, 3000)
    reward = (rng.random(90_000) < chance[unit, action]) * 1.0
    divided = next(push for push in find_pushes(unit, action, reward, n_actions=3) if push.action == 1)
    assert divided.p_value < FALSE_ALARMS
    assert divided.habits.always - divided.expected > MATERIAL
    assert divided.habits.keen > divided.habits.always
    assert not divided.alarming
