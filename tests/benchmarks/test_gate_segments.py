"""The loyal segment loses a fifth under a better average: what each rule lets through, and what it costs.

Beside the gate: the average alone, the average without detected harm (Holm), the average without a negative estimate.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from policies.gate.judging.judge import judge, split_alpha
from policies.gate.judging.spending import information_fractions
from policies.gate.segments.segments import judge_segments
from tests.worlds.segment_worlds import SegmentWorld

pytestmark = pytest.mark.benchmark

SEED, REPETITIONS, ALPHA = 20261204, 600, 0.05
RULES = ("average", "and no negative estimate", "and no harm detected", "and loyal shown")


def _rates(world: SegmentWorld, *, seed: int, repetitions: int) -> dict[str, float]:
    """How often each rule promotes, over fresh logs of one world."""
    plan, values = world.plan, world.champion_value()
    n_at_looks = tuple(np.cumsum([world.n_rows // world.n_looks] * world.n_looks).tolist())
    fractions = information_fractions(n_at_looks, n_planned=world.n_rows, n_looks=world.n_looks, min_rows=1)
    counts = dict.fromkeys(RULES, 0)
    for repetition in range(repetitions):
        stream, segments = world.draw(np.random.default_rng([seed, repetition]))
        average = judge(stream.lift, plan=plan, alpha=split_alpha(ALPHA), fractions=fractions).proven
        results = judge_segments(stream, segments, champion_value=values, plan=plan, alpha=ALPHA, fractions=fractions)
        counts["average"] += average
        counts["and no negative estimate"] += average and all((r.difference or 0.0) >= 0 for r in results)
        counts["and no harm detected"] += average and not any(r.harm for r in results)
        counts["and loyal shown"] += average and all(r.noninferior is not False and not r.harm for r in results)
    return {name: count / repetitions for name, count in counts.items()}


def test_a_harmed_segment_is_not_paid_for_by_the_average() -> None:
    print(f"\nseed {SEED}, {REPETITIONS} logs of a million rows each, 50 looks; promoted by")
    print(f"{'truth':44s} " + " ".join(f"{rule:>25s}" for rule in RULES))
    found = {}
    for changed in (0.3, 0.75):
        for loyal, rest in ((0.1, 0.1), (-0.1, 1.1 / 9), (-0.2, 0.4 / 3)):
            world = SegmentWorld(loyal=loyal, rest=rest, changed=changed)
            started = time.process_time()
            rates = found[changed, loyal] = _rates(world, seed=SEED, repetitions=REPETITIONS)
            name = f"{world.lift:+.0%}, loyal {loyal:+.0%}, {changed:.0%} of traffic changed"
            spent = time.process_time() - started
            print(f"{name:44s} " + " ".join(f"{rates[rule]:25.1%}" for rule in RULES) + f"   {spent:.0f} CPU-s")
    for changed in (0.3, 0.75):
        assert found[changed, -0.2]["and loyal shown"] <= 0.01
        assert found[changed, -0.1]["and loyal shown"] <= 0.065, "a loss of just the margin: at most alpha"
        assert found[changed, 0.1]["and loyal shown"] >= 0.70
    assert found[0.75, -0.2]["and no harm detected"] > 0.3, "detection is no protection; see statistics 2.6"
