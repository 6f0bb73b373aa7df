"""Propensities that are 10 % wrong, at 100,000 rows: how often each world's log is refused, and how often a true one.

Every figure is of BLOCK checks of section `propensities` as validation runs them. Beside it the mean weight alone.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from data_contracts.propensities.propensity_section import propensity_section
from data_contracts.propensities.propensity_settings import PropensitySettings
from data_contracts.propensities.propensity_tally import PropensityTally
from tests.data_contracts.small_log import CONTRACT
from tests.worlds.propensity_worlds import WRONG, World, epsilon_greedy, rare_actions, table

pytestmark = pytest.mark.benchmark
N = 100_000
N_LOGS = int(os.environ.get("SLUICE_BENCHMARK_LOGS", "500"))
# Promised: exploration of 10 % or more, or actions as rare as 1 in 10,000.
WORLDS = (
    *(epsilon_greedy(k, e) for k, e in ((2, 0.2), (5, 0.1), (10, 0.1), (10, 0.3), (34, 0.1), (50, 0.2))),
    *(rare_actions(k, p) for k, p in ((5, 0.01), (10, 0.001), (10, 0.0001), (34, 0.0005))),
)
# Beyond what 100,000 rows can tell: 10 % of 2,500 to 5,000 exploring rows are 5 to 7 standard errors of their count.
THIN = (epsilon_greedy(2, 0.05), epsilon_greedy(10, 0.05), epsilon_greedy(50, 0.02))


def blocked(world: World, action: NDArray[np.int64], logged: NDArray[np.float64], **columns: object) -> set[str]:
    tally = PropensityTally.empty(world.actions).add(table(action, logged, **columns))
    section = propensity_section(tally, contract=CONTRACT, settings=PropensitySettings())
    return {c.rule for c in section.checks if not c.passed and c.level == "block"}


def rates(world: World, n_logs: int) -> dict[str, tuple[float, float]]:
    """Share of logs that are blocked, and blocked by the mean weight, for the true log and each error."""
    counts = {name: np.zeros(2) for name in ("true", *WRONG)}
    for seed in range(n_logs):
        distribution, action = world.log(np.random.default_rng(seed), N)
        true = distribution[np.arange(N), action]
        for name, logged in {"true": true, **{name: wrong(true) for name, wrong in WRONG.items()}}.items():
            found = blocked(world, action, logged)
            counts[name] += (bool(found), "expected_weight" in found)
    return {name: (float(any_ / n_logs), float(weight / n_logs)) for name, (any_, weight) in counts.items()}


def show(world: World, found: dict[str, tuple[float, float]]) -> str:
    cells = "  ".join(f"{name} {any_:.3f} ({weight:.3f})" for name, (any_, weight) in found.items())
    return f"{world.name:<48}{cells}"


def test_ten_percent_in_one_version_are_found_and_true_logs_are_left_alone() -> None:
    print(f"\nShare of {N_LOGS} logs of {N:,} rows (seeds 0 ... {N_LOGS - 1}) blocked; in brackets by E[w] = 1 alone")
    for world in WORLDS:
        found = rates(world, N_LOGS)
        print(show(world, found), flush=True)
        assert found["true"][0] <= 0.01, world.name
        assert min(share for name, (share, _) in found.items() if name != "true") >= 0.99, world.name


def test_what_thin_exploration_allows() -> None:
    n_logs = max(N_LOGS // 5, 1)
    print(f"\nToo little exploration for the promise: share of {n_logs} logs blocked (E[w] = 1 alone)")
    for world in THIN:
        found = rates(world, n_logs)
        print(show(world, found), flush=True)
        assert found["true"][0] <= 0.01, world.name
        assert found["all / 1.1"][0] >= 0.99, world.name


def test_whole_distributions_and_five_million_rows() -> None:
    world, n_chunk, n_chunks = rare_actions(34, 0.001), 250_000, 20
    tally, seconds = PropensityTally.empty(world.actions), 0.0
    for seed in range(n_chunks):
        distribution, action = world.log(np.random.default_rng(seed), n_chunk)
        rows = table(action, distribution[np.arange(n_chunk), action])
        started = time.process_time()
        tally = tally.add(rows)
        seconds += time.process_time() - started
    started = time.process_time()
    section = propensity_section(tally, contract=CONTRACT, settings=PropensitySettings())
    judged = time.process_time() - started
    assert all(check.passed for check in section.checks)
    mebibytes = tally.cells.nbytes / 2**20
    print(
        f"\n{n_chunk * n_chunks:,} rows, 34 actions, every propensity another one: counted in {seconds:.1f} CPU-s, "
        f"judged in {judged:.1f}; {tally.cells.num_rows:,} cells, {mebibytes:.0f} MiB"
    )
    assert mebibytes < 64
    started = time.process_time()
    whole = PropensityTally.empty(world.actions).add(rows, distribution=distribution)
    print(f"whole distributions of {n_chunk:,} rows: {time.process_time() - started:.1f} CPU-s")
    assert isinstance(whole.cells, pa.Table)
