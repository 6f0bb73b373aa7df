"""The benchmark of the gate in small: fresh worlds, 20 looks, bounds that a sound gate misses once in a million runs.

The seed changes from run to run and is printed; SLUICE_GATE_SEED gives a run again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy.stats import binom

from tests.worlds.gate_compressed import judge_world
from tests.worlds.gate_units import UnitWorld, judge_units
from tests.worlds.gate_worlds import (
    FAMILIES,
    World,
    conversion_world,
    draw_counts,
    make_world,
    negative_world,
    older_log_world,
    own_log_world,
    random_world,
)

N, N_LOOKS, RARELY = 30, 20, 1e-6


@pytest.fixture(scope="module")
def seed() -> int:
    return int(os.environ.get("SLUICE_GATE_SEED") or secrets.randbits(32))


def _promoted(draw: Callable[[np.random.Generator], World], seed: int, n: int = N) -> int:
    rngs = [np.random.default_rng([seed, i]) for i in range(n)]
    found = sum(judge_world(draw(rng), rng).proven for rng in rngs)
    print(f"seed {seed}: {found} of {n} promoted")
    return found


def _left_tailed(rng: np.random.Generator) -> World:
    """10 actions, exploration .1, 80 % by an older policy with the challenger's choices: a normal test errs in 80 %."""
    while (
        world := make_world(
            rng,
            n_actions=10,
            exploration=0.1,
            base=0.03,
            rewards="conversion",
            kind="older",
            resemblance=1.0,
            n_rows=20_000,
            relative_lift=0.0,
            n_looks=N_LOOKS,
        )
    ) is None:
        pass
    return world


EQUAL: dict[str, Callable[[np.random.Generator], World]] = {
    **{name: partial(draw, n_looks=N_LOOKS) for name, draw in FAMILIES.items()},
    "left-tailed": _left_tailed,
    "random": partial(random_world, relative_lift=0.0, n_looks=N_LOOKS),
}


@pytest.mark.parametrize("name", EQUAL)
def test_a_challenger_of_equal_value_is_rarely_promoted(name: str, seed: int) -> None:
    assert _promoted(EQUAL[name], seed) <= binom.isf(RARELY, N, 0.05)


def test_units_that_come_back_are_not_many(seed: int) -> None:
    world = UnitWorld(n_units=60, rows_per_unit=50, effect=0.4, n_looks=N_LOOKS)
    found = [judge_units(world, np.random.default_rng([seed, i])) for i in range(N)]
    assert sum(judged.proven for judged in found) <= binom.isf(RARELY, N, 0.08)  # 60 units: a normal test is coarse


def test_a_lift_of_three_standard_errors_is_mostly_found(seed: int) -> None:
    draw = partial(conversion_world, n_rows=1_000_000, relative_lift=0.05, n_looks=N_LOOKS)
    assert _promoted(draw, seed) >= binom.ppf(RARELY, N, 0.85)


@pytest.mark.parametrize("draw", [own_log_world, older_log_world, negative_world])
def test_worlds_have_exactly_the_lift_they_are_asked_for(draw: Callable[..., World], seed: int) -> None:
    world = draw(np.random.default_rng(seed), relative_lift=-0.02)
    assert world.lift == pytest.approx(-0.02 * world.champion_value)
    assert world.chances.sum(axis=2) == pytest.approx(1.0)
    counts = draw_counts(world, np.random.default_rng(seed))
    assert counts.sum() == world.n_rows // world.n_looks * world.n_looks
    share = counts.sum(axis=(0, 1, 3, 4)) / counts.sum()
    assert share == pytest.approx(world.share, abs=6 * (0.25 / counts.sum()) ** 0.5)
