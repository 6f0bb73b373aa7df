"""Forgetting: proven harm on older slices or in the champion's best contexts holds, all else passes."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from policies.gate.judging.differences import TwoSided, one_step
from policies.gate.records import GateRows, Plan
from policies.gate.soundness.forgetting import (
    Forgetting,
    ForgettingSettings,
    Part,
    assess_forgetting,
    older_parts,
    strong_parts,
    time_slices,
)
from tests.policies.gate.condition_world import Drawn, World, draw, honest_world

SETTINGS = ForgettingSettings()


def _assess(older: GateRows, gate: GateRows) -> Forgetting:
    parts = older_parts(older, _stream(older), settings=SETTINGS)
    return assess_forgetting(parts + strong_parts(gate, _stream(gate), settings=SETTINGS), settings=SETTINGS)


def _stream(rows: GateRows) -> TwoSided:
    plan = Plan(n_planned=rows.n, sigma_squared=1.0, reward_minimum=-1.0, reward_maximum=8.0)
    return one_step(rows, look=np.ones(rows.n, np.int64), plan=plan, first_stake=0.1)


def _world(seed: int, base: float | None = None) -> tuple[World, np.random.Generator]:
    rng = np.random.default_rng([10, seed])
    return honest_world(rng, base=base), rng


def _part(lift: float, error: float, *, value: float = 1.0, skewness: float = 0.0, tail_rule: bool = True) -> Part:
    return Part("older 1 of 4", "older", 1000, 500, value, lift, error, skewness, tail_rule)


def test_the_rule_by_hand() -> None:
    # one part at alpha .01: z = 2.576 (two-sided); upper = -.2 + .129 = -.071 < -.05
    found = assess_forgetting((_part(-0.2, 0.05),), settings=SETTINGS)
    assert (found.parts[0].upper, found.parts[0].lower) == (
        pytest.approx(-0.0712, abs=1e-4),
        pytest.approx(-0.3288, abs=1e-4),
    )
    (condition,) = found.conditions
    assert (condition.passed, condition.effect, condition.limit) == (False, "hold", -0.05)
    assert condition.observed == pytest.approx(-0.0712, abs=1e-4)
    assert (
        "worse than the champion on older 1 of 4: lift -0.2 (-20.0% of the champion's value there)" in condition.words
    )
    assert "on rows that trained it" in condition.words
    # ten parts: z = 3.29, upper -.0355: within the margin of 5 %
    assert assess_forgetting((_part(-0.2, 0.05),) + (_part(0.1, 0.05),) * 9, settings=SETTINGS).conditions[0].passed
    # a long tail of the harm: -.2 + .05 = .15 = 3 standard errors, 2.576 needed; with skewness -3, 3.17
    assert not assess_forgetting((_part(-0.2, 0.05),), settings=SETTINGS).conditions[0].passed
    assert assess_forgetting((_part(-0.2, 0.05, skewness=-3.0),), settings=SETTINGS).conditions[0].passed
    assert assess_forgetting((_part(-0.2, 0.05, tail_rule=False),), settings=SETTINGS).conditions[0].passed
    # the margin is a share of the champion's value there; none where that is not above 0
    assert assess_forgetting((_part(-0.2, 0.05, value=2.0),), settings=SETTINGS).conditions[0].passed
    assert not assess_forgetting((_part(-0.14, 0.05, value=-1.0),), settings=SETTINGS).conditions[0].passed


def test_nothing_to_read_is_no_forgetting() -> None:
    found = assess_forgetting((), settings=SETTINGS)
    assert (found.parts, found.conditions[0].passed, found.conditions[0].observed) == ((), True, None)


def test_time_slices_are_of_equal_size_and_in_order() -> None:
    assert time_slices(9, 4).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert time_slices(0, 4).tolist() == []


def test_an_honest_challenger_forgets_nothing() -> None:
    for i in range(20):
        world, rng = _world(i)
        found = _assess(draw(world, 8000, rng).rows, draw(world, 8000, rng).rows)
        assert found.conditions[0].passed
        assert [j.part.kind for j in found.parts] == ["older"] * 4 + ["strong"] * 2
        assert asdict(found)["parts"][0]["part"]["n"] == 2000


def _older(world: World, n: int, rng: np.random.Generator) -> GateRows:
    """Rows whose first half is of another season: the champion's actions were worth twice as much then."""
    spring = replace(world, means=np.clip(world.means * (1 + 1.5 * (world.champion > 0.5)), 0, 0.95))
    first, second = draw(spring, n // 2, rng).rows, draw(world, n // 2, rng).rows
    names = [name for name in GateRows.__slots__ if len(getattr(first, name)) == n // 2]
    return replace(second, **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names})


def test_a_forgotten_season_is_held() -> None:
    held = 0
    for i in range(6):
        world, rng = _world(i, base=0.3)
        world = replace(world, older=world.champion, reward="binary")
        found = _assess(_older(world, 60_000, rng), draw(world, 8000, rng).rows)
        forgotten = {j.part.name for j in found.parts if j.forgotten}
        assert forgotten <= {"older 1 of 4", "older 2 of 4"}
        held += bool(forgotten)
    assert held >= 4


def test_harm_where_the_champion_is_strong_is_held() -> None:
    held = 0
    for i in range(6):
        world, rng = _world(i, base=0.3)
        world = replace(world, reward="binary")
        best = np.argsort(-(world.champion * world.model).sum(axis=1))[:5]
        spoilt = world.challenger.copy()
        spoilt[best] = np.eye(spoilt.shape[1])[world.means[best].argmin(axis=1)] * 0.9 + 0.1 / spoilt.shape[1]
        drawn: Drawn = draw(replace(world, challenger=spoilt), 40_000, rng)
        found = _assess(draw(world, 8000, rng).rows, drawn.rows)
        held += any(j.forgotten and j.part.kind == "strong" for j in found.parts)
    assert held >= 4


def test_the_champions_best_contexts_are_the_top_quarter_by_its_predicted_value() -> None:
    world, rng = _world(2)
    rows = draw(world, 4000, rng).rows
    value = (rows.champion * rows.reward_model).sum(axis=1)
    advantage = value - rows.reward_model.mean(axis=1)
    found = strong_parts(rows, _stream(rows), settings=SETTINGS)
    for part, key in zip(found, (value, advantage), strict=True):
        best = key >= np.quantile(key, 0.75)
        assert part.n == best.sum()
        assert part.champion_value == pytest.approx(value[best].mean())
        assert part.lift == pytest.approx(_stream(rows).lift.value[best].mean())


def test_small_parts_say_nothing() -> None:
    world, rng = _world(1)
    few = draw(world, 80, rng).rows
    assert not strong_parts(few, _stream(few), settings=SETTINGS)  # about 20 rows, of fewer than 100 units
    assert not older_parts(few, _stream(few), settings=SETTINGS)
    three = draw(world, 3, rng).rows  # fewer rows than slices
    assert not older_parts(three, _stream(three), settings=SETTINGS)
