"""What the reference expects: means, variation between days, and the week."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from data_contracts.drift.baseline import Baseline, learn_baseline, standardise
from data_contracts.drift.monitors import Measured

MONDAY = np.eye(7)[[0]]
NO_WEEK = np.full(30, -1)


def baseline_of(mean: float, *, row: float = 0.0, reach: float = 0.0, day: float = 0.0, error: float = 0.0) -> Baseline:
    one = np.ones(1)
    return Baseline(
        mean=np.full((7, 1), mean),
        weekly=np.zeros(1, np.bool_),
        row_variance=row * one,
        reach=reach * one,
        day_variance=day * one,
        mean_variance=np.full((7, 1), error),
        degrees=1e9 * one,  # the t distribution is the normal one
    )


def test_standardise_uses_row_floor_and_day_variance() -> None:
    rare = baseline_of(0.0, reach=1.0)
    _, z, tolerance = standardise(Measured(np.array([[0.05]]), np.array([[100.0]])), rare, week=MONDAY)
    assert z[0, 0] == pytest.approx(0.05 / math.sqrt(21 / 100**2))  # 5 events where none was expected: 1.1 deviations
    assert tolerance[0, 0] == 0.4
    noisy = baseline_of(1.0, row=4.0, reach=1.0, day=0.05, error=0.01)
    expected, z, tolerance = standardise(Measured(np.array([[2.0]]), np.array([[100.0]])), noisy, week=MONDAY)
    assert expected[0, 0] == 1.0
    assert z[0, 0] == pytest.approx(1 / math.sqrt(4 / 100 + 0.05 + 0.01))
    assert tolerance[0, 0] == pytest.approx(2.2 * math.sqrt(0.01 / 0.1))


def test_too_few_rows_measure_nothing() -> None:
    _, z, _ = standardise(Measured(np.array([[9.0]]), np.array([[49.0]])), baseline_of(1.0, row=1.0), week=MONDAY)
    assert np.isnan(z[0, 0])


@pytest.mark.parametrize(("degrees", "t"), [(33.0, 2.0), (59.0, 5.0), (20.0, -3.0)])
def test_wallace_agrees_with_scipy(degrees: float, t: float) -> None:
    known = baseline_of(0.0, row=100.0)
    student = Baseline(
        known.mean, known.weekly, known.row_variance, known.reach, known.day_variance, known.mean_variance,
        np.array([degrees]),
    )  # fmt: skip
    _, z, _ = standardise(Measured(np.array([[t]]), np.array([[100.0]])), student, week=MONDAY)
    assert z[0, 0] == pytest.approx(-np.sign(t) * stats.norm.ppf(stats.t.sf(abs(t), degrees)), abs=0.02)


def test_day_to_day_variation_is_learnt() -> None:
    # 40 monitors, 30 days of 1,000 rows with variance 1: row part 0.001; days add 0.004
    rng = np.random.default_rng(5)
    mean = rng.normal(0, math.sqrt(0.005), size=(30, 40))
    one = np.ones(40)
    baseline = learn_baseline(
        Measured(mean, np.full((30, 40), 1000.0)), row_variance=one, reach=one, kinds=("mean",) * 40, weekday=NO_WEEK
    )
    assert np.median(baseline.day_variance) == pytest.approx(0.004, rel=0.15)
    assert baseline.degrees.tolist() == [29 + 30] * 40
    assert baseline.mean_variance[0, 0] == pytest.approx(1 / 30_000 + baseline.day_variance[0] / 30)


def test_one_reference_cell_says_nothing() -> None:
    one = np.ones(1)
    reference = Measured(np.ones((1, 1)), np.full((1, 1), 500.0))
    learnt = learn_baseline(reference, row_variance=one, reach=one, kinds=("mean",), weekday=np.array([0]))
    assert np.isnan(learnt.degrees[0])


def test_four_weeks_show_the_week_and_three_do_not() -> None:
    # two monitors, 1,000 rows a day with variance 1: the first is 1 higher on Sundays, the second is not
    rng = np.random.default_rng(6)
    for n_weeks, weekly in [(4, [True, False]), (3, [False, False])]:
        weekday = np.tile(np.arange(7), n_weeks)
        mean = rng.normal(0, math.sqrt(0.001), size=(len(weekday), 2))
        mean[weekday == 6, 0] += 1
        learnt = learn_baseline(
            Measured(mean, np.full(mean.shape, 1000.0)),
            row_variance=np.ones(2),
            reach=np.ones(2),
            kinds=("mean", "mean"),
            weekday=weekday,
        )
        assert learnt.weekly.tolist() == weekly
        cell = Measured(np.array([[1.0, 0.0]]), np.full((1, 2), 1000.0))
        _, monday, _ = standardise(cell, learnt, week=MONDAY)
        _, sunday, _ = standardise(cell, learnt, week=np.eye(7)[[6]])
        if n_weeks == 4:
            assert learnt.mean[6, 0] == pytest.approx(mean[weekday == 6, 0].mean())
            assert (monday[0, 0] > 10, abs(sunday[0, 0]) < 3) == (True, True)
        else:  # the pattern is variation between days: wide, and the same on every day
            assert sunday[0, 0] == monday[0, 0] < 4


def test_a_cell_of_two_weekdays_expects_their_mixture() -> None:
    known = baseline_of(0.0, row=1.0)
    means = np.arange(7.0)[:, None]
    weekly = Baseline(
        means, np.ones(1, np.bool_), known.row_variance, known.reach, known.day_variance, known.mean_variance,
        known.degrees,
    )  # fmt: skip
    expected, _, _ = standardise(
        Measured(np.array([[0.0]]), np.array([[100.0]])), weekly, week=np.array([[0.25, 0.75, 0, 0, 0, 0, 0]])
    )
    assert expected[0, 0] == 0.75


def test_what_was_never_seen_does_not_make_the_others_steadier() -> None:
    # three shares that vary between days four times as much as their rows, and five that were always 0
    rng = np.random.default_rng(8)
    varying = 0.5 + rng.normal(0, math.sqrt(4 * 0.25 / 1000), size=(30, 3))
    reference = Measured(np.concatenate([varying, np.zeros((30, 5))], axis=1), np.full((30, 8), 1000.0))
    learnt = learn_baseline(
        reference,
        row_variance=np.repeat([0.25, 0.0], [3, 5]),
        reach=np.full(8, 0.0),
        kinds=("category",) * 8,
        weekday=NO_WEEK,
    )
    assert learnt.day_variance[:3].min() > 0.5 * 3 * 0.25 / 1000
