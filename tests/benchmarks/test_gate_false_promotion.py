"""How often a challenger that is no better is promoted within 50 looks: this gate, and what others use as one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.gate_rates import SLUICE, Table, fill, fresh_seed, size
from tests.worlds.gate_worlds import FAMILIES, World, random_world

pytestmark = pytest.mark.benchmark


def _equal(rng: np.random.Generator) -> World:
    return random_world(rng, relative_lift=0.0)


def _worse(rng: np.random.Generator) -> World:
    return random_world(rng, relative_lift=-0.02)


def test_a_challenger_that_is_no_better_is_rarely_promoted() -> None:
    seed, table = fresh_seed(), Table()
    n_bootstrap = size("BOOTSTRAP", 200)
    for name, draw in FAMILIES.items():
        fill(table, name, draw, n=size("FAMILY", 1000), n_bootstrap=n_bootstrap, seed=seed)
    fill(table, "random, equal", _equal, n=size("RANDOM", 2000), n_bootstrap=n_bootstrap, seed=seed)
    fill(table, "random, 2 % worse", _worse, n=size("WORSE", 4000), n_bootstrap=n_bootstrap, seed=seed)
    print(f"\nseed {seed}: promoted at any of 50 looks, nominal 5 % (upper 95 % limit of the rate)\n{table}")
    ours = table.rates[SLUICE]
    for name in FAMILIES:
        assert ours[name].share <= 0.05, name
        assert ours[name].upper <= 0.065, name
    assert ours["random, equal"].share <= 0.03
    assert ours["random, 2 % worse"].share <= 0.005
