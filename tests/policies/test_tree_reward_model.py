"""The second reward model: what it learns, that it is deterministic, and what it says of unknown actions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policies.reward_model import fit_reward_model
from policies.tree_reward_model import LEAST_ROWS, fit_tree_reward_model


def _rows(n: int = 4000) -> dict[str, Any]:
    """Action 0 pays inside a ring, which no line can tell; action 1 pays .4 everywhere; action 2 is never taken."""
    rng = np.random.default_rng(1)
    features, action = rng.normal(size=(n, 2)), rng.integers(2, size=n)
    ring = np.abs(np.hypot(*features.T) - 1) < 0.5
    mean = np.where(action == 0, np.where(ring, 0.9, 0.1), 0.4)
    return {"features": features, "action": action, "reward": (rng.random(n) < mean) * 1.0}


def _fit(rows: dict[str, Any], **changes: Any) -> Any:
    given = {"n_actions": 3, "reward_minimum": 0.0, "reward_maximum": 1.0, **rows, **changes}
    return fit_tree_reward_model(**given)


def test_it_is_of_another_class_than_the_ridge() -> None:
    rows = _rows()
    ridge = fit_reward_model(**rows, n_actions=3, reward_minimum=0.0, reward_maximum=1.0)
    grid = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, -1.0], [2.5, 0.0]])
    truth = np.array([0.1, 0.9, 0.9, 0.1])
    errors = [np.abs(model.predict(grid)[:, 0] - truth).max() for model in (ridge, _fit(rows))]
    assert errors[0] > 0.3 > errors[1]
    assert np.abs(_fit(rows).predict(rows["features"])[:, 1] - 0.4).mean() < 0.1


def test_an_action_that_was_never_logged_gets_the_mean_reward() -> None:
    rows = _rows()
    assert _fit(rows).predict(np.zeros((2, 2)))[:, 2].tolist() == [rows["reward"].mean()] * 2


def test_few_rows_get_their_weighted_mean() -> None:
    few = {name: values[: LEAST_ROWS - 1] for name, values in _rows().items()}
    few["action"] = np.zeros(LEAST_ROWS - 1, np.int64)
    weight = np.arange(1.0, LEAST_ROWS)
    predicted = _fit(few, weight=weight).predict(np.zeros((1, 2)))
    assert predicted == pytest.approx(np.full((1, 3), np.average(few["reward"], weights=weight)))


def test_equal_rows_give_equal_models_and_the_hash_tells_others() -> None:
    rows = _rows()
    assert _fit(rows).sha256 == _fit(rows).sha256
    assert _fit(rows).sha256 != _fit({**rows, "reward": 1 - rows["reward"]}).sha256
    mean = rows["reward"].mean()
    mirrored = _fit({**rows, "reward": 2 * mean - rows["reward"]}, reward_minimum=-1.0)
    assert (
        replace(mirrored, default=0.0, bounds=(0, 1)).sha256 != replace(_fit(rows), default=0.0, bounds=(0, 1)).sha256
    )
    assert repr(_fit(rows)) == "TreeRewardModel(n_actions=3)"


def test_predictions_stay_inside_the_bounds_and_no_rows_are_fine() -> None:
    model = _fit({**_rows(), "reward": _rows()["reward"] * 10}, reward_maximum=2.0)
    assert model.predict(np.zeros((1, 2))).max() <= 2.0
    assert model.predict(np.zeros((0, 2))).shape == (0, 3)
