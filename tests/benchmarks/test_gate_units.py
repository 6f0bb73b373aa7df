"""Units that come back, and whom the challenger suits or does not: their rows agree, and must not count as many."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.gate_rates import Rate, fresh_seed, size
from tests.worlds.gate_units import UnitWorld, judge_units

pytestmark = pytest.mark.benchmark

WORLDS = (
    UnitWorld(n_units=2000, rows_per_unit=20, effect=0.3),
    UnitWorld(n_units=500, rows_per_unit=20, effect=0.4),
    UnitWorld(n_units=500, rows_per_unit=20, effect=0.1),
    UnitWorld(n_units=300, rows_per_unit=60, effect=0.4),
)


def test_units_that_agree_with_themselves_do_not_promote_a_challenger() -> None:
    seed, n = fresh_seed(), size("UNITS", 300)
    print(f"\nseed {seed}: lift 0 on average, +-effect for a unit; promoted at any of 50 looks, {n} decisions a line")
    for w, world in enumerate(WORLDS):
        promoted, planned, betting = Rate(), Rate(), Rate()
        for i in range(n):
            judged = judge_units(world, np.random.default_rng([seed, w, i]))
            promoted.add(judged.proven)
            planned.add(judged.branch in ("planned", "both"))
            betting.add(judged.branch in ("anytime", "both"))
        print(f"  {world}: {promoted}; planned {planned.share:.2%}, betting {betting.share:.2%}")
        assert promoted.k <= 0.05 * n + 2 * (0.05 * 0.95 * n) ** 0.5
        assert betting.k <= 0.01 * n + 3 * (0.01 * 0.99 * n) ** 0.5
