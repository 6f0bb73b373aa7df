"""What the log cannot answer is refused every time, by name; a sound log never is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data_contracts.storage import canonical_json
from policies.gate.records import GateDecision, GateRows, Plan
from policies.gate.settings import GateSettings
from tests.gate_looks import decide_look

MakeRows = Callable[..., GateRows]
Spoil = Callable[[GateRows, np.random.Generator], GateRows]
N = 1200


def _decide(rows: GateRows, settings: GateSettings, plan: Plan, **changes: Any) -> GateDecision:
    return decide_look(rows, settings, plan, **changes)


def _failed(decision: GateDecision) -> list[str]:
    return [check["name"] for check in decision.evidence["refusals"] if not check["passed"]]


def _one(values: NDArray[Any], rng: np.random.Generator, value: float) -> NDArray[Any]:
    spoilt = values.copy()
    spoilt[rng.integers(len(values))] = value
    return spoilt


def _unsupported(rows: GateRows, rng: np.random.Generator) -> GateRows:
    """3 % of the challenger's decisions go to an action that the log takes with probability .001."""
    behavior, challenger = rows.behavior.copy(), rows.challenger.copy()
    chosen = rng.random(rows.n) < 0.05
    behavior[chosen] = [0.799, 0.2, 0.001]
    challenger[chosen] = [0.2, 0.2, 0.6]
    challenger[~chosen] = [0.3, 0.7, 0.0]
    action = np.where(chosen & (rows.action == 2), 0, rows.action)
    return replace(
        rows,
        behavior=behavior,
        challenger=challenger,
        action=action,
        propensity=behavior[np.arange(rows.n), action],
    )


def _deterministic(rows: GateRows, rng: np.random.Generator) -> GateRows:
    behavior = np.eye(3)[rng.integers(3, size=rows.n)]
    return replace(rows, behavior=behavior, action=behavior.argmax(axis=1), propensity=np.ones(rows.n))


def _deterministic_where_they_differ(rows: GateRows, rng: np.random.Generator) -> GateRows:
    differ = rng.random(rows.n) < 0.5
    action = np.where(differ, 0, rows.action)
    behavior = np.where(differ[:, None], [1.0, 0.0, 0.0], rows.behavior)
    challenger = np.where(differ[:, None], [0.995, 0.005, 0.0], rows.champion)  # unsupported mass .25 %
    propensity = behavior[np.arange(rows.n), action]
    return replace(rows, behavior=behavior, challenger=challenger, action=action, propensity=propensity)


def _lying_table(rows: GateRows, rng: np.random.Generator) -> GateRows:
    """The declared distribution says .6 for the first action, which was really taken with probability .3."""
    action = rng.choice(3, size=rows.n, p=[0.3, 0.5, 0.2])
    return replace(rows, action=action, propensity=rows.behavior[0, action])


ROWS: dict[str, Spoil] = {
    "unsupported_mass": _unsupported,
    "randomised": _deterministic,
    "expected_weight": _lying_table,
    "propensity": lambda rows, rng: replace(rows, propensity=_one(rows.propensity, rng, 0.59)),
    "reward_range": lambda rows, rng: replace(rows, reward=_one(rows.reward, rng, 1.5)),
    "units": lambda rows, _: replace(rows, unit_id=np.full(rows.n, "u")),
}
NOT_FINITE = ("reward", "propensity", "behavior", "champion", "challenger", "reward_model")


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", ROWS)
def test_a_log_that_cannot_answer_is_refused(
    make_rows: MakeRows, settings: GateSettings, plan: Plan, name: str, seed: int
) -> None:
    rows = ROWS[name](make_rows(N, lift=0.3, seed=seed), np.random.default_rng(seed))
    decision = _decide(rows, settings, plan)
    assert decision.verdict == "refuse"
    assert name in _failed(decision)
    assert decision.evidence["lift"] is None
    assert decision.reasons[0].startswith("The gate refuses: ")
    canonical_json(decision.evidence)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("field", NOT_FINITE)
def test_one_number_that_is_not_finite_is_refused(
    make_rows: MakeRows, settings: GateSettings, plan: Plan, field: str, value: float, seed: int
) -> None:
    rows = make_rows(N, lift=0.3, seed=seed)
    spoilt = getattr(rows, field).copy()
    spoilt.reshape(-1)[np.random.default_rng(seed).integers(spoilt.size)] = value
    decision = _decide(replace(rows, **{field: spoilt}), settings, plan)
    assert decision.verdict == "refuse"
    assert "finite" in _failed(decision)
    canonical_json(decision.evidence)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"overlap": 1}, "overlap"),
        ({"matured_share": 0.98}, "matured_share"),
        ({"matured_share": None}, "matured_share"),
    ],
)
def test_a_window_that_flatters_is_refused(
    make_rows: MakeRows, settings: GateSettings, plan: Plan, changes: dict[str, Any], name: str
) -> None:
    for seed in range(10):
        decision = _decide(make_rows(N, lift=0.3, seed=seed), settings, plan, **changes)
        assert decision.verdict == "refuse"
        assert _failed(decision) == [name]
        canonical_json(decision.evidence)


def test_a_log_that_explores_only_where_the_policies_agree_is_refused(
    make_rows: MakeRows, settings: GateSettings, plan: Plan
) -> None:
    rows = _deterministic_where_they_differ(make_rows(N), np.random.default_rng(1))
    assert _failed(_decide(rows, settings, plan)) == ["randomised"]


@pytest.mark.parametrize("sigma_squared", [math.nan, 0.0, -1.0, math.inf])
def test_a_broken_plan_is_refused(make_rows: MakeRows, settings: GateSettings, sigma_squared: float) -> None:
    decision = _decide(make_rows(N), settings, Plan(1000, sigma_squared, 0.0, 1.0))
    assert _failed(decision) == ["finite"]
    canonical_json(decision.evidence)


@pytest.mark.parametrize("field", ["behavior", "champion", "challenger"])
@pytest.mark.parametrize("row", [[0.5, 0.4, 0.2], [1.2, -0.2, 0.0]])
def test_probabilities_that_are_none_are_refused(
    make_rows: MakeRows, settings: GateSettings, plan: Plan, field: str, row: list[float]
) -> None:
    rows = make_rows(N)
    spoilt = getattr(rows, field).copy()
    spoilt[17] = row
    assert "distributions" in _failed(_decide(replace(rows, **{field: spoilt}), settings, plan))


def test_no_usable_row_at_all_is_refused_and_says_why(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    decision = _decide(make_rows(0), settings, plan, n_without_distribution=5000)
    assert decision.verdict == "refuse"
    assert "5,000 rows were logged by policies whose full distribution is neither logged" in decision.reasons[0]
    assert "at least 30 are needed" in _decide(make_rows(29), settings, plan).reasons[0]


def test_a_sound_log_passes_every_check(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    for seed in range(40):
        decision = _decide(make_rows(N, seed=seed), settings, plan)
        assert decision.verdict != "refuse"
        assert len(decision.evidence["refusals"]) == 12
        assert all(check["passed"] and check["observed"] is not None for check in decision.evidence["refusals"])
