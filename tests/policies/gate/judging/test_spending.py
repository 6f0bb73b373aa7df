"""Boundaries against published ones, and against simulated paths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from policies.gate.judging.spending import boundaries, information_fractions, spent


def test_five_equal_looks_have_the_published_boundaries() -> None:
    """Jennison & Turnbull 2000, error spending of O'Brien-Fleming type, one-sided .025, five looks."""
    fifths = tuple(k / 5 for k in range(1, 6))
    found = boundaries(fifths, (1.0, 2.0, 3.0, 4.0, 5.0), alpha=0.025)
    assert found == pytest.approx((4.8769, 3.3569, 2.6803, 2.2898, 2.0310), abs=2e-4)


def test_one_look_is_the_plain_normal_test() -> None:
    assert boundaries((1.0,), (7.0,), alpha=0.04) == pytest.approx((1.750686,), abs=1e-5)


def test_paths_without_a_difference_cross_as_often_as_the_error_says() -> None:
    """20,000 paths of looks of unequal size; 4 standard errors around .05."""
    rows = np.array([300, 400, 1000, 1100, 2500])
    limits = boundaries(tuple(rows / 2500), tuple(map(float, rows)), alpha=0.05)
    steps = np.diff(rows, prepend=0)
    paths = (np.random.default_rng(5).normal(size=(20_000, 5)) * np.sqrt(steps)).cumsum(axis=1) / np.sqrt(rows)
    assert (paths >= limits).any(axis=1).mean() == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 20_000))


def test_a_look_that_read_nothing_has_no_boundary_and_spends_nothing() -> None:
    with_empty = boundaries((0.5, 0.5, 1.0), (10.0, 10.0, 20.0), alpha=0.05)
    assert with_empty[1] == math.inf
    assert (with_empty[0], with_empty[2]) == pytest.approx(boundaries((0.5, 1.0), (10.0, 20.0), alpha=0.05))


def test_the_whole_error_is_spent_at_the_end_and_never_before() -> None:
    assert spent(1.0, alpha=0.04) == pytest.approx(0.04)
    assert spent(0.5, alpha=0.04) < 0.02
    assert spent(0.0, alpha=0.04) == 0


def test_a_log_that_runs_ahead_of_its_plan_keeps_something_for_the_looks_to_come() -> None:
    found = information_fractions((100, 5000, 6000), n_planned=1000, n_looks=4, min_rows=300)
    assert found == pytest.approx((0.1, 5000 / 5600, 6000 / 6300))
    assert information_fractions((100, 5000, 6000, 6001), n_planned=1000, n_looks=4, min_rows=300)[-1] == 1.0
