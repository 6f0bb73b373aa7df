"""The stochastic head: worked out by hand, and refused where a score is not a number."""

from __future__ import annotations

import math

import numpy as np
import pytest

from data_contracts.errors import DegenerateData
from policies.action_probabilities import HeadSettings, action_probabilities, with_exploration


def test_greedy_with_exploration_by_hand() -> None:
    scores = np.array([[0.0, 5.0, 1.0, 4.0]], dtype=np.float32)
    found = action_probabilities(scores, head=HeadSettings(kind="greedy", exploration=0.2))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[0.05, 0.85, 0.05, 0.05]], atol=1e-15)


def test_greedy_ties_go_to_the_first() -> None:
    scores = np.array([[1.0, 2.0, 2.0], [7.0, 7.0, 7.0]])
    found = action_probabilities(scores, head=HeadSettings(exploration=0.0))
    assert found.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_softmax_with_temperature_by_hand() -> None:
    # scores 0 and 2 ln 3 at temperature 2: weights 1 and 3
    scores = np.array([[0.0, 2 * math.log(3)]])
    head = HeadSettings(kind="softmax", temperature=2.0, exploration=0.0)
    np.testing.assert_allclose(action_probabilities(scores, head=head), [[0.25, 0.75]], atol=1e-15)
    explored = head.model_copy(update={"exploration": 0.4})
    np.testing.assert_allclose(action_probabilities(scores, head=explored), [[0.35, 0.65]], atol=1e-15)


@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 1.0, 1e6])
def test_softmax_never_overflows_and_rows_sum_to_one(temperature: float) -> None:
    scores = np.random.default_rng(0).normal(scale=1e30, size=(200, 34)).astype(np.float32)
    found = action_probabilities(scores, head=HeadSettings(kind="softmax", temperature=temperature, exploration=0.1))
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12
    assert found.min() >= 0.1 / 34


def test_full_exploration_is_uniform() -> None:
    found = with_exploration(np.array([[1.0, 0.0, 0.0, 0.0]]), exploration=1.0)
    assert found.tolist() == [[0.25] * 4]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(DegenerateData, match=r"in 1 of 2 rows \(row 1\)"):
        action_probabilities(np.array([[0.0, 1.0], [bad, 0.0]]), head=HeadSettings())


@pytest.mark.parametrize("shape", [(3,), (3, 0), (1, 2, 3)])
def test_scores_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DegenerateData, match=r"shape \(n, K\)"):
        action_probabilities(np.zeros(shape), head=HeadSettings())


@pytest.mark.parametrize("settings", [{"exploration": 1.1}, {"temperature": 0.0}, {"kind": "best"}, {"epsilon": 0.1}])
def test_settings_are_strict(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        HeadSettings.model_validate(settings)
