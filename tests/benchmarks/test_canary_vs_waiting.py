"""Waiting against a canary: rows until the hybrid judge proves +10 % in four of five cases, forecast and simulated.

K = 20 actions, exploration .05, 3 % conversion, another action on 30 % of the traffic, nothing carries over. Logs are
compressed to counts of (context, action, reward), so that millions of rows cost as much as hundreds.
Run with `pytest -m benchmark -s tests/benchmarks/test_canary_vs_waiting.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

from policies.gate.judging.betting import first_stake
from policies.gate.judging.differences import Differences, one_step
from policies.gate.judging.judge import judge, split_alpha
from policies.gate.outlook.hold_plan import HoldPlan, plan_hold
from policies.gate.outlook.power import PerRow, moments_of, noise_of, reward_moments, rows_until
from policies.gate.records import GateRows, Plan

N_CELLS, N_ACTIONS, EXPLORATION, CONVERSION, LIFT = 20, 20, 0.05, 0.03, 0.1
N_CHANGED, N_LOOKS, N_LOGGED, N_REPETITIONS = 6, 10, 200_000, 300
SHARES: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
ALPHA = split_alpha(0.05)
SEED = int(os.environ.get("SLUICE_WORLD_SEED") or np.random.SeedSequence().generate_state(1)[0])
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Rewards are 0 or 1; contexts are equally frequent."""

    mean: Floats  # (C, K)
    champion: Floats  # (C, K)
    challenger: Floats  # (C, K)

    def value(self, policy: Floats) -> float:
        return float((policy * self.mean).sum(axis=1).mean())

    @property
    def lift(self) -> float:
        return self.value(self.challenger) - self.value(self.champion)

    def logging(self, share: float) -> Floats:
        return (1 - share) * self.champion + share * self.challenger


def _head(choice: NDArray[np.int64], n_actions: int) -> Floats:
    return np.eye(n_actions)[choice] * (1 - EXPLORATION) + EXPLORATION / n_actions


def large_world(rng: np.random.Generator) -> World:
    """The champion's action converts at 3 %; on the changed contexts the challenger's does better, for +10 % in all."""
    mean = CONVERSION * rng.uniform(0.7, 1.3, (N_CELLS, N_ACTIONS))
    before = rng.integers(N_ACTIONS, size=N_CELLS)
    after = before.copy()
    after[:N_CHANGED] = (before[:N_CHANGED] + 1 + rng.integers(N_ACTIONS - 1, size=N_CHANGED)) % N_ACTIONS
    cells = np.arange(N_CELLS)
    mean[cells, before] = CONVERSION
    champion, challenger = _head(before, N_ACTIONS), _head(after, N_ACTIONS)
    gain = LIFT * CONVERSION * N_CELLS / (N_CHANGED * (1 - EXPLORATION))
    mean[cells[:N_CHANGED], after[:N_CHANGED]] = CONVERSION + gain
    return World(mean, champion, challenger)


def arms_world(world: World) -> World:
    """A canary by unit: which arm a unit is in is the action, the arms' values are its means."""
    values = np.array([[world.value(world.champion), world.value(world.challenger)]])
    return World(values, np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))


def distinct_rows(world: World, logging: Floats) -> tuple[GateRows, Floats]:
    """Every (context, action, reward) once, and its probability."""
    n_cells, n_actions = world.mean.shape
    cell, action, reward = (a.ravel() for a in np.indices((n_cells, n_actions, 2)))
    mean = world.mean[cell, action]
    probability = logging[cell, action] / n_cells * np.where(reward, mean, 1 - mean)
    return _rows(world, logging, cell, action, reward.astype(np.float64)), probability


def _rows(
    world: World, logging: Floats, cell: NDArray[np.int64], action: NDArray[np.int64], reward: Floats
) -> GateRows:
    ids = np.arange(len(cell)).astype(np.str_)
    return GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=np.full(len(cell), "1"),
        action=action,
        reward=reward,
        propensity=logging[cell, action],
        behavior=logging[cell],
        champion=world.champion[cell],
        challenger=world.challenger[cell],
        reward_model=np.full((len(cell), world.mean.shape[1]), world.value(world.champion)),
    )


def draw(world: World, n: int, rng: np.random.Generator) -> GateRows:
    """n rows as the champion logs them."""
    cell = rng.integers(N_CELLS, size=n)
    cumulative = world.champion.cumsum(axis=1)[cell]
    action = (rng.random(n)[:, None] > cumulative).sum(axis=1).clip(max=N_ACTIONS - 1)
    return _rows(world, world.champion, cell, action, (rng.random(n) < world.mean[cell, action]) * 1.0)


