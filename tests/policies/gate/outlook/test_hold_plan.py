"""The plan of a hold: every option by hand, the cheapest that helps, and the sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from policies.gate.judging.differences import one_step
from policies.gate.judging.judge import split_alpha
from policies.gate.outlook.hold_options import Option
from policies.gate.outlook.hold_plan import HoldPlan, plan_hold
from policies.gate.records import GateRows, Plan

MakeRows = Callable[..., GateRows]
ALPHA = split_alpha(0.05)


def _plan(rows: GateRows, plan: Plan, **changes: Any) -> HoldPlan:
    options: dict[str, Any] = {
        "alpha": ALPHA,
        "n_looks": 5,
        "minimum_lift": 0.05,
        "champion_value": 0.48,
        "estimate": 0.02,
        "lower": -0.1,
        "rows_per_day": 100.0,
        "rows_left": 2000,
        "no_carry_over": False,
    }
    differences = one_step(rows, look=np.ones(rows.n, np.int64), plan=plan, first_stake=0.1).lift
    return plan_hold(rows, differences, plan=plan, **{**options, **changes})


def _by(found: HoldPlan) -> dict[tuple[str, float], Option]:
    return {(option.kind, option.share): option for option in found.options}


@pytest.fixture
def rare(make_rows: MakeRows) -> GateRows:
    """1,000 rows of a log that hardly ever takes what the challenger takes; each row a unit."""
    rows = make_rows(1000)
    policy = np.tile([0.97, 0.01, 0.02], (1000, 1))
    action = np.random.default_rng(3).choice(3, size=1000, p=policy[0])
    return replace(
        rows,
        unit_id=rows.interaction_id,
        action=action,
        behavior=policy,
        champion=policy,
        propensity=policy[np.arange(1000), action],
    )


def test_options_follow_the_variance_of_their_logging(make_rows: MakeRows, plan: Plan) -> None:
    """d = (-.4, .4, 0), champion (.6, .2, .2), challenger (.2, .6, .2); 40 rows hardly count."""
    rows = make_rows(4000)
    rows = replace(rows, unit_id=rows.interaction_id)
    few = rows.select(np.arange(40))
    found = _by(_plan(few, plan))
    assert len(found) == 15
    as_logged = 0.16 / 0.6 + 0.16 / 0.2
    mixed = {
        ("exploration", 0.5): 0.16 / (0.3 + 0.5 / 3) + 0.16 / (0.1 + 0.5 / 3),
        ("canary_by_row", 0.5): 0.16 / 0.4 + 0.16 / 0.4,
        ("canary_by_row", 0.1): 0.16 / 0.56 + 0.16 / 0.24,
    }
    base = found["as_logged", 0.0]
    assert base.rows is not None
    for key, spread in mixed.items():
        assert found[key].rows == pytest.approx(base.rows * spread / as_logged, rel=0.02), key
    noise = few.reward.var() / ((((few.reward - 0.45) ** 2).sum() + 1) / 41)  # one row stands for what is not seen
    arms = (1 / 0.1 + 1 / 0.9) / as_logged * noise
    assert found["canary_by_unit", 0.1].rows == pytest.approx((base.rows + 40) * arms, rel=0.03)
    assert found["canary_by_unit", 0.1].evidence == "fresh"
    assert base.days == pytest.approx(base.rows / 100)


def test_costs_by_hand(make_rows: MakeRows, plan: Plan) -> None:
    """Expected rewards .5, .5, .4: champion .48, uniform .4667. The challenger gains .02, or loses .1 at worst."""
    found = _by(_plan(make_rows(40_000), plan))
    explored, canary = found["exploration", 0.5], found["canary_by_unit", 0.1]
    assert explored.cost_per_interaction == pytest.approx(0.5 * (0.48 - 1.4 / 3), abs=0.006)
    assert explored.total_cost == pytest.approx(explored.cost_per_interaction * (explored.rows or 0))
    assert (canary.cost_per_interaction, canary.worst_cost_per_interaction) == pytest.approx((-0.002, 0.01))


def test_rows_that_are_read_count(make_rows: MakeRows, plan: Plan) -> None:
    half, whole = (_plan(make_rows(n), plan, minimum_lift=0.02) for n in (2000, 4000))
    assert half.rows_at_minimum_lift is not None
    assert whole.rows_at_minimum_lift == pytest.approx(half.rows_at_minimum_lift - 2000, rel=0.05)
    known = _plan(make_rows(4000), plan, minimum_lift=0.5)
    assert known.rows_at_minimum_lift == 0
    assert known.cheapest is None
    assert known.settles.endswith("would have shown by now in 4 of 5 cases (4,000 rows are read).")


def test_noise_of_the_past_can_be_left_behind(rare: GateRows, plan: Plan) -> None:
    """Old rows with weights of 100 beside new ones of 2: judged alone, the new ones know it sooner."""
    canary = _by(_plan(rare, plan))["canary_by_row", 0.5]
    assert canary.evidence == "fresh"
    assert not canary.fits_slot
    assert _by(_plan(rare, plan))["as_logged", 0.0].evidence == "continued"


def test_the_cheapest_helps_and_needs_no_promise_about_carry_over(rare: GateRows, plan: Plan) -> None:
    loss = {"estimate": -0.02, "lower": -0.1}
    for no_carry_over in (False, True):
        found = _plan(rare, plan, no_carry_over=no_carry_over, **loss)
        assert found.cheapest is not None
        best, now = found.options[found.cheapest], found.options[0]
        assert best.rows is not None
        assert now.rows is not None
        assert 2 * best.rows <= now.rows
        allowed = [o for o in found.options if no_carry_over or o.kind != "canary_by_row"]
        helps = [o for o in allowed if o.rows is not None and 2 * o.rows <= now.rows]
        assert max(best.total_cost or 0, 0) == min(max(o.total_cost or 0, 0) for o in helps)
        assert no_carry_over or best.kind != "canary_by_row"


def test_the_sentence_names_rows_days_and_cost(rare: GateRows, plan: Plan) -> None:
    found = _plan(rare, plan, champion_value=0.5)
    assert found.cheapest is not None
    best, now = found.options[found.cheapest], found.options[0]
    assert found.settles.startswith("A lift of 0.025 per interaction needs about ")
    assert f"{float(format(now.rows, '.2g')):,.0f} more rows as logged" in found.settles
    assert "(1,000 are read), more than the looks left to this slot will read; " in found.settles
    how = {"canary_by_unit": "a canary on {:.0%} of the units", "exploration": "deciding {:.0%} of the traffic uni"}
    assert how[best.kind].format(best.share) in found.settles
    assert f"{abs(best.cost_per_interaction):.3g} per interaction, " in found.settles
    assert found.settles.endswith("in all.")


def test_nothing_to_find_and_never_logged(make_rows: MakeRows, plan: Plan) -> None:
    rows = make_rows(300)
    same = _plan(replace(rows, challenger=rows.champion.copy()), plan, estimate=0.0, champion_value=0.0)
    assert same.rows_at_minimum_lift is None
    assert same.settles.startswith("No log can tell them apart")
    never = np.tile([0.8, 0.0, 0.2], (300, 1))
    blind = _plan(replace(rows, behavior=never, action=np.zeros(300, np.int64), propensity=never[:, 0]), plan)
    assert blind.rows_at_minimum_lift is None
    assert "is never settled by the present logging; " in blind.settles
    assert all(option.evidence == "fresh" for option in blind.options[1:])


def test_a_plan_is_json(make_rows: MakeRows, plan: Plan) -> None:
    for rows_per_day in (100.0, 0.0):
        found = _plan(make_rows(300), plan, rows_per_day=rows_per_day)
        text = json.dumps(asdict(found), allow_nan=False)
        assert json.loads(text)["options"][0]["kind"] == "as_logged"
    assert found.days_at_minimum_lift is None
