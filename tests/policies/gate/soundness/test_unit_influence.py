"""One unit's influence is bounded: no rewards of k units move the lift beyond the bound, nor steer a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.units.influence_settings import InfluenceSettings
from policies.gate.judging.betting import log_e_at, place_bets
from policies.gate.judging.planning import make_plan
from policies.gate.records import GateDecision, GateRows, Plan
from policies.gate.settings import GateSettings
from policies.gate.soundness.unit_influence import HANDFUL, lift_bounds
from policies.logged_interactions import LoggedInteractions
from policies.ope import estimate_all
from policies.unit_limits import limit_gate_rows
from tests.gate_looks import decide_look

MakeRows = Callable[..., GateRows]


def test_the_bound_by_hand(make_rows: MakeRows) -> None:
    rows = replace(make_rows(3), action=np.array([0, 1, 2]), unit_id=np.array(["a", "b", "a"]))
    rows = replace(rows, propensity=np.array([0.6, 0.2, 0.2]), weight=np.array([1.0, 2.0, 1.0]))
    # |d / p| = .4 / .6, .4 / .2, 0; times weight 2/3, 4, 0; by unit 2/3 and 4, over a weight of 4; rewards span 3
    assert lift_bounds(rows, Plan(10, 1.0, -1.0, 2.0)) == pytest.approx([3.0, 0.5])


def _lifts(rows: GateRows) -> dict[str, float]:
    names = ("action", "reward", "propensity", "champion", "challenger", "reward_model", "unit_id", "weight")
    found = estimate_all(**{name: getattr(rows, name) for name in names})
    return {e.estimator: e.value for e in found if e.policy == "difference"}


def test_no_rewards_of_k_units_move_the_lift_beyond_the_bound(make_rows: MakeRows) -> None:
    rng = np.random.default_rng()
    rows = make_rows(600, seed=int(rng.integers(2**32)))
    rows = replace(
        rows, unit_id=np.array([f"u{rng.zipf(1.5) % 90}" for _ in range(600)]), weight=rng.uniform(0.5, 3, 600)
    )
    plan = Plan(1000, 1.0, 0.0, 1.0)
    bounds, before = lift_bounds(rows, plan), _lifts(rows)
    sign = np.sign((rows.challenger - rows.champion)[np.arange(600), rows.action])
    for k in (1, 3, 10):
        loud = np.isin(rows.unit_id, rng.choice(np.unique(rows.unit_id), k, replace=False))
        for reward in (rng.random(600), sign > 0, sign < 0):  # anything, and the two worst
            after = _lifts(replace(rows, reward=np.where(loud, reward, rows.reward)))
            for name in ("ips", "dr"):
                assert abs(after[name] - before[name]) <= bounds[:k].sum() + 1e-12


def test_the_bound_is_reached(make_rows: MakeRows) -> None:
    rows = replace(make_rows(200), unit_id=np.repeat(["loud", "a", "b", "c"], 50))
    plan = Plan(1000, 1.0, 0.0, 1.0)
    sign = np.sign((rows.challenger - rows.champion)[np.arange(200), rows.action])
    low, high = (
        _lifts(replace(rows, reward=np.where(rows.unit_id == "loud", s * sign > 0, 0.3)))["dr"] for s in (-1, 1)
    )
    own = lift_bounds(replace(rows, weight=np.where(rows.unit_id == "loud", 1.0, 1e-12)), plan)[0] / 4
    assert high - low == pytest.approx(own, rel=1e-6)


def _decide(rows: GateRows, plan: Plan, *, n_over_limit: int = 0, rows_per_unit: int | None = None) -> GateDecision:
    return decide_look(
        rows,
        GateSettings(looks=3, min_rows_per_look=100),
        plan,
        look=1,
        look_ends=(rows.n,),
        rows_per_day=100.0,
        n_over_limit=n_over_limit,
        rows_per_unit=rows_per_unit,
    )


def _logged(rows: GateRows) -> LoggedInteractions:
    n = rows.n
    return LoggedInteractions(
        actions=("0", "1", "2"),
        observations=pa.table({"x": np.zeros(n)}),
        action=rows.action,
        reward=rows.reward,
        propensity=rows.propensity,
        policy_version=rows.policy_version,
        interaction_id=rows.interaction_id,
        unit_id=rows.unit_id,
        occurred_at=np.arange(n).astype("datetime64[us]"),
        split=np.zeros(n, np.uint8),
        episode_id=rows.interaction_id,
        step=np.zeros(n, np.int64),
        terminated=np.ones(n, np.bool_),
        truncated=np.zeros(n, np.bool_),
    )


def test_three_loud_units_do_not_steer_the_gate_within_the_limits(make_rows: MakeRows) -> None:
    """Champion and challenger are equal. Three units of 4,000 own a third of the rows, and reward what the challenger
    would have done and nothing else: rows bet on one by one would be beyond doubt. Read in full, the judge sees that
    three units agree with themselves; within the limits, they could not have moved much anyway."""
    for seed in range(3):
        rng = np.random.default_rng(seed + 1000)
        rows = make_rows(6000, seed=seed)
        loud = rng.random(6000) < 1 / 3
        unit = np.where(loud, rng.integers(3, size=6000), 10 + np.arange(6000))
        rows = replace(
            rows, unit_id=np.char.add("u", unit.astype(str)), reward=np.where(loud, rows.action == 1, rows.reward)
        )
        plan = make_plan(make_rows(2000, seed=seed + 100), n_planned=6000, reward_minimum=0, reward_maximum=1)
        bets = place_bets(rows, plan=plan, threshold=1000.0)
        assert log_e_at(bets, (rows.n,))[0] > math.log(1000)
        assert _decide(rows, plan).verdict == "hold"

        limit = limit_gate_rows(_logged(rows), np.array([], np.str_), settings=InfluenceSettings())
        kept = rows.select(limit.keep)
        decision = _decide(kept, plan, n_over_limit=int((~limit.keep).sum()), rows_per_unit=limit.rows_per_unit)
        assert decision.verdict == "hold", decision.reasons
        found = decision.evidence["influence"]
        assert found["largest_unit_rows"] == found["rows_per_unit"] == limit.rows_per_unit
        assert found["n_over_limit"] > 1500
        # at most 1 % of the rows each, times the largest |d / p| = 2
        assert found["lift_bound_of_one"] <= 0.01 * 2 * (1 + 1e-9)
        assert found["lift_bound_of_one"] < found["lift_bound_of_handful"] <= HANDFUL * found["lift_bound_of_one"]


def test_a_refusal_without_sound_rows_has_no_bound(make_rows: MakeRows, plan: Plan) -> None:
    broken = replace(make_rows(300), reward=np.full(300, np.nan))
    assert _decide(broken, plan).evidence["influence"] is None
