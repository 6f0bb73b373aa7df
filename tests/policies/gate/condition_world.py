"""Random worlds whose policy values are exact, for the conditions beside the average: honest ones, to plant defects in.

20 contexts, K actions; the log is the champion's own (with exploration), or half of it an older policy's. An honest
challenger takes probability from what the champion does to what is truly better, in most contexts, so that its value
is higher by a given share. Five seeds of it do the same to different degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.gate.records import GateRows

Floats = NDArray[np.float64]
N_CONTEXTS, N_SEEDS = 20, 5
REWARDS = ("binary", "revenue", "rare_loss")


@dataclass(frozen=True, slots=True)
class World:
    """Exact means and policies by context (20, K); context frequencies are equal."""

    means: Floats
    champion: Floats
    older: Floats  # the policy that wrote the first half of the log, or the champion again
    challenger: Floats
    seeds: tuple[Floats, ...]  # the other seeds
    model: Floats  # the reward model: shrunk and noisy
    reward: str

    def value(self, policy: Floats) -> float:
        return float((policy * self.means).sum(axis=1).mean())

    @property
    def lift(self) -> float:
        return self.value(self.challenger) - self.value(self.champion)


def honest_world(
    rng: np.random.Generator, *, lift: float | None = None, base: float | None = None, seed_spread: float = 0.3
) -> World:
    """A world whose challenger is truly better, by 5-20 % of the champion's value or by `lift` (relative).

    `base` is about the mean reward (None: .03, .1 or .3).
    Each other seed has a true lift of 1 +- `seed_spread` (one standard deviation, at least .1) times the challenger's.
    """
    n_actions = int(rng.integers(3, 11))
    base = float(rng.choice([0.03, 0.1, 0.3])) if base is None else base
    means = np.clip(base * (1 + 0.4 * rng.normal(size=(N_CONTEXTS, n_actions))), 0.2 * base, 0.95)
    exploration = float(rng.uniform(0.05, 0.3))
    champion = _greedy(means + base * 0.8 * rng.normal(size=means.shape), exploration)
    older = _greedy(means + base * rng.normal(size=means.shape), exploration) if rng.random() < 0.4 else champion
    best = _greedy(means, exploration)
    gain = float(((best - champion) * means).sum(axis=1).mean())
    wanted = (rng.uniform(0.05, 0.2) if lift is None else lift) * float((champion * means).sum(axis=1).mean())
    mix = min(1.0, wanted / gain) if gain > 0 else 0.0
    factors = np.clip(rng.normal(1.0, seed_spread, N_SEEDS - 1), 0.1, 1 / max(mix, 1e-9))
    return World(
        means=means,
        champion=champion,
        older=older,
        challenger=champion + mix * (best - champion),
        seeds=tuple(champion + f * mix * (best - champion) for f in factors),
        model=base + 0.6 * (means - base) + 0.1 * base * rng.normal(size=means.shape),
        reward=str(rng.choice(REWARDS)),
    )


def _greedy(scores: Floats, exploration: float) -> Floats:
    k = scores.shape[1]
    greedy: Floats = np.full(scores.shape, exploration / k)
    greedy[np.arange(len(scores)), scores.argmax(axis=1)] += 1 - exploration
    return greedy


def worse_policy(world: World) -> Floats:
    """(20, K) probabilities of a policy whose value is as far below the champion's as the challenger's is above."""
    worst = _greedy(-world.means, 0.1)
    loss = world.value(world.champion) - world.value(worst)
    return world.champion + min(1.0, world.lift / loss) * (worst - world.champion)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A log of a world in the gate's form, and what the conditions read beside it."""

    rows: GateRows
    unit: NDArray[np.int64]
    look: NDArray[np.int64]
    context: NDArray[np.int64]
    seeds: tuple[Floats, ...]  # (n, K) each


def draw(world: World, n: int, rng: np.random.Generator) -> Drawn:
    """n rows of n / 2 units in 5 looks."""
    context = rng.integers(N_CONTEXTS, size=n)
    behavior = np.where(np.arange(n)[:, None] < n // 2, world.older[context], world.champion[context])
    action = (behavior.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=behavior.shape[1] - 1)
    unit = rng.permutation(n) // 2
    rows = GateRows(
        interaction_id=np.array([], np.str_),
        unit_id=np.char.add("u", unit.astype(np.str_)),
        policy_version=np.where(np.arange(n) < n // 2, "1", "2"),
        action=action,
        reward=_rewards(world, world.means[context, action], rng),
        propensity=behavior[np.arange(n), action],
        behavior=behavior,
        champion=world.champion[context],
        challenger=world.challenger[context],
        reward_model=world.model[context],
    )
    seeds = tuple(seed[context] for seed in world.seeds)
    return Drawn(rows, unit, 1 + np.arange(n) * 5 // n, context, seeds)


def _rewards(world: World, mean: Floats, rng: np.random.Generator) -> Floats:
    """Of exactly that mean: 0 or 1; a lognormal revenue of some; 0 or 1 with a rare loss that all actions share."""
    happened = (rng.random(len(mean)) < mean).astype(np.float64)
    if world.reward == "revenue":
        return happened * np.minimum(rng.lognormal(-0.125, 0.5, len(mean)), 8.0)
    if world.reward == "rare_loss":
        return happened - (rng.random(len(mean)) < 0.002)
    return happened
