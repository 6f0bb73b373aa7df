"""Campaigns found and honest logs spared: rates over fresh worlds, with the seed that gives them again."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np
import pytest

from data_contracts.units.coordination import find_pushes
from tests.worlds.coordination_worlds import CAMPAIGNS, HONEST, Log, campaign, honest_log

pytestmark = pytest.mark.benchmark
N_HONEST, N_CAMPAIGN = 60, 30
SHARES = (0.01, 0.05, 0.1)
MUST_BE_FOUND = [name for name in CAMPAIGNS if name not in ("on what is shown, 4 rows", "on what is shown, 2 rows")]


def _alarms(log: Log) -> bool:
    return any(push.alarming for push in find_pushes(log.unit, log.action, log.reward, n_actions=log.n_actions))


def _rate(make: Callable[[np.random.Generator], Log], n: int, rng: np.random.Generator) -> float:
    return float(np.mean([_alarms(make(rng)) for _ in range(n)]))


def test_honest_logs_are_spared() -> None:
    seed = secrets.randbits(32)
    rng = np.random.default_rng(seed)
    print(f"\nseed {seed}; {N_HONEST} logs each of 2,000 units; share that alarms")
    rates = {}
    for name in HONEST:
        rates[name] = _rate(lambda rng, name=name: honest_log(name, rng), N_HONEST, rng)  # type: ignore[misc]
        print(f"  {name:<34} {rates[name]:.1%}")
    overall = float(np.mean(list(rates.values())))
    print(f"  all {N_HONEST * len(rates)} logs: {overall:.2%}")
    assert overall <= 0.01
    assert max(rates.values()) <= 0.1  # 6 of 60: no kind of honest log alarms as a rule


def test_campaigns_are_found() -> None:
    seed = secrets.randbits(32)
    rng = np.random.default_rng(seed)
    shares = ", ".join(f"{share:.0%}" for share in SHARES)
    print(f"\nseed {seed}; {N_CAMPAIGN} logs each; share found at {shares} of units")
    for name in CAMPAIGNS:
        rates = [
            _rate(lambda rng, name=name, share=share: campaign(name, rng, share=share), N_CAMPAIGN, rng)  # type: ignore[misc]
            for share in SHARES
        ]
        print(f"  {name:<42} {' '.join(f'{rate:6.0%}' for rate in rates)}")
        if name in MUST_BE_FOUND:
            assert rates[1] >= 0.95, name
            assert rates[2] >= 0.95, name
