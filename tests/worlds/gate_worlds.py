"""Discrete worlds with exactly known policy values, and their logs as counts, for rates over thousands of decisions.

A world has X context cells and K actions; a log is the number of times that (logger, cell, action, outcome) was seen
at each look, drawn multinomially. 1M rows x 50 looks then are some ten thousand counts, which go through the
production functions by `Differences.count`. All worlds are drawn from a generator; none is kept for its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Rewards = Literal["binary", "negative", "revenue", "conversion"]
Logs = Literal["own", "older", "alternating"]

N_CELLS: Final = 20
LEAST_CHANCE: Final = 0.001  # of any outcome that can happen


@dataclass(frozen=True, slots=True)
class World:
    """X cells, K actions, R outcomes, V loggers, J looks; every mean is exact."""

    share: Array  # (X,) of the traffic
    outcomes: Array  # (R,) reward of each outcome
    chances: Array  # (X, K, R)
    champion: Array  # (X, K)
    challenger: Array  # (X, K)
    loggers: Array  # (V, X, K)
    schedule: Array  # (J, V) share of a look's rows that each logger drew
    n_rows: int  # of all looks together

    @property
    def means(self) -> Array:
        means: Array = self.chances @ self.outcomes
        return means

    @property
    def champion_value(self) -> float:
        return float(self.share @ (self.champion * self.means).sum(axis=1))

    @property
    def lift(self) -> float:
        return float(self.share @ ((self.challenger - self.champion) * self.means).sum(axis=1))

    @property
    def n_looks(self) -> int:
        return len(self.schedule)

    def oracle_error(self) -> float:
        """Standard error of the IPS difference at all rows, by the exact second moment."""
        return self._error(self.chances @ self.outcomes**2, -(self.lift**2))

    def efficient_error(self) -> float:
        """The same of the DR difference with the true reward model: no regular estimator does better."""
        by_cell = ((self.challenger - self.champion) * self.means).sum(axis=1)
        return self._error(self.chances @ self.outcomes**2 - self.means**2, self.share @ by_cell**2 - self.lift**2)

    def _error(self, moment: Array, rest: float) -> float:
        squared = ((self.challenger - self.champion) ** 2 / self.loggers * moment).sum(axis=2) @ self.share  # (V,)
        return float(np.sqrt((self.schedule.mean(axis=0) @ squared + rest) / self.n_rows))


def head(choice: NDArray[np.int64], n_actions: int, exploration: float) -> Array:
    """(X, K) takes `choice`, and any action with chance `exploration`."""
    return np.eye(n_actions)[choice] * (1 - exploration) + exploration / n_actions


def draw_counts(world: World, rng: np.random.Generator) -> Counts:
    """(J, V, X, K, R) how often each look holds each row; looks of equal size."""
    rows = world.loggers[..., None] * (world.share[:, None, None] * world.chances)  # (V, X, K, R), sums to 1 for each V
    size, shape = world.n_rows // world.n_looks, rows.shape
    looks = [rng.multinomial(size, (mix[:, None, None, None] * rows).ravel()) for mix in world.schedule]
    return np.stack(looks).reshape(world.n_looks, *shape)


# Random worlds: statistics of fresh random environments, never of chosen ones.


def random_world(rng: np.random.Generator, *, relative_lift: float, n_looks: int = 50) -> World:
    """K 3-30, exploration .02-.3, base rate .01-.4, four kinds of reward, three kinds of log, 10k-1M rows."""
    rewards: Rewards = rng.choice(np.array(["binary", "negative", "revenue", "conversion"]))
    kind: Logs = rng.choice(np.array(["own", "older", "alternating"]))
    largest_base = {"conversion": 0.05, "revenue": 0.1}.get(rewards, 0.4)

    def draw() -> World | None:
        exploration = _log_uniform(rng, 0.02, 0.3)
        return make_world(
            rng,
            n_actions=int(rng.integers(3, 31)),
            exploration=exploration,
            base=_log_uniform(rng, 0.01, largest_base),
            rewards=rewards,
            kind=kind,
            older_share=rng.uniform(0.4, 0.9),
            n_rows=int(_log_uniform(rng, 1e4, 1e6)),
            relative_lift=relative_lift,
            n_looks=n_looks,
            challenger_exploration=exploration * rng.choice([0.5, 1.0]),
        )

    return _until_possible(draw)


def own_log_world(rng: np.random.Generator, *, relative_lift: float = 0.0, n_looks: int = 50) -> World:
    """The champion logged: right-skewed weights, 3 % conversions or rewards near .4."""
    return _designed(
        rng, "conversion" if rng.random() < 0.5 else "binary", "own", relative_lift=relative_lift, n_looks=n_looks
    )


def older_log_world(rng: np.random.Generator, *, relative_lift: float = 0.0, n_looks: int = 50) -> World:
    """80 % logged by an older policy that the challenger resembles: the champion's weights are the heavy ones."""
    return _designed(rng, "binary", "older", relative_lift=relative_lift, n_looks=n_looks, resemblance=1.0)


def negative_world(rng: np.random.Generator, *, relative_lift: float = 0.0, n_looks: int = 50) -> World:
    """A reward of -1 ... -5 in .1-.8 % of rows, more often for what the challenger does."""
    return _designed(rng, "negative", "own", relative_lift=relative_lift, n_looks=n_looks)


FAMILIES: Final[dict[str, Callable[..., World]]] = {
    "own log": own_log_world,
    "older log": older_log_world,
    "rare negative": negative_world,
}