def power(world: World, share: float, n: int, rng: np.random.Generator, *, n_repetitions: int) -> float:
    """Share of the repetitions in which the production judge proves the lift at one of ten looks at n rows."""
    logging = world.logging(share)
    rows, probability = distinct_rows(world, logging)
    exact = float(((world.challenger - world.champion) ** 2 / logging).sum(axis=1).mean()) * CONVERSION
    plan = Plan(n_planned=n, sigma_squared=exact, reward_minimum=0.0, reward_maximum=1.0)
    stake = first_stake(plan, threshold=ALPHA.threshold)
    once = one_step(rows, look=np.ones(rows.n, np.int64), plan=plan, first_stake=stake).lift
    everywhere = np.tile(np.arange(rows.n), N_LOOKS)
    stream = replace(
        once.select(everywhere),  # type: ignore[arg-type]  # indices serve as well as a mask
        look=np.repeat(np.arange(1, N_LOOKS + 1), rows.n),
        unit=np.arange(len(everywhere)),
    )
    fractions = tuple((look + 1) / N_LOOKS for look in range(N_LOOKS))
    counts = rng.multinomial(n // N_LOOKS, probability, size=(n_repetitions, N_LOOKS)).reshape(n_repetitions, -1)
    return float(np.mean([_proven(stream, count, plan, fractions) for count in counts]))


def _proven(stream: Differences, count: NDArray[np.int64], plan: Plan, fractions: tuple[float, ...]) -> bool:
    met = count > 0
    seen = replace(stream.select(met), unit=np.arange(int(met.sum())), count=count[met].astype(np.float64))
    return judge(seen, plan=plan, alpha=ALPHA, fractions=fractions).proven


def rows_for_80_percent(ns: list[float], powers: list[float]) -> float:
    """Where power passes .8: its normal quantile is linear in sqrt(n)."""
    slope, start = np.polyfit(np.sqrt(ns), ndtri(np.clip(powers, 0.01, 0.995)), 1)
    return float(((ndtri(0.8) - start) / slope) ** 2)


def _forecasts(world: World, logged: GateRows) -> tuple[dict[float, int], dict[float, int], HoldPlan]:
    """What is planned after 200,000 rows of the champion's log: rows from scratch by row and by unit, and the plan."""
    plan = Plan(n_planned=N_LOGGED, sigma_squared=3.0, reward_minimum=0.0, reward_maximum=1.0)
    stream = one_step(logged, look=np.ones(logged.n, np.int64), plan=plan, first_stake=0.01).lift
    rewards, lift = reward_moments(stream), LIFT * float(logged.reward.mean())

    def rows(moments: PerRow) -> int:
        needed = rows_until(moments, rewards, lift=lift, alpha=ALPHA, n_looks=N_LOOKS).rows
        assert needed is not None
        return needed

    mixed = {s: (1 - s) * logged.champion + s * logged.challenger for s in SHARES}
    noise = noise_of(stream, plan=plan)
    by_row = {s: rows(moments_of(logged, logging, noise=noise)) for s, logging in mixed.items()}
    held = plan_hold(
        logged,
        stream,
        plan=plan,
        alpha=ALPHA,
        n_looks=N_LOOKS,
        minimum_lift=LIFT,
        champion_value=float(logged.reward.mean()),
        estimate=lift / 2,
        lower=-lift,
        rows_per_day=50_000.0,
        rows_left=300_000,
        no_carry_over=True,
    )
    by_unit = {o.share: o.rows for o in held.options if o.kind == "canary_by_unit" and o.rows is not None}
    return by_row, by_unit, held


def _closed_form(world: World, share: float, *, t: float) -> float:
    """Rows at which lift / standard error is t, from the world's own numbers."""
    logging = world.logging(share)
    noise = world.mean * (1 - world.mean)
    variance = float(((world.challenger - world.champion) ** 2 / logging * noise).sum(axis=1).mean())
    return t**2 * variance / world.lift**2


def test_a_canary_needs_what_was_forecast() -> None:
    """The short version: a tenth of the rows decided by the challenger, and waiting."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    world = large_world(rng)
    by_row, _, _ = _forecasts(world, draw(world, 50_000, rng))
    assert by_row[0.0] > 20 * by_row[0.1]
    for share in (0.0, 0.1):
        low, high = (power(world, share, int(by_row[share] * f), rng, n_repetitions=80) for f in (1 / 2, 2))
        assert low < 0.75, share
        assert high > 0.8, share


@pytest.mark.benchmark
def test_rows_for_80_percent_power_by_canary_share(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(SEED)
    world = large_world(rng)
    by_row, by_unit, held = _forecasts(world, draw(world, N_LOGGED, rng))
    lines = [
        f"seed {SEED}; +10 % ({world.lift:.5f}) at {world.value(world.champion):.4f} per interaction; "
        f"power after 1M rows as logged {power(world, 0.0, 10**6, rng, n_repetitions=N_REPETITIONS):.0%}",
        "canary    closed form t = 3.1   forecast for 80 %   power at 2/3, 1, 3/2   simulated   forecast/simulated",
    ]
    ratios = []
    cases = [("rows", world, s, by_row[s], _closed_form(world, s, t=3.1)) for s in SHARES]
    arms = arms_world(world)
    cases += [("units", arms, s, by_unit[s], _closed_form(arms, s, t=3.1)) for s in SHARES[1:]]
    for kind, logged, share, forecast, closed in cases:
        ns = [forecast / 1.5, float(forecast), forecast * 1.5]
        found = [power(logged, share, int(n), rng, n_repetitions=N_REPETITIONS) for n in ns]
        simulated = rows_for_80_percent(ns, found)
        ratios.append(forecast / simulated)
        lines.append(
            f"{share:4.0%} {kind:<5} {closed:18,.0f} {forecast:19,.0f}        {found[0]:.0%}  {found[1]:.0%}  "
            f"{found[2]:.0%} {simulated:19,.0f} {forecast / simulated:14.2f}"
        )
    with capsys.disabled():
        print("\n" + "\n".join([*lines, held.settles]))
    assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios)
    assert _closed_form(world, 0.0, t=3.1) > 20 * _closed_form(world, 0.1, t=3.1)
