"""Rows until a verdict: by hand, against brute force, and the tail rule's part in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from policies.gate.judging.differences import Differences, one_step
from policies.gate.judging.judge import split_alpha
from policies.gate.judging.planned_branch import moments_at_looks
from policies.gate.outlook.power import (
    PerRow,
    Rewards,
    arm_variance,
    design_effect,
    last_boundary,
    moments_of,
    noise_of,
    reward_moments,
    rows_until,
)
from policies.gate.records import GateRows, Plan

MakeRows = Callable[..., GateRows]
ALPHA = split_alpha(0.05)
LIGHT = PerRow(variance=2.0, spread=1.0, change=1.0, fourth_down=0.01, fourth_up=0.01)
REWARDS = Rewards(square=1.0, fourth_up=1.0, fourth_down=1.0, rewarded=1.0)
Z80 = 0.8416212


def _stream(rows: GateRows, plan: Plan) -> Differences:
    return one_step(rows, look=np.ones(rows.n, np.int64), plan=plan, first_stake=0.1).lift


def test_one_look_by_hand() -> None:
    """One look at 4 %: z = 1.75069; standard error lift / (1.75069 + .84162) needs 2.59231^2 x 2 / .01 rows."""
    assert last_boundary(ALPHA, n_looks=1) == pytest.approx(1.75069, abs=1e-4)
    needed = rows_until(LIGHT, REWARDS, lift=0.1, alpha=ALPHA, n_looks=1)
    assert needed.rows == pytest.approx((1.75069 + Z80) ** 2 * 200, abs=2)
    assert needed.branch == "planned"


def test_the_last_boundary_of_many_looks_is_a_little_higher() -> None:
    few, many = last_boundary(ALPHA, n_looks=5), last_boundary(ALPHA, n_looks=50)
    assert 1.75 < few < many < 2.0
    assert last_boundary(ALPHA, n_looks=500) == many


def test_where_the_tail_rule_stays_closed_the_bets_decide() -> None:
    """Lower-tail size 30 takes 30 E[dw-^4] E[r+^4] rows; where E needs fewer, (z + sqrt(z^2 + 2 ln 600))^2 x 200: E."""
    bets = (Z80 + math.sqrt(Z80**2 + 2 * math.log(6 / 0.01))) ** 2 * 200
    heavy = replace(LIGHT, fourth_down=100.0, fourth_up=0.0)
    assert rows_until(heavy, REWARDS, lift=0.1, alpha=ALPHA, n_looks=1).rows == pytest.approx(3000, abs=1)
    closed = rows_until(replace(heavy, fourth_down=1e6), REWARDS, lift=0.1, alpha=ALPHA, n_looks=1)
    assert closed.branch == "anytime"
    assert closed.rows == pytest.approx(bets, abs=1)
    no_losses = replace(REWARDS, fourth_up=0.0)  # the heavy side never meets a reward of its sign
    assert rows_until(heavy, no_losses, lift=0.1, alpha=ALPHA, n_looks=1).rows == pytest.approx(1344, abs=2)


def test_rare_rewards_wait_for_informative_events() -> None:
    """10 events at one in 1,000 rows: 10,000 rows, before which no normal test is believed."""
    needed = rows_until(LIGHT, replace(REWARDS, rewarded=1e-3), lift=1.0, alpha=ALPHA, n_looks=1)
    bets = (Z80 + math.sqrt(Z80**2 + 2 * math.log(600))) ** 2 * 2
    assert needed.branch == "anytime"
    assert needed.rows == pytest.approx(bets, abs=1)
    slow = rows_until(LIGHT, replace(REWARDS, rewarded=0.01), lift=0.1, alpha=ALPHA, n_looks=1)
    assert slow.rows == pytest.approx(1344, abs=2)


@pytest.mark.parametrize("n_before", [100, 900, 2500, 20_000])
@pytest.mark.parametrize("then", [0.05, 2.0, 9.0])
def test_rows_from_before_and_from_now_add_up(n_before: int, then: float) -> None:
    """Brute force over n: (n_before + n)^2 lift^2 >= t^2 (n_before V0 + n V1)."""
    after = replace(LIGHT, variance=then)
    found = rows_until(after, REWARDS, lift=0.1, alpha=ALPHA, n_looks=1, before=(n_before, LIGHT)).rows
    n = np.arange(200_000)
    enough = (n_before + n) ** 2 * 0.01 >= (norm.isf(0.04) + Z80) ** 2 * (n_before * 2.0 + n * then)
    assert found == pytest.approx(int(enough.argmax()), abs=1)


def test_what_is_never_known() -> None:
    for lift, moments in ((0.0, LIGHT), (-0.1, LIGHT), (0.1, replace(LIGHT, variance=math.inf))):
        assert rows_until(moments, REWARDS, lift=lift, alpha=ALPHA, n_looks=5).rows is None
    never = (100, replace(LIGHT, variance=math.inf))
    assert rows_until(LIGHT, REWARDS, lift=0.1, alpha=ALPHA, n_looks=5, before=never).rows is None


def test_moments_are_those_that_the_judge_will_see(make_rows: MakeRows, plan: Plan) -> None:
    """Lower tail and standard error that branch G computes from the stream, out of the moments per row."""
    rows = make_rows(8000, lift=0.02)
    stream = _stream(rows, plan)
    seen, per_row, rewards = (
        moments_at_looks(stream)[-1],
        moments_of(rows, rows.behavior, noise=noise_of(stream, plan=plan)),
        reward_moments(stream),
    )
    assert seen.floor_ratio == pytest.approx(1, abs=0.05)
    assert math.sqrt(per_row.variance / rows.n) == pytest.approx(seen.standard_error, rel=0.03)
    tail = per_row.fourth_down * rewards.fourth_up + per_row.fourth_up * rewards.fourth_down
    assert rows.n * (per_row.spread * rewards.square) ** 2 / tail == pytest.approx(seen.lower_tail, rel=1e-9)
    events = rows.n * per_row.change**2 / per_row.spread * rewards.rewarded
    assert events == pytest.approx(seen.events, rel=1e-9)


def test_another_logging_policy_by_hand(make_rows: MakeRows, plan: Plan) -> None:
    """d = (-.4, .4, 0) under (.5, .3, .2): spread .16 / .5 + .16 / .3; fourth down .4^4 / .5^3."""
    rows = make_rows(1000)
    noise = noise_of(_stream(rows, plan), plan=plan)
    moments = moments_of(rows, np.tile([0.5, 0.3, 0.2], (1000, 1)), noise=noise)
    assert moments.spread == pytest.approx(0.16 / 0.5 + 0.16 / 0.3)
    assert moments.change == pytest.approx(0.8)
    assert moments.fourth_down == pytest.approx(0.4**4 / 0.5**3)
    assert moments.fourth_up == pytest.approx(0.4**4 / 0.3**3)
    never = moments_of(rows, np.tile([0.8, 0.0, 0.2], (1000, 1)), noise=noise)
    assert never.variance == math.inf


def test_units_that_repeat_themselves_are_worth_one_row_each(make_rows: MakeRows, plan: Plan) -> None:
    rows = make_rows(3000)
    alone = replace(rows, unit_id=rows.interaction_id)
    fourfold = {
        name: np.repeat(getattr(alone, name), 4, axis=0) for name in GateRows.__dataclass_fields__ if name != "weight"
    }
    stream = _stream(GateRows(**fourfold), plan)
    assert design_effect(_stream(alone, plan)) == pytest.approx(1)
    assert design_effect(stream) == pytest.approx(4)
    repeated = GateRows(**fourfold)
    apart = replace(repeated, unit_id=np.arange(repeated.n).astype(np.str_))
    variances = [
        moments_of(r, r.behavior, noise=noise_of(_stream(r, plan), plan=plan)).variance for r in (repeated, apart)
    ]
    assert variances[0] == pytest.approx(4 * variances[1])
    assert arm_variance(stream) == pytest.approx(4 * rows.reward.var())
