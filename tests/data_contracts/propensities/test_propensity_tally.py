"""Counting propensities in chunks: the same verdict whatever the chunks, in memory that does not grow with the rows."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.propensities.propensity_calibration import N_BINS, TILTS, bin_name, calibration_bins
from data_contracts.propensities.propensity_evidence import action_deviations, calibration_log_e, expected_weight
from data_contracts.propensities.propensity_health import weight_e_value
from data_contracts.propensities.propensity_tally import PropensityTally
from tests.worlds.propensity_worlds import epsilon_greedy, rare_actions, table

WORLD = rare_actions(5, 0.01)


def rows(n: int, seed: int = 0) -> pa.Table:
    distribution, action = WORLD.log(np.random.default_rng(seed), n)
    probabilities = pa.array(distribution.tolist())
    return table(action, distribution[np.arange(n), action], action_probabilities=probabilities)


def test_chunks_and_their_order_change_nothing() -> None:
    whole = rows(3000)
    at_once = PropensityTally.empty(WORLD.actions).add(whole)
    first, second, third = (PropensityTally.empty(WORLD.actions).add(whole.slice(i * 1000, 1000)) for i in range(3))
    in_chunks = third.merge(first).merge(second)
    (one,), (other,) = at_once.versions(), in_chunks.versions()
    for how in ({"smallest": None, "partial_support": False}, {"smallest": 0.001, "partial_support": True}):
        wanted = expected_weight(one, n_actions=5, **how)
        assert expected_weight(other, n_actions=5, **how) == pytest.approx(wanted, rel=1e-9)
        assert calibration_log_e(other, **how) == pytest.approx(calibration_log_e(one, **how), rel=1e-9)
    assert one.bins is not None
    assert other.bins is not None
    assert other.bins.taken.tolist() == one.bins.taken.tolist()


def test_few_values_are_exact() -> None:
    world = epsilon_greedy(4, 0.3)
    distribution, action = world.log(np.random.default_rng(1), 5000)
    logged = 0.95 * distribution[np.arange(5000), action]
    (found,) = PropensityTally.empty(world.actions).add(table(action, logged)).versions()
    health = expected_weight(found, n_actions=4, smallest=None, partial_support=False)
    weights = 1 / (4 * logged)
    assert health == pytest.approx(weight_e_value(weights, maximum=2 * weights.max()), rel=1e-12)


def test_many_values_are_rounded_against_the_verdict() -> None:
    # a tally may miss a little evidence, and never invents any
    whole = rows(50_000)
    true = whole["propensity"].to_numpy()
    for factor in (0.97, 1.0, 1.03):
        logged = whole.set_column(2, "propensity", pa.array(true * factor))
        (found,) = PropensityTally.empty(WORLD.actions).add(logged).versions()
        tallied = expected_weight(found, n_actions=5, smallest=0.0001, partial_support=False).log_e
        exact = weight_e_value(1 / (5 * true * factor), maximum=1 / (5 * 0.0001)).log_e
        assert tallied <= exact + 1e-9
        assert tallied >= exact - 0.02 * abs(exact) - 1.0


def test_memory_does_not_grow_with_the_rows() -> None:
    tally = PropensityTally.empty(WORLD.actions)
    sizes = []
    for seed in range(6):
        tally = tally.add(rows(40_000, seed).drop_columns(["action_probabilities"]))
        sizes.append(tally.cells.num_rows)
    assert tally.n == 240_000
    chunks = (rows(40_000, seed).drop_columns(["action_probabilities"]) for seed in range(6))
    assert PropensityTally.of(chunks, actions=WORLD.actions).cells.equals(tally.cells)
    assert sizes[-1] < 1.25 * sizes[1]
    assert sizes[-1] < 5 * 1024 * 6


def test_what_is_no_propensity_is_missing() -> None:
    odd = pa.array([0.5, None, 0.0, -0.1, 1.5, float("nan"), 1.0])
    (found,) = PropensityTally.empty(("0",)).add(table(np.zeros(7, np.int64), odd)).versions()
    assert (found.n, found.n_known, found.n_missing) == (7, 2, 5)


def test_nothing_at_all() -> None:
    assert PropensityTally.empty(("0", "1")).versions() == ()
    assert PropensityTally.empty(("0", "1")).add(rows(0)).versions() == ()


def test_mean_weight_of_an_action_by_hand() -> None:
    # action 0: propensities 1/2 and 1/4; action 1: 1/2. Means of 1{a} / p: (2 + 4) / 3 and 2 / 3
    (found,) = PropensityTally.empty(("0", "1")).add(table(np.array([0, 0, 1]), np.array([0.5, 0.25, 0.5]))).versions()
    means, deviations = action_deviations(found)
    assert means.tolist() == pytest.approx([2.0, 2 / 3])
    # standard errors: sqrt((4 + 16) - 3 * 4) / 3 and sqrt(4 - 3 * 4 / 9) / 3
    assert deviations.tolist() == pytest.approx([1 / (math.sqrt(8) / 3), (2 / 3 - 1) / (math.sqrt(8 / 3) / 3)])


def test_calibration_of_one_row_by_hand() -> None:
    # distribution (0.7, 0.2, 0.1): bins [0.5, 1), [0.125, 0.25) and [0.0625, 0.125); action 1 was taken
    bins = calibration_bins(np.array([1]), np.array([[0.7, 0.2, 0.1]]))
    assert [bin_name(b) for b in np.flatnonzero(bins.expected)] == ["0.0625 - 0.125", "0.125 - 0.25", "0.5 - 1"]
    total = 0.0
    for probability, taken in ((0.7, 0), (0.2, 1), (0.1, 0)):
        total += sum((1 + tilt * taken) / (1 + tilt * probability) for tilt in TILTS)
    total += (N_BINS - 3) * len(TILTS)  # nothing happens in the other bins
    assert bins.log_e == pytest.approx(math.log(total / (N_BINS * len(TILTS))))


def test_calibration_has_mean_one_where_the_log_is_true() -> None:
    # the e-value of one row, averaged exactly over the action that the distribution draws
    distribution = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    for row in distribution:
        values = [math.exp(calibration_bins(np.array([a]), row[None]).log_e) for a in range(3)]
        assert float(row @ values) == pytest.approx(1.0)


def test_an_impossible_action_is_found() -> None:
    distribution = np.tile([0.5, 0.5, 0.0], (200, 1))
    action = np.where(np.arange(200) < 60, 2, np.arange(200) % 2)
    bins = calibration_bins(action, distribution)
    assert bins.n_partial == 200
    assert bins.log_e > math.log(1000)


def test_edges_belong_to_the_bin_above() -> None:
    bins = calibration_bins(np.array([0]), np.array([[1.0, 0.0]]))
    assert (bins.taken[N_BINS - 1], bins.expected[N_BINS - 1], bins.expected[0]) == (1, 1.0, 0.0)
    assert bin_name(N_BINS - 1) == "1"
    halves = calibration_bins(np.array([0]), np.array([[0.5, 0.5]]))
    assert halves.expected[N_BINS - 2] == 1.0
