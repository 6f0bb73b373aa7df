"""How much longer: by hand, and true when simulated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policies.gate.betting import log_e_path, place_bets
from policies.gate.outlook import how_much_longer, rows_needed
from policies.gate.planning import make_plan
from policies.gate.records import GateRows, Plan
from policies.gate.settings import GateSettings

MakeRows = Callable[..., GateRows]


def _more(rows: GateRows, settings: GateSettings, plan: Plan, **changes: float) -> dict[str, Any]:
    options = {"lift": 0.1, "champion_value": 0.45, "rows_per_day": 100.0, **changes}
    return how_much_longer(rows, settings=settings, plan=plan, **options)


def test_rows_needed_by_hand() -> None:
    assert rows_needed(2.0, lift=0.1, threshold=1000) == math.ceil(2 * math.log(6000) * 2 / 0.01)
    assert rows_needed(2.0, lift=0.0, threshold=1000) is None
    assert rows_needed(2.0, lift=-0.1, threshold=1000) is None
    assert rows_needed(0.0, lift=0.1, threshold=1000) is None
    assert rows_needed(math.inf, lift=0.1, threshold=1000) is None


def test_about_so_many_rows_are_needed_in_fact(make_rows: MakeRows) -> None:
    lift = 0.1
    expected = rows_needed(
        make_plan(make_rows(5000, lift=lift), n_planned=1, reward_minimum=0, reward_maximum=1).sigma_squared,
        lift=lift,
        threshold=1000,
    )
    assert expected is not None
    plan = make_plan(make_rows(5000, lift=lift, seed=1), n_planned=expected, reward_minimum=0, reward_maximum=1)
    crossed = []
    for seed in range(40):
        path = log_e_path(place_bets(make_rows(4 * expected, lift=lift, seed=seed + 2), plan=plan, threshold=1000))
        crossed.append(int((path >= math.log(1000)).argmax()))
    assert 0.6 * expected < np.median(crossed) < 1.4 * expected


def test_exploration_follows_the_variance_formula(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    rows = make_rows(4000)
    found = {(o["kind"], o["rate"]): o for o in _more(rows, settings, plan)["exploration"]}
    assert len(found) == 9
    # d = (-.4, .4, 0); champion (.6, .2, .2); challenger (.2, .6, .2): sum d^2 / b
    as_logged = 0.16 / 0.6 + 0.16 / 0.2
    uniform = 0.16 / (0.5 * 0.6 + 0.5 / 3) + 0.16 / (0.5 * 0.2 + 0.5 / 3)
    challenger = 0.16 / 0.4 + 0.16 / 0.4
    base = found["as_logged", 0.0]
    assert found["uniform", 0.5]["rows"] / base["rows"] == pytest.approx(uniform / as_logged, rel=1e-3)
    assert found["challenger", 0.5]["rows"] / base["rows"] == pytest.approx(challenger / as_logged, rel=1e-3)
    assert base["days"] == pytest.approx(base["rows"] / 100)
    # expected rewards .5, .5, .4: champion .48, uniform .4667, challenger .48
    assert found["uniform", 0.5]["cost_per_interaction"] == pytest.approx(0.5 * (0.48 - 1.4 / 3), abs=0.015)
    assert found["challenger", 0.1]["cost_per_interaction"] == pytest.approx(0, abs=0.01)


def test_rows_at_estimate_and_at_minimum_lift(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    more = _more(make_rows(4000), settings, plan, lift=0.1, champion_value=0.4)  # minimum lift 5 % of .4 = .02
    assert more["rows_at_minimum_lift"] == pytest.approx(25 * more["rows_at_estimate"], rel=1e-3)
    assert _more(make_rows(400), settings, plan, lift=-0.1)["rows_at_estimate"] is None
    assert _more(make_rows(400), settings, plan, rows_per_day=0.0)["days_at_minimum_lift"] is None


def test_the_sentence_names_a_rate_that_halves(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    rows = make_rows(1000)
    rare = np.tile([0.97, 0.01, 0.02], (1000, 1))
    explored = replace(rows, behavior=rare, champion=rare, propensity=rare[np.arange(1000), rows.action])
    more = _more(explored, settings, plan)
    halving = [o for o in more["exploration"] if 2 * o["rows"] <= more["rows_at_minimum_lift"]]
    free = min((o for o in halving if o["cost_per_interaction"] <= 0), key=lambda o: o["rate"], default=None)
    best = free or min(halving, key=lambda o: o["cost_per_interaction"])
    how = {"uniform": "uniformly at random", "challenger": "by the challenger"}[best["kind"]]
    assert f"deciding {best['rate']:.0%} of the traffic {how} would need about" in more["settles"]
    assert format(float(format(best["rows"], ".2g")), ",.0f") in more["settles"]


def test_nothing_to_find_between_equal_policies(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    rows = make_rows(300)
    more = _more(replace(rows, challenger=rows.champion.copy()), settings, plan, lift=0.0)
    assert more["rows_at_minimum_lift"] is None
    assert more["settles"].startswith("No log can tell them apart")


def test_an_action_never_logged_is_never_settled(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    rows = make_rows(300)
    never = np.tile([0.8, 0.0, 0.2], (300, 1))
    more = _more(replace(rows, behavior=never, action=np.zeros(300, np.int64)), settings, plan)
    assert more["rows_at_minimum_lift"] is None
    assert "never settled by the present logging; deciding 5% of the traffic" in more["settles"]
