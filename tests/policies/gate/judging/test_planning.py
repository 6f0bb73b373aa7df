"""The plan by hand; a broken or empty validation set costs power, not validity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from data_contracts.errors import DegenerateData
from policies.gate.judging.planning import difference_variance, make_plan, residual_variance
from policies.gate.records import GateRows, Plan

MakeRows = Callable[..., GateRows]


def test_residual_variance_counts_one_row_not_seen() -> None:
    found = residual_variance(
        action=np.array([0, 1]),
        reward=np.array([1.0, 0.0]),
        reward_model=np.array([[0.5, 9.0], [9.0, 0.5]]),
        pseudo=2.0,
    )
    assert found == pytest.approx((0.25 + 0.25 + 4) / 3)


def test_difference_variance_by_hand() -> None:
    d = np.array([[0.4, -0.4], [0.0, 0.0]])
    logging = np.array([[0.2, 0.8], [0.5, 0.5]])
    predicted = np.array([[1.0, 0.0], [1.0, 0.0]])
    # mean of .16/.2 + .16/.8 = 1 and 0, times variance 2; variance of (.4, 0) is .04
    assert difference_variance(d, logging, predicted, variance=2.0) == pytest.approx(0.5 * 2 + 0.04)


def test_difference_variance_is_that_of_simulated_rows(make_rows: MakeRows) -> None:
    rows = make_rows(200_000, seed=1)
    d = rows.challenger - rows.champion
    weight = (d / rows.behavior)[np.arange(rows.n), rows.action]
    simulated = (weight * (rows.reward - 0.45)).var()
    planned = make_plan(rows, n_planned=10, reward_minimum=0, reward_maximum=1).sigma_squared
    assert planned == pytest.approx(simulated, rel=0.03)


def test_rows_that_are_not_finite_are_left_out(make_rows: MakeRows) -> None:
    rows = make_rows(100)
    behavior = rows.behavior.copy()
    behavior[:50] = np.nan
    rest = rows.select(np.arange(50, 100))
    plans = [
        make_plan(r, n_planned=10, reward_minimum=0, reward_maximum=1) for r in (replace(rows, behavior=behavior), rest)
    ]
    assert plans[0] == plans[1]


def test_without_rows_or_difference_the_reward_range_stands_in(make_rows: MakeRows) -> None:
    assert make_plan(make_rows(0), n_planned=10, reward_minimum=-1, reward_maximum=1) == Plan(10, 4.0, -1, 1)
    rows = make_rows(99)
    same = make_plan(replace(rows, challenger=rows.champion), n_planned=10, reward_minimum=0, reward_maximum=1)
    assert 0.2 < same.sigma_squared < 0.3


@pytest.mark.parametrize(("n", "low", "high"), [(0, 0.0, 1.0), (10, 1.0, 1.0), (10, 0.0, np.inf), (10, np.nan, 1.0)])
def test_impossible_plans_are_refused(make_rows: MakeRows, n: int, low: float, high: float) -> None:
    with pytest.raises(DegenerateData, match="no plan"):
        make_plan(make_rows(5), n_planned=n, reward_minimum=low, reward_maximum=high)
