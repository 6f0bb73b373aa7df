"""The arithmetic of the detector, and the inequalities its budgets rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from data_contracts.drift.baseline import RARE_EVENTS, TOLERANCE
from data_contracts.drift.detector import budgets, detect, e_values, group_members, monitor_weights
from data_contracts.drift.records import GROUP_ORDER, GROUPS, WEIGHTS

ONE = np.array([[True, False, False, False]])


def test_e_value_by_hand() -> None:
    expected = [math.exp(s * (sign * 2.0 - 0.4) - s * s / 2) for sign in (1, -1) for s in (0.75, 1.5, 3.0)]
    assert e_values(np.array([[2.0]]), np.array([[0.4]]))[:, 0, 0].tolist() == pytest.approx(expected)


def test_shiryaev_roberts_by_hand_and_restart() -> None:
    e = np.array([[[2.0], [3.0], [0.5], [np.nan], [2.0]]])
    walk = detect(e, np.array([1.0]), ONE, threshold=9.0)
    # (0+1)2 = 2, (2+1)3 = 9 -> alarm and restart, (0+1)0.5 = 0.5, unmeasured keeps 0.5, (0.5+1)2 = 3
    assert walk.statistic[:, 0].tolist() == [2.0, 9.0, 0.5, 0.5, 3.0]
    assert walk.alarm[:, 0].tolist() == [False, True, False, False, False]


def test_a_bet_that_is_right_keeps_its_gains() -> None:
    e = np.array([[[4.0], [4.0]], [[0.0], [0.0]]])  # two bets on one monitor
    assert detect(e, np.array([1.0]), ONE, threshold=99.0).statistic[:, 0].tolist() == [
        2.0,
        10.0,
    ]  # ((4 + 1) 4 + 0) / 2


def test_a_group_that_alarms_leaves_the_others_running() -> None:
    e = np.array([[[8.0, 2.0], [2.0, 2.0]]])
    members = np.array([[True, False, False, False], [False, True, False, False]])
    walk = detect(e, np.array([0.5, 0.5]), members, threshold=4.0)
    assert walk.statistic[:, :2].tolist() == [[4.0, 1.0], [1.0, 3.0]]  # restarted: 1 * 2 / 2; going on: (2 + 1) 2 / 2
    assert walk.alarm[:, :2].tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize("events", [0.01, 0.5, 3.0, 19.0, 21.0, 22.0, 200.0])
def test_rare_events_keep_the_e_value_honest(events: float) -> None:
    # k ~ Poisson(events) among n rows, as the standardised share of a cell with an exactly known reference
    n, count = 10_000, np.arange(0, 2000)
    deviation = math.sqrt(max(events, RARE_EVENTS)) / n
    z = ((count - events) / n / deviation)[None, :].clip(-37, 37)
    for bet in e_values(z, np.full((1, len(count)), TOLERANCE)):
        assert float(stats.poisson.pmf(count, events) @ bet[0]) <= 1.0


def test_weights_spend_the_whole_budget_on_what_can_be_watched() -> None:
    weights = monitor_weights(("mean", "mean", "pair", "reward"), np.array([True, True, True, False]))
    assert weights.tolist() == pytest.approx([0.35 / 0.5 / 2, 0.35 / 0.5 / 2, 0.15 / 0.5, 0.0])


def test_budgets_add_up_to_the_stated_ones() -> None:
    kinds = tuple(WEIGHTS)
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    stated = budgets(monitor_weights(kinds, np.ones(len(kinds), np.bool_)), group_members(kinds))
    for threshold, limit in [("block", 0.05), ("warn", 0.20)]:
        assert sum(b.at_most for b in stated if b.threshold == threshold) == pytest.approx(limit)
    action = next(b for b in stated if (b.group, b.threshold) == ("action", "block"))
    assert action.at_most == pytest.approx(0.10 * 30 / 600)


def test_every_kind_is_in_one_group() -> None:
    members = group_members(tuple(WEIGHTS))
    assert members.sum(axis=1).tolist() == [1] * len(WEIGHTS)
    assert set(GROUPS.values()) == set(GROUP_ORDER)
