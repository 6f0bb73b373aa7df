"""Estimators agree where the propensities are true, and a gap between DR and SNIPS is found where they are not."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from policies.gate.records import GateRows
from policies.gate.soundness.agreement import Agreement, AgreementSettings, assess_agreement, other_columns
from policies.ope import estimate_all
from tests.policies.gate.condition_world import Drawn, draw, honest_world

SETTINGS = AgreementSettings()


def _assess(drawn: Drawn, rows: GateRows | None = None, model: np.ndarray | None = None) -> Agreement:
    rows = drawn.rows if rows is None else rows
    other = np.full(rows.champion.shape, rows.reward.mean()) if model is None else model
    logged, direct = other_columns(rows, other)
    return assess_agreement(rows, unit=drawn.unit, other_logged=logged, other_direct=direct, settings=SETTINGS)


def _drawn(seed: int, n: int = 5000) -> Drawn:
    rng = np.random.default_rng([9, seed])
    return draw(honest_world(rng), n, rng)


def test_readings_are_those_of_the_estimators() -> None:
    drawn = _drawn(0)
    rows = drawn.rows
    model = np.random.default_rng(1).random(rows.champion.shape)
    found = {r.estimator: r for r in _assess(drawn, model=model).readings}
    for name, q in (("", rows.reward_model), ("_other", model)):
        expected = estimate_all(
            action=rows.action,
            reward=rows.reward,
            propensity=rows.propensity,
            champion=rows.champion,
            challenger=rows.challenger,
            reward_model=q,
            unit_id=rows.unit_id,
        )
        lifts = {e.estimator: e for e in expected if e.policy == "difference"}
        for estimator in ("ips", "snips", "dm", "dr") if not name else ("dr",):
            reading = found[estimator + name]
            assert reading.lift == pytest.approx(lifts[estimator].value, abs=1e-12)
            assert reading.standard_error == pytest.approx(lifts[estimator].standard_error)
            assert reading.gap == pytest.approx(reading.lift - found["dr"].lift)
    assert (found["dr"].gap, found["dr"].gap_z) == (0, 0)


def test_honest_logs_agree() -> None:
    z = []
    for i in range(60):
        found = _assess(_drawn(i))
        assert found.conditions[0].passed
        z.append(found.conditions[0].observed)
    assert 0.7 < np.std(np.array(z, float)) < 1.3


def test_propensities_that_are_wrong_where_the_challenger_goes_are_held() -> None:
    """Exploration recorded at half: the challenger's weights are too large, which SNIPS forgives.

    DR without a model does not; with a good model it forgives as well: agreement is a coarse check.
    """
    held = 0
    for i in range(10):
        drawn = _drawn(i, 40_000)
        rows = drawn.rows
        wrong = np.where(rows.behavior < 0.3, 0.5 * rows.behavior, rows.behavior)
        spoilt = replace(
            rows,
            behavior=wrong,
            propensity=wrong[np.arange(rows.n), rows.action],
            reward_model=np.zeros_like(wrong),
        )
        (condition,) = _assess(drawn, spoilt).conditions
        assert condition.effect == "hold"
        held += not condition.passed
    assert held >= 8


def test_a_model_that_sees_the_other_sign_only_warns() -> None:
    drawn = _drawn(1, 40_000)
    rows = drawn.rows
    d = rows.challenger - rows.champion
    found = _assess(drawn, replace(rows, reward_model=0.2 - 0.1 * np.sign(d)))
    assert found.conditions[0].passed
    assert [w for w in found.warnings if "the reward model alone sees a lift of -" in w]
    assert asdict(found)["warnings"] == found.warnings


def test_equal_policies_agree_exactly() -> None:
    drawn = _drawn(2)
    found = _assess(drawn, replace(drawn.rows, challenger=drawn.rows.champion))
    assert {(r.lift, r.standard_error, r.gap_z) for r in found.readings} == {(0, 0, 0)}
    assert found.conditions[0].passed
    assert not found.warnings
