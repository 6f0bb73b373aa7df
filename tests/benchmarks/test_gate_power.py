"""How often a better challenger is promoted, by the size of its signal, and how far the lower bounds stay behind.

t = lift / standard error of the IPS difference with the exact second moment, at all rows of the slot.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from scipy.stats import norm

from policies.gate.judging import anytime_branch
from policies.gate.judging.judge import planned_bound, split_alpha
from policies.gate.judging.planned_branch import moments_at_looks
from policies.gate.judging.spending import boundaries
from tests.benchmarks.gate_rates import Rate, fresh_seed, size
from tests.worlds.gate_compressed import CompressedLog, differences, draw_log, judge_log, planned_fractions
from tests.worlds.gate_worlds import World, conversion_world, random_world

pytestmark = pytest.mark.benchmark

SLOT: Final = 0.05
FIRST_OF_LEDGER: Final = 0.05 / 50  # what the first of 50 slots may spend
BINS: Final = {(1, 2): 0.0, (2, 3): 0.70, (3, 4): 0.85, (4, 6): 0.95}  # t from, to -> least power at SLOT
EFFORT: Final = {(1, 2): 0.5, (2, 3): 2.0, (3, 4): 1.0, (4, 6): 0.5}  # decisions, relative; most where it is close
ORACLE: Final = norm.ppf(1 - SLOT)


def _signal(world: World) -> float:
    return world.lift / world.oracle_error()


def _world_between(low: float, high: float, rng: np.random.Generator) -> World:
    """A fresh random world of +5 % or +10 % whose t lies in [low, high)."""
    while True:
        world = random_world(rng, relative_lift=float(rng.choice([0.05, 0.1])))
        if low <= _signal(world) < high:
            return world


def _powers(worlds: list[tuple[World, np.random.Generator]]) -> tuple[Rate, Rate, float]:
    """Power at the slot's alpha and at the ledger's first; and of a single normal test with the oracle's error."""
    slot, ledger, oracle = Rate(), Rate(), []
    for world, rng in worlds:
        log = draw_log(world, rng)
        slot.add(judge_log(log, rng, alpha=split_alpha(SLOT)).proven)
        ledger.add(judge_log(log, rng, alpha=split_alpha(FIRST_OF_LEDGER)).proven)
        oracle.append(norm.cdf(_signal(world) - ORACLE))
    return slot, ledger, float(np.mean(oracle))


def test_power_grows_with_the_signal() -> None:
    seed, n = fresh_seed(), size("POWER", 300)
    print(f"\nseed {seed}: power over fresh random worlds of 10k-1M rows, 50 looks")
    print(f"{'t':>8}{'slot at .05':>26}{'first slot of the ledger':>28}{'one-look oracle at .05':>26}")
    found = {}
    for low, high in BINS:
        rngs = [np.random.default_rng([seed, low, i]) for i in range(int(n * EFFORT[low, high]))]
        slot, ledger, oracle = _powers([(_world_between(low, high, rng), rng) for rng in rngs])
        found[low, high] = slot.share
        print(f"{low:>5}-{high}{slot.share:>26.1%}{ledger.share:>28.1%}{oracle:>26.1%}{slot.n:>8} decisions")
    for bounds, least in BINS.items():
        assert found[bounds] >= least, bounds


@pytest.mark.parametrize(("changed_share", "least"), [(0.4, 0.88), (0.3, 0.88)])
def test_five_percent_more_conversions_are_found_in_a_million_rows(changed_share: float, least: float) -> None:
    seed, n = fresh_seed(), size("CONVERSION", 400)
    rngs = [np.random.default_rng([seed, int(100 * changed_share), i]) for i in range(n)]
    worlds = [
        (conversion_world(rng, n_rows=1_000_000, relative_lift=0.05, changed_share=changed_share), rng) for rng in rngs
    ]
    slot, ledger, oracle = _powers(worlds)
    signal = np.median([_signal(world) for world, _ in worlds])
    print(
        f"\nseed {seed}: 3 % conversion, +5 %, 1M rows, {changed_share:.0%} of cells changed, median t {signal:.2f}:"
        f" power {slot.share:.1%} at .05, {ledger.share:.1%} at the ledger's first slot; one-look oracle {oracle:.1%}"
    )
    assert slot.share >= least


def _widths(log: CompressedLog, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """After the last look, each branch alone at SLOT, in 1.645 oracle standard errors: estimate - lower bound of the
    planned and the betting branch, then truth - lower bound of both (of the same mean, and noisier)."""
    found = differences(log, anytime=SLOT, rng=rng)
    moments = moments_at_looks(found)
    limits = boundaries(planned_fractions(log), tuple(m.information for m in moments), alpha=SLOT)
    bets = anytime_branch.place(found, plan=log.plan, threshold=1 / SLOT)
    reward_range = log.plan.reward_maximum - log.plan.reward_minimum
    anytime = anytime_branch.lower_bound(bets, threshold=1 / SLOT, reward_range=reward_range)
    planned, estimate, truth = planned_bound(moments[-1], limits[-1]), moments[-1].mean, log.world.lift
    unit = ORACLE * log.world.oracle_error()
    return (estimate - planned) / unit, (estimate - anytime) / unit, (truth - planned) / unit, (truth - anytime) / unit


def test_lower_bounds_stay_close_to_an_oracle_that_looks_once() -> None:
    seed, n = fresh_seed(), size("DISTANCE", 200)
    print(f"\nseed {seed}: lower bounds after 50 looks / 1.645 oracle errors, medians of {n} worlds of 3 % conversion")
    for n_rows in (100_000, 1_000_000):
        found = []
        for i in range(n):
            rng = np.random.default_rng([seed, n_rows, i])
            found.append(_widths(draw_log(conversion_world(rng, n_rows=n_rows, relative_lift=0.05), rng), rng))
        planned, anytime, from_truth, anytime_from_truth = np.median(found, axis=0)
        print(f"  {n_rows:>9,} rows: below the estimate by {planned:.2f} (planned), {anytime:.2f} (betting);")
        print(f"                  below the truth by {from_truth:.2f} (planned), {anytime_from_truth:.2f} (betting)")
        assert planned <= 1.25
        assert anytime <= 1.8
