"""The stream in both directions, the tail rule alone, and the bound of the betting branch alone."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from policies.gate.judging import anytime_branch, differences
from policies.gate.judging.betting import first_stake
from policies.gate.judging.differences import Differences, TwoSided, one_step
from policies.gate.judging.judge import judge, split_alpha
from policies.gate.judging.planned_branch import moments_at_looks
from policies.gate.judging.statistic import swap
from policies.gate.records import GateRows, Plan
from tests.worlds.gate_compressed import differences as compressed
from tests.worlds.gate_compressed import draw_log
from tests.worlds.gate_worlds import negative_world

ALPHA = split_alpha(0.05)


@pytest.fixture(scope="module")
def rows() -> tuple[GateRows, Plan]:
    """The distinct rows of a world with rewards of both signs; the policies agree on most of them."""
    log = draw_log(negative_world(np.random.default_rng(3)), np.random.default_rng(4))
    return log.cells, log.plan


def _stream(rows: GateRows, plan: Plan) -> TwoSided:
    look = 1 + np.arange(rows.n) * 5 // rows.n
    return one_step(rows, look=look, plan=plan, first_stake=first_stake(plan, threshold=ALPHA.threshold))


def _assert_equal(a: Differences, b: Differences) -> None:
    for f in fields(Differences):
        if f.name != "bets":
            assert getattr(a, f.name) == pytest.approx(getattr(b, f.name)), f.name
    for one, other in zip(a.bets, b.bets, strict=True):
        for f in fields(one):
            assert getattr(one, f.name) == pytest.approx(getattr(other, f.name)), f.name


def test_harm_is_the_lift_of_the_swapped_pair(rows: tuple[GateRows, Plan]) -> None:
    found, plan = rows
    _assert_equal(_stream(found, plan).harm, _stream(swap(found), plan).lift)


def test_blocks_do_not_change_the_stream(rows: tuple[GateRows, Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    found, plan = rows
    whole = _stream(found, plan)
    monkeypatch.setattr(differences, "BLOCK", 7)
    _assert_equal(_stream(found, plan).lift, whole.lift)
    agree = (found.champion == found.challenger).all(axis=1)
    assert agree.any()
    assert not whole.lift.value[agree].any()


def _sure(tail: float) -> Differences:
    """1,000 rows that all say +1 (nearly): only the tail can keep the planned branch silent."""
    n = 1000
    ones, zeros = np.ones(n), np.zeros(n)
    value = 1 + 0.01 * np.sin(np.arange(n))
    return Differences(
        value=value,
        direct=value,
        bets=(),
        reward=ones,
        residual_squared=zeros,
        spread=ones,
        change=ones,
        fourth_down=np.full(n, n / tail),  # (1 * 1)^2 n / (n / tail) = tail
        fourth_up=zeros,
        unit=np.arange(n),
        look=1 + np.arange(n) // 500,
        share=ones,
        count=ones,
    )


@pytest.mark.parametrize(("tail", "proven"), [(29.0, False), (31.0, True)])
def test_the_tail_rule_alone_can_keep_the_planned_branch_silent(tail: float, proven: bool) -> None:
    plan = Plan(n_planned=1000, sigma_squared=1.0, reward_minimum=0.0, reward_maximum=1.0)
    found = judge(_sure(tail), plan=plan, alpha=ALPHA, fractions=(0.5, 1.0))
    assert found.looks[-1].lower_tail == pytest.approx(tail)
    assert found.proven == proven
    assert found.looks[-1].log_e == 0  # no version to bet on


def test_information_is_what_the_policies_imply() -> None:
    stream = replace(_sure(31.0), spread=np.repeat([1.0, 3.0], 500))
    assert [moments.information for moments in moments_at_looks(stream)] == [500.0, 2000.0]


def test_the_bound_of_the_bets_is_where_their_e_value_crosses() -> None:
    rng = np.random.default_rng(5)
    log = draw_log(negative_world(rng), rng)
    stream = compressed(log, anytime=0.05, rng=rng)
    bets = anytime_branch.place(stream, plan=log.plan, threshold=20.0)
    reward_range = log.plan.reward_maximum - log.plan.reward_minimum
    bound = anytime_branch.lower_bound(bets, threshold=20.0, reward_range=reward_range)
    assert -reward_range < bound < reward_range
    step = 1e-6 * reward_range
    assert max(anytime_branch.log_e_at_looks(bets, mean=bound - step)) > math.log(20)
    assert max(anytime_branch.log_e_at_looks(bets, mean=bound + step)) < math.log(20)


def test_groups_of_one_row_are_rows() -> None:
    """A plan for units with ten rows, and units with one: the bets, their counts and their looks stay together."""
    rng = np.random.default_rng(6)
    log = draw_log(negative_world(rng), rng)
    stream = compressed(log, anytime=0.05, rng=rng)
    stream = replace(stream, unit=rng.permutation(stream.n))
    one, ten = (
        anytime_branch.place(stream, plan=replace(log.plan, cluster_size=size), threshold=20.0) for size in (1, 10)
    )
    for name in ("share", "count", "look"):
        assert getattr(ten, name) == pytest.approx(getattr(one, name))
    assert ten.gains[0] == pytest.approx(one.gains[0])
