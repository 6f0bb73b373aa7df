"""The two branches against brute force, the older statistic, and worlds whose difference is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from policies.gate.judging.betting import first_stake, log_e_at, place_bets
from policies.gate.judging.differences import TwoSided, one_step
from policies.gate.judging.judge import judge, lower_bound, split_alpha
from policies.gate.judging.planned_branch import moments_at_looks, needed_z
from policies.gate.records import GateRows, Plan

ALPHA = split_alpha(0.05)
PLAN = Plan(n_planned=600, sigma_squared=0.1, reward_minimum=0.0, reward_maximum=1.0)
THIRDS = (1 / 3, 2 / 3, 1.0)


def _rows(n: int, *, lift: float, seed: int, units: int | None = None) -> GateRows:
    """Two actions, drawn evenly; the second earns `lift` more, and the challenger takes it at .9 instead of .5."""
    rng = np.random.default_rng(seed)
    action = rng.integers(2, size=n)
    ids = np.arange(n).astype(np.str_)
    half = np.full((n, 2), 0.5)
    return GateRows(
        interaction_id=ids,
        unit_id=ids if units is None else rng.integers(units, size=n).astype(np.str_),
        policy_version=np.full(n, "1"),
        action=action,
        reward=(rng.random(n) < 0.4 + lift * action) * 1.0,
        propensity=np.full(n, 0.5),
        behavior=half,
        champion=half,
        challenger=np.tile([0.1, 0.9], (n, 1)),
        reward_model=np.tile([0.4, 0.45], (n, 1)),
    )


def _two(rows: GateRows, plan: Plan = PLAN) -> TwoSided:
    look = np.repeat([1, 2, 3], [rows.n // 3, rows.n // 3, rows.n - 2 * (rows.n // 3)])
    return one_step(rows, look=look, plan=plan, first_stake=first_stake(plan, threshold=ALPHA.threshold))


def test_moments_of_recurring_units_are_those_of_their_sums() -> None:
    stream = _two(_rows(600, lift=0.1, seed=1, units=50)).lift
    for moments, end in zip(moments_at_looks(stream), (200, 400, 600), strict=True):
        value, unit = stream.value[:end], stream.unit[:end]
        centred = np.bincount(unit, weights=value - value.mean())
        sums = centred[np.isin(np.arange(len(centred)), unit)]
        n_units = len(sums)
        variance = (sums**2).sum() * n_units / (n_units - 1)
        implied = end * (stream.spread[:end].mean() * stream.residual_squared[:end].mean() + stream.direct[:end].var())
        assert moments.n_units == n_units
        assert moments.mean == pytest.approx(value.mean())
        assert moments.standard_error == pytest.approx(np.sqrt(max(variance, implied)) / end)
        assert moments.floor_used == (implied > variance)
        assert moments.skewness == pytest.approx((sums**3).sum() * np.sqrt(n_units) / max(variance, implied) ** 1.5)


def test_counted_observations_equal_repeated_ones() -> None:
    rows = _rows(300, lift=0.2, seed=2)
    once = _two(rows).lift
    index = np.repeat(np.arange(300), 2)
    twice = replace(once.select(np.ones(300, np.bool_)), count=np.full(300, 2.0))
    spread = {name: getattr(once, name)[index] for name in once.__slots__ if name not in ("bets", "unit", "count")}
    bets = tuple(version.select(index) for version in once.bets)  # type: ignore[arg-type]  # indices select as well
    repeated = replace(once, **spread, bets=bets, unit=np.arange(600), count=np.ones(600))
    counted, separate = (judge(s, plan=PLAN, alpha=ALPHA, fractions=THIRDS).looks[-1] for s in (twice, repeated))
    assert (counted.n, counted.n_units) == (separate.n, separate.n_units) == (600, 600)
    for name in ("mean", "standard_error", "skewness", "z", "boundary", "lower_tail", "events", "floor_ratio", "log_e"):
        assert getattr(counted, name) == pytest.approx(getattr(separate, name)), name


def test_bets_on_single_rows_are_those_of_the_older_formula() -> None:
    rows = _rows(600, lift=0.2, seed=3)
    looks = judge(_two(rows).lift, plan=PLAN, alpha=ALPHA, fractions=THIRDS).looks
    old = log_e_at(place_bets(rows, plan=PLAN, threshold=ALPHA.threshold), (200, 400, 600))
    assert [look.log_e for look in looks] == pytest.approx(old.tolist())


def test_a_better_challenger_is_proven_and_a_worse_one_is_harm() -> None:
    better, worse = _two(_rows(900, lift=0.3, seed=4)), _two(_rows(900, lift=-0.3, seed=4))
    assert judge(better.lift, plan=PLAN, alpha=ALPHA, fractions=THIRDS).branch == "both"
    assert not judge(better.harm, plan=PLAN, alpha=ALPHA, fractions=THIRDS).proven
    assert judge(worse.harm, plan=PLAN, alpha=ALPHA, fractions=THIRDS).proven


def test_the_bound_is_what_the_judge_would_prove() -> None:
    stream = _two(_rows(900, lift=0.3, seed=5)).lift
    bound = lower_bound(stream, plan=PLAN, alpha=ALPHA, fractions=THIRDS)
    assert 0 < bound < 0.4 * 0.3  # below the truth here: .4 of the decisions move to what earns .3 more
    assert judge(stream, plan=PLAN, alpha=ALPHA, fractions=THIRDS, margin=bound - 1e-4).proven
    assert not judge(stream, plan=PLAN, alpha=ALPHA, fractions=THIRDS, margin=bound + 1e-4).proven
    assert lower_bound(stream, plan=PLAN, alpha=ALPHA, fractions=THIRDS, bias=0.05) == pytest.approx(bound - 0.05)


def test_equal_policies_prove_nothing_and_differ_by_nothing() -> None:
    rows = _rows(900, lift=0.3, seed=6)
    same = _two(replace(rows, challenger=rows.champion))
    found = judge(same.lift, plan=PLAN, alpha=ALPHA, fractions=THIRDS)
    assert not same.lift.value.any()
    assert (found.proven, found.looks[-1].mean, found.looks[-1].log_e) == (False, 0.0, 0.0)


def test_without_a_tail_the_planned_branch_stays_silent() -> None:
    """Ten rows carry the whole difference, with a weight of -99: one bad one has not been seen, and may come."""
    rows = _rows(900, lift=0.0, seed=7)
    rare = np.arange(900) % 90 == 0
    behavior = np.where(rare[:, None], [0.99, 0.01], [0.5, 0.5])
    champion = np.where(rare[:, None], [0.0, 1.0], [0.5, 0.5])
    challenger = np.where(rare[:, None], [1.0, 0.0], [0.5, 0.5])
    rows = replace(rows, action=np.zeros(900, np.int64), reward=np.ones(900), behavior=behavior)
    rows = replace(rows, propensity=behavior[:, 0], champion=champion, challenger=challenger)
    last = judge(_two(rows).lift, plan=PLAN, alpha=ALPHA, fractions=THIRDS).looks[-1]
    assert last.lower_tail is not None
    assert last.lower_tail < 30
    assert not last.planned


def test_copies_within_a_unit_are_no_further_evidence() -> None:
    """Ten copies of each row, in one unit: bet on together or one by one, they are worth what the rows are."""
    rows = _rows(90, lift=0.6, seed=8)
    index = np.repeat(np.arange(90), 10)
    copies = rows.select(index)
    once = judge(_two(rows).lift, plan=PLAN, alpha=ALPHA, fractions=THIRDS).looks[-1].log_e
    separate = judge(_two(copies).lift, plan=PLAN, alpha=ALPHA, fractions=THIRDS).looks[-1].log_e
    grouped_plan = replace(PLAN, cluster_size=10)
    grouped = judge(_two(copies, grouped_plan).lift, plan=grouped_plan, alpha=ALPHA, fractions=THIRDS).looks[-1].log_e
    assert separate == pytest.approx(once, rel=0.1)
    assert grouped == pytest.approx(once, rel=0.2)  # n_planned counts rows: other stakes


@pytest.mark.parametrize("skewness", [-2.0, -0.1, 0.0, 3.0])
def test_the_needed_z_meets_the_boundary_after_the_correction(skewness: float) -> None:
    z = needed_z(2.0, skewness=skewness, n=400.0)
    assert z + min(skewness, 0) * (1 + 2 * z**2) / (6 * 20) == pytest.approx(2.0)


def test_a_tail_too_long_for_the_correction_proves_nothing() -> None:
    assert needed_z(3.0, skewness=-30.0, n=400.0) == np.inf
