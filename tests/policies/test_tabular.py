"""The tabular learner: one step of improvement over the policy that logged, from a log whose values are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_contracts.errors import DegenerateData
from policies import tabular
from policies.tabular import TabularLearner


class Batch:
    def __init__(self, rows: list[tuple[float, int, float, float, bool]]) -> None:
        here, action, reward, there, terminal = zip(*rows, strict=True)
        self.observations = np.array(here, np.float32)[:, None]
        self.actions = np.array(action, np.float32)[:, None]
        self.rewards = np.array(reward, np.float32)[:, None]
        self.next_observations = np.array(there, np.float32)[:, None]
        self.terminals = np.array(terminal, np.float32)[:, None]


def _scores(learner: TabularLearner, *observations: float) -> Any:
    import torch

    return learner.scores_module()(torch.tensor(observations)[:, None]).numpy()


def _log(n: int) -> Batch:
    """State 0: action 0 ends with 0, action 1 leads to state 5, where both actions end with 1; half of each."""
    rows = [(0.0, 0, 0.0, 0.0, True), (0.0, 1, 0.0, 5.0, False), (5.0, 0, 1.0, 0.0, True)]
    return Batch([row for row in rows for _ in range(n)])


def test_values_are_those_of_the_policy_that_logged_drawn_towards_their_state() -> None:
    learner = TabularLearner(gamma=0.5, n_actions=2)
    learner.update(_log(10_000))  # type: ignore[arg-type]
    # v(5) = 1; v(0) = (0 + .5) / 2; q(0, .) = 0 and .5, drawn by 100 rows of 10,100
    scores = _scores(learner, 0.0, 5.0)
    assert scores[0] == pytest.approx([100 * 0.25 / 10_100, (10_000 * 0.5 + 25) / 10_100], abs=2e-4)
    assert scores[1] == pytest.approx([1.0, 1.0], abs=2e-4)


def test_weights_count_as_rows() -> None:
    plain, weighted = TabularLearner(gamma=1.0, n_actions=2), TabularLearner(gamma=1.0, n_actions=2)
    plain.update(_log(3))  # type: ignore[arg-type]
    weighted.update(_log(1), np.full(3, 3.0))  # type: ignore[arg-type]
    assert _scores(plain, 0.0, 5.0) == pytest.approx(_scores(weighted, 0.0, 5.0))


def test_an_unseen_observation_is_scored_as_the_nearest() -> None:
    learner = TabularLearner(gamma=1.0, n_actions=2)
    learner.update(_log(50))  # type: ignore[arg-type]
    assert np.array_equal(_scores(learner, 0.4, 9.0), _scores(learner, 0.0, 5.0))


def test_too_many_states_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "MOST_STATES", 1)
    learner = TabularLearner(gamma=1.0, n_actions=2)
    learner.update(_log(2))  # type: ignore[arg-type]
    with pytest.raises(DegenerateData, match="too many states"):
        learner.scores_module()
