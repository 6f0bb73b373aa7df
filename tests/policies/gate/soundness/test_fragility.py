"""Seeds: what is stored recomputes each seed's lift, luck is blocked, skill is not."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from policies.gate.records import GateRows
from policies.gate.soundness.fragility import Fragility, FragilitySettings, assess_seeds, seed_columns
from policies.gate.soundness.paired import clustered_mean, paired_terms
from tests.policies.gate.condition_world import Drawn, draw, honest_world, worse_policy

SETTINGS = FragilitySettings()


def _assess(drawn: Drawn, seeds: tuple[np.ndarray, ...] | None = None) -> Fragility:
    rows = drawn.rows
    others = drawn.seeds if seeds is None else seeds
    logged, direct = seed_columns(others, action=rows.action, reward_model=rows.reward_model)
    return assess_seeds(
        rows,
        unit=drawn.unit,
        deployed=2,
        others=[s for s in range(len(others) + 1) if s != 2],
        seed_logged=logged,
        seed_direct=direct,
        settings=SETTINGS,
    )


def test_a_seeds_lift_from_its_two_stored_numbers_is_that_of_its_policy() -> None:
    rng = np.random.default_rng(1)
    drawn = draw(honest_world(rng), 2000, rng)
    found = _assess(drawn)
    assert [(s.seed, s.deployed) for s in found.seeds] == [(0, False), (1, False), (2, True), (3, False), (4, False)]
    policies = {2: drawn.rows.challenger, **dict(zip((0, 1, 3, 4), drawn.seeds, strict=True))}
    for seed in found.seeds:
        terms = paired_terms(replace(drawn.rows, challenger=policies[seed.seed]), unit=drawn.unit)
        mean = clustered_mean(terms.value, share=terms.share, unit=drawn.unit)
        assert (seed.lift, seed.standard_error) == (pytest.approx(mean.value), pytest.approx(mean.standard_error))
    lifts = sorted(s.lift for s in found.seeds)
    assert (found.minimum, found.median, found.maximum) == (lifts[0], lifts[2], lifts[4])
    assert asdict(found)["conditions"][1]["name"] == "fragility"


def _rows_of(lifts: list[float]) -> tuple[GateRows, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of two actions whose reward model is exact: a policy that takes action 1 with .5 + lift has that lift."""
    n = 400
    rng = np.random.default_rng(2)
    half, action = np.full((n, 2), 0.5), rng.integers(2, size=n)
    reward = np.where(np.arange(n) % 2 == 0, action + 0.5, action - 0.5) * 1.0  # a residual of +-1/2
    policies = [np.tile([0.5 - lift, 0.5 + lift], (n, 1)) for lift in lifts]
    rows = GateRows(
        interaction_id=np.array([], np.str_),
        unit_id=np.arange(n).astype(np.str_),
        policy_version=np.full(n, "1"),
        action=action,
        reward=reward,
        propensity=np.full(n, 0.5),
        behavior=half,
        champion=half,
        challenger=policies[0],
        reward_model=np.tile([0.0, 1.0], (n, 1)),
    )
    logged, direct = seed_columns(policies[1:], action=action, reward_model=rows.reward_model)
    return rows, logged, direct, np.arange(n)


@pytest.mark.parametrize(
    ("lifts", "share_worse", "passed"),
    [
        ([0.2, 0.2, 0.2, 0.2, 0.2], 0.0, True),
        ([0.2, 0.2, 0.2, 0.2, -0.2], 0.2, True),  # one of five may be worse
        ([0.2, 0.2, 0.2, -0.2, -0.2], 0.4, False),
        ([0.2, 0.2, 0.2, 0.0, 0.0], 0.0, True),  # no difference is not worse
        ([0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, -0.2, -0.2], 0.2, True),  # the third lowest of ten counts
        ([0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, -0.2, -0.2, -0.2], 0.3, False),
    ],
)
def test_more_than_a_fifth_of_the_seeds_worse_blocks(lifts: list[float], share_worse: float, passed: bool) -> None:
    rows, logged, direct, unit = _rows_of(lifts)
    found = assess_seeds(
        rows,
        unit=unit,
        deployed=0,
        others=list(range(1, len(lifts))),
        seed_logged=logged,
        seed_direct=direct,
        settings=SETTINGS,
    )
    enough, fragile = found.conditions
    assert enough.passed
    assert (found.share_worse, fragile.passed, fragile.effect) == (pytest.approx(share_worse), passed, "block")
    assert (found.lower_quartile_z >= 0) == passed
    assert "equally trained seeds are worse" in fragile.words


def test_too_few_seeds_hold() -> None:
    rows, logged, direct, unit = _rows_of([0.2, 0.2, 0.2])
    found = assess_seeds(
        rows, unit=unit, deployed=0, others=(1, 2), seed_logged=logged, seed_direct=direct, settings=SETTINGS
    )
    enough, fragile = found.conditions
    assert (enough.passed, enough.effect, enough.observed, enough.limit) == (False, "hold", 3, 5)
    assert fragile.passed


def test_a_lucky_seed_among_worthless_ones_is_blocked() -> None:
    """The deployed one has a lift; the others are as often worse than the champion as better."""
    blocked = 0
    for i in range(20):
        rng = np.random.default_rng([3, i])
        world = honest_world(rng, lift=0.1)
        drawn = draw(world, 20_000, rng)
        better, worse = drawn.rows.challenger, worse_policy(world)[drawn.context]
        blocked += not _assess(drawn, (worse, better, better, worse)).conditions[1].passed
    assert blocked >= 17
