"""OPE on arrays against plain loops, one per estimator: the same numbers, and how many times faster."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.ope import estimate_all

pytestmark = pytest.mark.benchmark
N_ROWS, N_ACTIONS = 100_000, 8


def _log() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    behavior, champion, challenger = (0.02 + 0.84 * rng.dirichlet(np.ones(N_ACTIONS), N_ROWS) for _ in range(3))
    action = (rng.random(N_ROWS)[:, None] > behavior.cumsum(axis=1)).sum(axis=1).clip(max=N_ACTIONS - 1)
    return {
        "action": action,
        "reward": (rng.random(N_ROWS) < 0.2).astype(float),
        "propensity": behavior[np.arange(N_ROWS), action],
        "champion": champion,
        "challenger": challenger,
        "reward_model": rng.uniform(0, 1, (N_ROWS, N_ACTIONS)),
        "unit_id": np.array([f"u{i}" for i in range(N_ROWS)]),
    }


def ips_loop(log: dict[str, Any], target: NDArray[np.float64]) -> float:
    total = 0.0
    for i in range(len(log["action"])):
        total += target[i, log["action"][i]] / log["propensity"][i] * log["reward"][i]
    return total / len(log["action"])


def snips_loop(log: dict[str, Any], target: NDArray[np.float64]) -> float:
    total = weights = 0.0
    for i in range(len(log["action"])):
        weight = target[i, log["action"][i]] / log["propensity"][i]
        total, weights = total + weight * log["reward"][i], weights + weight
    return total / weights


def dm_loop(log: dict[str, Any], target: NDArray[np.float64]) -> float:
    total = 0.0
    for i in range(len(log["action"])):
        for a in range(N_ACTIONS):
            total += target[i, a] * log["reward_model"][i, a]
    return total / len(log["action"])


def dr_loop(log: dict[str, Any], target: NDArray[np.float64]) -> float:
    total = 0.0
    for i in range(len(log["action"])):
        taken = log["action"][i]
        for a in range(N_ACTIONS):
            total += target[i, a] * log["reward_model"][i, a]
        weight = target[i, taken] / log["propensity"][i]
        total += weight * (log["reward"][i] - log["reward_model"][i, taken])
    return total / len(log["action"])


LOOPS = {"ips": ips_loop, "snips": snips_loop, "dm": dm_loop, "dr": dr_loop}


def test_the_same_values_many_times_faster() -> None:
    log = _log()
    started = time.process_time()
    loops = {
        (name, policy): loop(log, log[policy]) for name, loop in LOOPS.items() for policy in ("champion", "challenger")
    }
    looped = time.process_time() - started

    started = time.process_time()
    found = estimate_all(**log)
    vectorised = time.process_time() - started
    without_units = _seconds({**log, "unit_id": np.zeros(N_ROWS, np.int8) + np.arange(N_ROWS) % 2})

    values: dict[tuple[str, str], float] = {(e.estimator, e.policy): e.value for e in found}
    for key, value in loops.items():
        assert values[key] == pytest.approx(value, rel=1e-9)
    print(
        f"\n{N_ROWS:,} rows x {N_ACTIONS} actions, 4 estimators, 2 policies. Loops (values only) took "
        f"{looped / vectorised:.0f} times the CPU time of estimate_all with differences, errors clustered by "
        f"{N_ROWS:,} named units and diagnostics; {looped / without_units:.0f} times without naming units"
    )


def _seconds(log: dict[str, Any]) -> float:
    started = time.process_time()
    estimate_all(**log)
    return time.process_time() - started
