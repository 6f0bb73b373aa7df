"""Small logs with everything the gate reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from policies.gate.records import GateRows, Plan
from policies.gate.settings import GateSettings

MakeRows = Callable[..., GateRows]


@pytest.fixture
def settings() -> GateSettings:
    return GateSettings(looks=3, min_rows_per_look=100)


@pytest.fixture
def plan() -> Plan:
    return Plan(n_planned=2000, sigma_squared=1.0, reward_minimum=0.0, reward_maximum=1.0)


@pytest.fixture
def make_rows() -> MakeRows:
    """n rows of 3 actions; the behavior policy is the champion. `lift` is the exact difference in value."""

    def make(n: int, *, lift: float = 0.0, seed: int = 0, start: int = 0) -> GateRows:
        rng = np.random.default_rng(seed)
        champion = np.tile([0.6, 0.2, 0.2], (n, 1))
        challenger = np.tile([0.2, 0.6, 0.2], (n, 1))
        means = np.array([0.5 - lift / 0.8, 0.5 + lift / 0.8, 0.4])  # lift = .4 (mean_1 - mean_0)
        action = rng.choice(3, size=n, p=champion[0]) if n else np.zeros(0, np.int64)
        ids = np.array([f"row-{start + i:06d}" for i in range(n)], dtype=np.str_)
        return GateRows(
            interaction_id=ids,
            unit_id=np.array([f"unit-{(start + i) // 2:06d}" for i in range(n)], dtype=np.str_),
            policy_version=np.full(n, "1"),
            action=action.astype(np.int64),
            reward=(rng.random(n) < means[action]).astype(np.float64),
            propensity=champion[np.arange(n), action],
            behavior=champion,
            champion=champion,
            challenger=challenger,
            reward_model=np.full((n, 3), 0.45),
        )

    return make