def conversion_world(
    rng: np.random.Generator, *, n_rows: int, relative_lift: float, changed_share: float = 0.4, n_looks: int = 50
) -> World:
    """3 % conversion, 5 actions, exploration .2, own log; with 1M rows and +5 %, lift / standard error is about 3.2."""
    return _until_possible(
        lambda: make_world(
            rng,
            n_actions=5,
            exploration=0.2,
            base=0.03,
            rewards="conversion",
            kind="own",
            n_rows=n_rows,
            relative_lift=relative_lift,
            changed_share=changed_share,
            n_looks=n_looks,
        )
    )


def _designed(
    rng: np.random.Generator,
    rewards: Rewards,
    kind: Logs,
    *,
    relative_lift: float,
    n_looks: int,
    resemblance: float = 0.5,
) -> World:
    base = {"conversion": 0.03, "negative": 0.05}.get(rewards, float(rng.choice([0.05, 0.4])))
    return _until_possible(
        lambda: make_world(
            rng,
            n_actions=int(rng.choice([5, 10, 20])),
            exploration=float(rng.choice([0.05, 0.1, 0.2])),
            base=base,
            rewards=rewards,
            kind=kind,
            older_share=0.8,
            resemblance=resemblance,
            n_rows=int(_log_uniform(rng, 3e4, 1e6)),
            relative_lift=relative_lift,
            n_looks=n_looks,
        )
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _until_possible(draw: Callable[[], World | None]) -> World:
    """Redraws where the wanted lift would need a chance outside (0, 1)."""
    while (world := draw()) is None:
        pass
    return world


def make_world(
    rng: np.random.Generator,
    *,
    n_actions: int,
    exploration: float,
    base: float,
    rewards: Rewards,
    kind: Logs,
    n_rows: int,
    relative_lift: float,
    n_looks: int = 50,
    older_share: float = 0.8,
    resemblance: float = 0.5,
    challenger_exploration: float | None = None,
    n_cells: int = N_CELLS,
    changed_share: float = 0.3,
) -> World | None:
    """The challenger changes `changed_share` of the cells and is worth exactly 1 + relative_lift champions.

    The older policy has the challenger's choice in `resemblance` of the cells that the challenger changes. None
    where the drawn means cannot be shifted to that lift.
    """
    share = rng.dirichlet(np.full(n_cells, 5.0))
    usual = rng.integers(n_actions, size=n_cells)
    changed = np.isin(
        np.arange(n_cells), rng.choice(n_cells, size=max(1, round(changed_share * n_cells)), replace=False)
    )
    new = np.where(changed, (usual + rng.integers(1, n_actions, size=n_cells)) % n_actions, usual)
    champion = head(usual, n_actions, exploration)
    challenger = head(new, n_actions, exploration if challenger_exploration is None else challenger_exploration)
    older = head(np.where(rng.random(n_cells) < resemblance, new, usual), n_actions, exploration)
    draft = World(
        share=share,
        outcomes=np.array([0.0, 1.0]),
        chances=np.empty(0),
        champion=champion,
        challenger=challenger,
        loggers=champion[None] if kind == "own" else np.stack([older, champion]),
        schedule=_schedule(kind, n_looks, older_share),
        n_rows=n_rows,
    )
    means = base * np.exp(rng.normal(0, 0.3, (n_cells, n_actions)))
    means[changed, new[changed]] = means[changed, usual[changed]] * (1 + rng.normal(0, 0.2, int(changed.sum())))
    return _with_rewards(draft, _shifted(draft, means, (changed, new), relative_lift), rewards, new, rng)


def _schedule(kind: Logs, n_looks: int, older_share: float) -> Array:
    if kind == "own":
        return np.ones((n_looks, 1))
    look = np.arange(n_looks)
    older = look < older_share * n_looks if kind == "older" else look % 2 == 0
    return np.stack([older, ~older], axis=1).astype(np.float64)


def _shifted(world: World, means: Array, where: tuple[NDArray[np.bool_], NDArray[np.int64]], relative: float) -> Array:
    """Adds one number to the means of what the challenger does anew, so that its lift is exactly as wanted."""
    changed, new = where
    step = np.zeros_like(means)
    step[changed, new[changed]] = 1.0

    def weigh(policy: Array, of: Array) -> float:
        return float(world.share @ (policy * of).sum(axis=1))

    d, c = world.challenger - world.champion, world.champion
    shift = (relative * weigh(c, means) - weigh(d, means)) / (weigh(d, step) - relative * weigh(c, step))
    return means + shift * step


def _with_rewards(
    world: World, means: Array, rewards: Rewards, new: NDArray[np.int64], rng: np.random.Generator
) -> World | None:
    """Outcomes and their chances with exactly these means; None where a chance would leave (0, 1)."""
    if rewards == "negative":
        loss = float(rng.choice([1.0, 2.0, 5.0]))
        bad = rng.uniform(0.003, 0.008, means.shape) / loss
        bad[np.arange(len(new)), new] *= rng.uniform(1, 2)
        chances, outcomes = [bad, 1 - means - bad * (1 + loss), means + loss * bad], [-loss, 0.0, 1.0]
    elif rewards == "revenue":
        high = rng.uniform(0.05, 0.3)  # of the buyers; they pay 1, the others .2
        buys = means / (0.2 + 0.8 * high)
        chances, outcomes = [1 - buys, buys * (1 - high), buys * high], [0.0, 0.2, 1.0]
    else:
        chances, outcomes = [1 - means, means], [0.0, 1.0]
    stacked = np.stack(chances, axis=2)
    if stacked.min() < LEAST_CHANCE / 5:
        return None
    return replace(world, chances=stacked, outcomes=np.array(outcomes))
