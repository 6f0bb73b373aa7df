"""Rows of a log with many tiny probabilities, under policies that have nothing in common."""

from __future__ import annotations

import numpy as np

from policies.gate.records import GateRows


def wild_rows(rng: np.random.Generator, *, n: int, k: int) -> GateRows:
    """n rows of k actions and rewards of -1 and 1; each row is a unit of its own."""
    behavior = rng.dirichlet(np.full(k, 0.2), size=n)
    ids = np.array([str(i) for i in range(n)])
    return GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=ids,
        action=rng.integers(k, size=n),
        reward=rng.choice([-1.0, 1.0], size=n),
        propensity=np.full(n, 0.5),
        behavior=behavior,
        champion=rng.dirichlet(np.ones(k), size=n),
        challenger=rng.dirichlet(np.ones(k), size=n),
        reward_model=rng.uniform(-1, 1, (n, k)),
    )
