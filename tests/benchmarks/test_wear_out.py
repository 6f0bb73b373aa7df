"""Emoji lift clicks by 20 % today and wear readers out: who sees the long-run -40 %, and what the holdback makes of it.

Row by row every method says promote, because every single e-mail does gain 20 %. Whole readers, compared over time, say
the opposite. The gate's own arms, judge and transitions then end the promotion; equal arms are left alone.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.gate.arms.after_promotion import HorizonFound, conclude, holdback_step
from policies.gate.arms.arm_schedule import look_of_units, looks_taken
from policies.gate.arms.arms import arms_plan, judge_arms
from policies.gate.arms.before_stage import look_back, outcome_variance, predict_outcomes
from policies.gate.arms.stage_settings import ArmComparison, HoldbackSettings
from policies.gate.arms.unit_outcomes import ArmRows, unit_outcomes
from tests.worlds import email_fatigue as world

pytestmark = pytest.mark.benchmark

SEED = 20261121
N_READERS = 30_000  # of the table
N_HELD, N_WORLDS = 10_000, 20  # readers a world of the holdback
N_EQUAL = 1_000
NO_WINDOW = timedelta(0)


def row_z(emoji: NDArray[np.bool_], click: NDArray[np.bool_], *, share: float) -> float:
    """z of the IPS difference "always emoji" - "never", row by row."""
    value = np.where(emoji, 1 / share, -1 / (1 - share)) * click
    return float(value.mean() / value.std() * math.sqrt(value.size))


def unit_z(arm: NDArray[np.bool_], outcome: NDArray[np.float64]) -> float:
    difference = outcome[arm].mean() - outcome[~arm].mean()
    return float(difference / math.sqrt(outcome[arm].var() / arm.sum() + outcome[~arm].var() / (~arm).sum()))


def test_rows_say_promote_and_readers_say_no() -> None:
    rng = np.random.default_rng(SEED)
    appetite = world.readers(rng, N_READERS)
    log, _ = world.send(rng, np.full(N_READERS, 0.5), n_days=14, appetite=appetite)
    by_row, _ = world.send(rng, np.full(N_READERS, 0.1), n_days=28, appetite=appetite)
    arm = rng.random(N_READERS) < 0.1
    by_unit, _ = world.send(rng, arm.astype(float), n_days=28, appetite=appetite)
    weeks = [unit_z(arm, by_unit.click[:, 7 * w : 7 * w + 7].mean(axis=1)) for w in range(4)]
    truth = world.long_run_clicks(1) / world.long_run_clicks(0) - 1
    ope = row_z(log.emoji, log.click, share=0.5)
    row = row_z(by_row.emoji, by_row.click, share=0.1)
    print(f"\nwear-out world, seed {SEED}, {N_READERS:,} readers, long-run truth {truth:+.0%}")
    print(f"  off-policy evaluation by row, even log, 2 weeks   z = {ope:+.1f}")
    print(f"  canary by row, 10 %, 4 weeks                      z = {row:+.1f}")
    for week, z in enumerate(weeks, start=1):
        print(f"  canary by unit, 10 %, week {week}                       z = {z:+.1f}")
    assert truth == pytest.approx(-0.4)
    assert ope > 10
    assert row > 10
    assert weeks[0] > 0
    assert weeks[2] < -5
    assert weeks[3] < -10


def compare(
    rows: ArmRows, past: ArmRows, *, share: float, settings: ArmComparison, started: np.datetime64, as_of: np.datetime64
) -> tuple[HorizonFound, ...]:
    """The looks up to `as_of`, as the flow takes them from a snapshot."""
    before = look_back(past.unit_id, past.occurred_at, past.reward)
    found = []
    for horizon in settings.horizons:
        days, kind, most = float(horizon.days), settings.outcome, settings.max_rows_per_unit
        schedule = {
            "started_at": started,
            "horizon": horizon,
            "attribution_window": NO_WINDOW,
            "every": settings.look_every,
        }
        taken = looks_taken(as_of, n_looks=settings.looks, **schedule)  # type: ignore[arg-type]
        units = unit_outcomes(
            rows, horizon=horizon, attribution_window=NO_WINDOW, as_of=as_of, kind=kind, max_rows=most
        )
        look = look_of_units(units.complete_at, **schedule)  # type: ignore[arg-type]
        units, look = units.select(look <= taken), look[look <= taken]
        if not taken:
            found.append(HorizonFound(horizon.days, 0, settings.looks, False, False, True))
            continue
        variance = outcome_variance(before, kind=kind, horizon_days=days, max_rows=most, bounds=(0, 1))
        judged = judge_arms(
            units,
            predict_outcomes(before, units.unit_id, kind=kind, horizon_days=days, max_rows=most),
            look=look,
            looks_taken=taken,
            share=share,
            plan=arms_plan(share=share, n_planned=len(np.unique(past.unit_id)), variance=variance, bounds=(0, 1)),
            alpha_harm=settings.alpha / len(settings.horizons_days),
            alpha_lift=settings.alpha,
            n_looks=settings.looks,
            min_units=settings.min_units_per_look,
        )
        found.append(
            HorizonFound(
                horizon.days,
                taken,
                settings.looks,
                judged.better,
                judged.worse,
                judged.balance.passed,
                judged.numbers.lift,
            )
        )
    return tuple(found)


def test_the_holdback_ends_what_the_log_promoted() -> None:
    settings = HoldbackSettings(share=0.05, horizons_days=(7, 30))
    day_of_end: list[int] = []
    n_early = 0
    for seed in range(N_WORLDS):
        rng = np.random.default_rng([SEED, seed])
        appetite = world.readers(rng, N_HELD)
        past, _ = world.send(rng, np.zeros(N_HELD), n_days=14, appetite=appetite)
        promoted = rng.random(N_HELD) < 1 - settings.share
        sent, _ = world.send(rng, promoted.astype(float), n_days=60, appetite=appetite)
        rows, before = sent.rows(challenger=promoted), past.rows()
        for day in (14, 37, 44, 51, 58):
            found = compare(
                rows, before, share=1 - settings.share, settings=settings, started=world.days(0), as_of=world.days(day)
            )
            step = holdback_step(conclude(found), on_regression="rollback")
            n_early += day == 14 and found[0].better
            assert step != "confirm", f"seed {seed}: a policy that costs 40 % was confirmed on day {day}"
            if step == "roll_back":
                day_of_end.append(day)
                break
    print(f"\nholdback of 5 %, {N_WORLDS} worlds, seeds [{SEED}, 0...{N_WORLDS - 1}], {N_HELD:,} readers")
    print(f"  proven better over the first 7 days (which ends nothing): {n_early}")
    print(f"  rolled back: {len(day_of_end)} of {N_WORLDS}, on days {dict(sorted(Counter(day_of_end).items()))}")
    print(f"  left provisional with a ticket (worse without proof): {N_WORLDS - len(day_of_end)}")
    assert len(day_of_end) >= 0.9 * N_WORLDS


def test_equal_arms_are_left_alone() -> None:
    settings = HoldbackSettings(share=0.05, horizons_days=(7,), look_every_days=1, looks=50)
    worse, n = 0, 2_000
    for seed in range(N_EQUAL):
        rng = np.random.default_rng([SEED, 1, seed])
        level, arm = rng.beta(*world.APPETITE, n), rng.random(n) < 1 - settings.share
        entered = np.sort(rng.integers(0, 50, n))
        rows = ArmRows(
            unit_id=np.char.add("u", np.arange(n).astype(np.str_)),
            challenger=arm,
            occurred_at=world.days(entered),
            reward=rng.binomial(7, level) / 7,
        )
        past = ArmRows(
            unit_id=np.repeat(rows.unit_id, 7),
            challenger=np.zeros(7 * n, np.bool_),
            occurred_at=np.tile(world.days(np.arange(-7, 0)), n),
            reward=(rng.random(7 * n) < np.repeat(level, 7)).astype(float),
        )
        found = compare(
            rows, past, share=1 - settings.share, settings=settings, started=world.days(0), as_of=world.days(60)
        )
        worse += conclude(found) == "worse"
    upper = worse / N_EQUAL + 1.645 * math.sqrt(max(worse, 1)) / N_EQUAL
    print(f"\nequal arms, holdback of 5 %, {N_EQUAL} x 50 looks, seeds [{SEED}, 1, 0...]")
    print(f"  rolled back: {worse}, upper 95 % limit {upper:.1%}")
    assert upper <= 0.065
