"""How often the conditions beside the average stop an honest, truly better challenger, and what they cost.

Worlds are drawn fresh; those whose average passes (planned branch's z above 2.5 and its tail rule) are asked all
conditions. `SLUICE_WORLD_SEED` repeats a run.
"""

from __future__ import annotations

import os
import time
from collections import Counter

import numpy as np
import pytest

from policies.gate.conditions import Condition
from policies.gate.judging.differences import TwoSided, one_step
from policies.gate.judging.planned_branch import moments_at_looks
from policies.gate.records import GateRows, Plan
from policies.gate.soundness.agreement import AgreementSettings, assess_agreement, other_columns
from policies.gate.soundness.exploitation import ExploitationSettings, assess_exploitation
from policies.gate.soundness.forgetting import ForgettingSettings, assess_forgetting, older_parts, strong_parts
from policies.gate.soundness.fragility import FragilitySettings, assess_seeds, seed_columns
from policies.gate.soundness.placebo import assess_placebo
from tests.policies.gate.condition_world import Drawn, World, draw, honest_world

pytestmark = pytest.mark.benchmark
SEED = int(os.environ.get("SLUICE_WORLD_SEED", time.time_ns() % 1_000_000))
N_WORLDS = int(os.environ.get("SLUICE_BENCH_WORLDS", "1200"))
PASSING_Z = 2.5


def _stream(rows: GateRows) -> TwoSided:
    plan = Plan(n_planned=rows.n, sigma_squared=1.0, reward_minimum=-1.0, reward_maximum=8.0)
    return one_step(rows, look=np.ones(rows.n, np.int64), plan=plan, first_stake=0.1)


def _conditions(world: World, drawn: Drawn, stream: TwoSided, older: GateRows) -> list[Condition]:
    rows, unit = drawn.rows, drawn.unit
    logged, direct = seed_columns(drawn.seeds, action=rows.action, reward_model=rows.reward_model)
    other = other_columns(rows, np.tile(world.means.mean(axis=0), (rows.n, 1)))  # a mean per action
    forgetting = ForgettingSettings()
    parts = older_parts(older, _stream(older), settings=forgetting) + strong_parts(rows, stream, settings=forgetting)
    return [
        *assess_seeds(
            rows,
            unit=unit,
            deployed=0,
            others=(1, 2, 3, 4),
            seed_logged=logged,
            seed_direct=direct,
            settings=FragilitySettings(),
        ).conditions,
        *assess_exploitation(rows, unit=unit, settings=ExploitationSettings()).conditions,
        *assess_placebo(rows, unit=unit, look=drawn.look).conditions,
        *assess_agreement(
            rows, unit=unit, other_logged=other[0], other_direct=other[1], settings=AgreementSettings()
        ).conditions,
        *assess_forgetting(parts, settings=forgetting).conditions,
    ]


def test_honest_better_challengers_are_stopped_in_about_one_case_in_a_hundred() -> None:
    rng = np.random.default_rng(SEED)
    failed: Counter[str] = Counter()
    n_passing = stopped = 0
    for _ in range(N_WORLDS):
        n = int(20_000 * 10 ** rng.uniform(-0.5, 0.5))
        world = honest_world(rng)
        drawn = draw(world, n, rng)
        stream = _stream(drawn.rows)
        moments = moments_at_looks(stream.lift)[-1]
        if not (moments.tail_rule and moments.mean > PASSING_Z * moments.standard_error):
            continue
        n_passing += 1
        names = [c.name for c in _conditions(world, drawn, stream, draw(world, n, rng).rows) if not c.passed]
        failed.update(names)
        stopped += bool(names)
    print(
        f"\n{N_WORLDS} honest worlds of 6,000-63,000 rows, seed {SEED}: the average passed in {n_passing}; of these "
        f"{stopped} ({stopped / n_passing:.2%}) were stopped by a condition: {dict(failed)}"
    )
    assert all(count <= 0.01 * n_passing + 3 * np.sqrt(0.01 * n_passing) for count in failed.values())
    assert stopped <= 0.02 * n_passing + 3 * np.sqrt(0.02 * n_passing)


def test_a_million_rows() -> None:
    rng = np.random.default_rng(1)
    world = honest_world(rng)
    drawn, older = draw(world, 1_000_000, rng), draw(world, 100_000, rng).rows
    stream = _stream(drawn.rows)
    started = time.process_time()
    found = _conditions(world, drawn, stream, older)
    seconds = time.process_time() - started
    print(
        f"\nall {len(found)} conditions on 1,000,000 rows x {drawn.rows.champion.shape[1]} actions: {seconds:.2f} CPU-s"
    )
    assert all(c.passed for c in found)
