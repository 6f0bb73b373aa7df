"""The arithmetic of the detector, and the inequality its budget rests on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from data_contracts.drift.detector import (
    RARE_EVENTS,
    TOLERANCE,
    Baseline,
    detect,
    e_values,
    learn_baseline,
    monitor_weights,
    standardise,
)
from data_contracts.drift.monitors import Measured


def test_e_value_by_hand() -> None:
    expected = np.mean([np.exp(s * (sign * 2.0 - 0.4) - s * s / 2) for s in (0.75, 1.5, 3.0) for sign in (1, -1)])
    assert e_values(np.array([[2.0]]), np.array([[0.4]]))[0, 0] == pytest.approx(expected)


def test_shiryaev_roberts_by_hand_and_restart() -> None:
    e = np.array([[2.0], [3.0], [0.5], [np.nan], [2.0]])
    walk = detect(e, np.array([1.0]), threshold=9.0)
    # (0+1)2 = 2, (2+1)3 = 9 -> alarm and restart, (0+1)0.5 = 0.5, unmeasured keeps 0.5, (0.5+1)2 = 3
    assert walk.statistic.tolist() == [2.0, 9.0, 0.5, 0.5, 3.0]
    assert walk.alarm.tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("events", [0.01, 0.5, 3.0, 20.0, 200.0])
def test_rare_events_keep_the_e_value_honest(events: float) -> None:
    # k ~ Poisson(events) among n rows, as the standardised share of a cell with an exactly known reference
    n, count = 10_000, np.arange(0, 2000)
    deviation = math.sqrt(max(events, RARE_EVENTS)) / n
    e = e_values(((count - events) / n / deviation)[None, :].clip(-37, 37), np.full((1, len(count)), TOLERANCE))[0]
    assert float(stats.poisson.pmf(count, events) @ e) <= 1.0


def test_standardise_uses_row_floor_and_day_variance() -> None:
    baseline = Baseline(
        mean=np.array([0.0, 1.0]),
        row_variance=np.array([0.0, 4.0]),
        reach=np.array([1.0, 1.0]),
        day_variance=np.array([0.0, 0.05]),
        mean_variance=np.array([0.0, 0.01]),
        degrees=np.array([1e9, 1e9]),  # the t distribution is the normal one
    )
    z, tolerance = standardise(Measured(np.array([[0.05, 2.0]]), np.array([[100.0, 100.0]])), baseline)
    assert z[0, 0] == pytest.approx(0.05 / math.sqrt(20 / 100**2))  # 5 events where none was expected: 1.1 deviations
    assert z[0, 1] == pytest.approx(1 / math.sqrt(4 / 100 + 0.05 + 0.01))
    assert tolerance[0].tolist() == pytest.approx([0.4, 2.2 * math.sqrt(0.01 / 0.1)])


def test_too_few_rows_measure_nothing() -> None:
    one = np.ones(1)
    baseline = Baseline(one, one, one, 0 * one, 0 * one, 30 * one)
    z, _ = standardise(Measured(np.array([[9.0]]), np.array([[49.0]])), baseline)
    assert np.isnan(z[0, 0])


def test_wallace_agrees_with_scipy() -> None:
    one = np.ones(1)
    for degrees, t in [(33.0, 2.0), (59.0, 5.0), (20.0, -3.0)]:
        baseline = Baseline(0 * one, 100 * one, 0 * one, 0 * one, 0 * one, np.array([degrees]))
        z, _ = standardise(Measured(np.array([[t]]), np.array([[100.0]])), baseline)
        assert z[0, 0] == pytest.approx(-np.sign(t) * stats.norm.ppf(stats.t.sf(abs(t), degrees)), abs=0.02)


def test_day_to_day_variation_is_learnt() -> None:
    # 40 monitors, 30 days of 1,000 rows with variance 1: row part 0.001; days add 0.004
    rng = np.random.default_rng(5)
    mean = rng.normal(0, math.sqrt(0.005), size=(30, 40))
    one = np.ones(40)
    baseline = learn_baseline(
        Measured(mean, np.full((30, 40), 1000.0)), row_variance=one, reach=one, kinds=("mean",) * 40
    )
    assert np.median(baseline.day_variance) == pytest.approx(0.004, rel=0.15)
    assert baseline.degrees.tolist() == [29 + 30] * 40
    assert baseline.mean_variance[0] == pytest.approx(1 / 30_000 + baseline.day_variance[0] / 30)


def test_one_reference_cell_says_nothing() -> None:
    one = np.ones(1)
    reference = Measured(np.ones((1, 1)), np.full((1, 1), 500.0))
    assert np.isnan(learn_baseline(reference, row_variance=one, reach=one, kinds=("mean",)).degrees[0])


def test_weights_spend_the_whole_budget_on_what_can_be_watched() -> None:
    weights = monitor_weights(("mean", "mean", "pair", "reward"), np.array([True, True, True, False]))
    assert weights.tolist() == pytest.approx([0.35 / 0.5 / 2, 0.35 / 0.5 / 2, 0.15 / 0.5, 0.0])
