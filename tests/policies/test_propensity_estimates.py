"""Estimated propensities: good enough for a report, and impossible to gate with."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import policies.gate.decision
import policies.gate.refusals
from data_contracts.errors import DegenerateData, UsageError
from policies.gate.records import GateRows
from policies.logged_interactions import LoggedInteractions
from policies.propensity_estimates import MOST_ROWS, EstimatedPropensities, estimate_propensities

ACTIONS = ("a", "b", "c", "never")


def logged(n: int = 1500, *, exploration: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Action a left of -0.5, c right of 0.5, b between, and now and then any of the three."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    greedy = np.digitize(x[:, 0], [-0.5, 0.5])
    return x, np.where(rng.random(n) < exploration, rng.integers(3, size=n), greedy)


def estimated(exploration: float = 0.3) -> EstimatedPropensities:
    features, action = logged(exploration=exploration)
    return estimate_propensities(features, action, actions=ACTIONS, policy_version="old")


def test_it_sees_what_the_policy_looks_at() -> None:
    # 0.8 and twice 0.1: a second decision differs with probability 1 - 0.66 = 0.34; borders blur it
    found = estimated()
    assert found.actions == ("a", "b", "c")
    assert found.exploration == pytest.approx(0.34, abs=0.12)
    assert found.log_loss < 0.8 * found.log_loss_of_shares
    assert found.calibration_error < 0.05
    assert estimated(exploration=1.0).exploration == pytest.approx(2 / 3, abs=0.03)


def test_the_same_rows_give_the_same_estimates() -> None:
    assert estimated() == estimated()


def test_rare_actions_are_left_out_and_counted() -> None:
    features, action = logged()
    action[:5] = 3
    found = estimate_propensities(features, action, actions=ACTIONS, policy_version="old")
    assert (found.n, found.n_left_out) == (1495, 5)
    big = estimate_propensities(
        np.tile(features, (4, 1)), np.tile(action % 3, 4), actions=ACTIONS, policy_version="old"
    )
    assert big.n <= MOST_ROWS


def test_one_action_is_nothing_to_estimate() -> None:
    with pytest.raises(DegenerateData, match="nothing to estimate"):
        estimate_propensities(np.zeros((50, 1)), np.zeros(50, np.int64), actions=ACTIONS, policy_version="old")


def test_they_never_become_numbers() -> None:
    found = estimated()
    for use in (np.asarray, np.array, lambda e: np.ones(3) * e, lambda e: np.where(np.ones(3) > 0, e, 0.0)):
        with pytest.raises(UsageError, match="for reports only"):
            use(found)


def test_no_gate_record_takes_them() -> None:
    found = estimated()
    ids = np.array([str(i) for i in range(3)])
    even = np.full((3, 2), 0.5)
    rows = GateRows(
        interaction_id=ids, unit_id=ids, policy_version=ids, action=np.zeros(3, np.int64), reward=np.ones(3),
        propensity=np.full(3, 0.5), behavior=even, champion=even, challenger=even, reward_model=even,
    )  # fmt: skip
    one = LoggedInteractions(
        actions=("a", "b"), observations=pa.table({"x": [1.0] * 3}), action=np.zeros(3, np.int64), reward=np.ones(3),
        propensity=np.full(3, 0.5), policy_version=ids, interaction_id=ids, unit_id=ids,
        occurred_at=np.zeros(3, "datetime64[us]"), split=np.zeros(3, np.uint8), episode_id=ids,
        step=np.zeros(3, np.int64), terminated=np.ones(3, np.bool_), truncated=np.zeros(3, np.bool_),
    )  # fmt: skip
    with pytest.raises((UsageError, TypeError)):
        policies.gate.refusals.check_inputs(
            replace(rows, propensity=found),
            _plan(),
            n_without_distribution=0,  # type: ignore[arg-type]
        )
    with pytest.raises((UsageError, TypeError)):
        replace(one, propensity=found)  # type: ignore[arg-type]


def test_no_gate_function_names_their_type() -> None:
    for module in (policies.gate.decision, policies.gate.refusals):
        assert "EstimatedPropensities" not in inspect.getsource(module)


def _plan() -> policies.gate.decision.Plan:
    return policies.gate.decision.Plan(n_planned=10, sigma_squared=1.0, reward_minimum=0.0, reward_maximum=1.0)
