"""Small worlds of episodes whose policy values are linear solves, logs drawn from them, and observations that alias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.gate.episodes.episode_rows import GateEpisodes
from policies.ope.episodes import EpisodicTarget, LoggedEpisodes
from policies.ope.tabular import TabularModels, fit_models

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
MOST_STEPS = 400  # no drawn episode comes near


@dataclass(frozen=True)
class EpisodicWorld:
    """S states, K actions; `moves` (S, K, S) sums to at most 1, the rest ends the episode; rewards are Bernoulli, of
    every step, or `at_end` of an episode's last step alone."""

    start: Array  # (S,)
    moves: Array  # (S, K, S)
    reward: Array  # (S, K) chance of reward 1
    gamma: float
    observed: Codes  # (S,) what the policies and the estimators see of a state
    at_end: bool = False

    @property
    def n_states(self) -> int:
        return len(self.start)

    @property
    def n_observed(self) -> int:
        return int(self.observed.max()) + 1

    def value(self, policy: Array) -> float:
        """Exact value of a policy (observations, K): start . (I - gamma P_pi)^-1 r_pi."""
        pi = policy[self.observed]
        chain = np.einsum("sk,skt->st", pi, self.moves)
        return float(
            self.start @ np.linalg.solve(np.eye(self.n_states) - self.gamma * chain, (pi * self.reward).sum(1))
        )

    def log(self, policy: Array, n: int, rng: np.random.Generator) -> tuple[LoggedEpisodes, Codes]:
        """n episodes of `policy` (observations, K), and the observation of each step."""
        pi = policy[self.observed].cumsum(axis=1)
        after_of = self.moves.cumsum(axis=2)
        ending = np.maximum(1 - after_of[:, :, -1], 1e-12)
        state = np.searchsorted(self.start.cumsum(), rng.random(n)).clip(max=self.n_states - 1)
        alive, parts = np.arange(n), []
        for step in range(MOST_STEPS):
            action = (rng.random(len(alive))[:, None] > pi[state]).sum(axis=1).clip(max=pi.shape[1] - 1)
            drawn = rng.random(len(alive))
            pairs = zip(state, action, drawn, strict=True)
            after = np.array([np.searchsorted(after_of[s, a], u) for s, a, u in pairs])
            over = after >= self.n_states
            chance = self.reward[state, action]
            if self.at_end:
                chance = np.where(over, chance / ending[state, action], 0.0)
            reward = (rng.random(len(alive)) < chance).astype(float)
            parts.append((alive, np.full(len(alive), step), state, action, reward, over))
            alive, state = alive[~over], after[~over]
            if not len(alive):
                break
        episode, step_, states, actions, rewards, terminated = (np.concatenate(p) for p in zip(*parts, strict=True))
        order = np.lexsort((step_, episode))
        seen = self.observed[states[order]]
        logged = LoggedEpisodes(
            episode=episode[order],
            step=step_[order],
            action=actions[order],
            reward=rewards[order],
            propensity=policy[seen, actions[order]],
            terminated=terminated[order],
            truncated=np.zeros(len(order), np.bool_),
            gamma=self.gamma,
        )
        return logged, seen


def random_world(rng: np.random.Generator, *, n_states: int = 6, n_actions: int = 3, alias: int = 1) -> EpisodicWorld:
    """A world of about ten steps an episode; `alias` states look the same, and differ as much as any two."""
    moves = rng.dirichlet(np.full(n_states, 0.5), size=(n_states, n_actions)) * 0.9
    reward = rng.uniform(0.0, 0.5, (n_states, n_actions))
    return EpisodicWorld(rng.dirichlet(np.ones(n_states)), moves, reward, 1.0, np.arange(n_states) // alias)


def random_policy(rng: np.random.Generator, world: EpisodicWorld, *, floor: float = 0.3) -> Array:
    n_actions = world.reward.shape[1]
    drawn: Array = floor / n_actions + (1 - floor) * rng.dirichlet(np.ones(n_actions), size=world.n_observed)
    return drawn


def near(policy: Array, other: Array, *, bound: float) -> Array:
    """A policy towards `other` whose ratio to `policy` is at most `bound` at every action."""
    share = min(1.0, (bound - 1) / float((other / policy).max() - 1))
    mixed: Array = (1 - share) * policy + share * other
    return mixed


def modelled(
    world: EpisodicWorld, trained_on: tuple[LoggedEpisodes, Codes], logged: tuple[LoggedEpisodes, Codes], policy: Array
) -> EpisodicTarget:
    """The target `policy` along `logged`, with models fitted on other episodes."""
    models: TabularModels = fit_models(*trained_on, policy[trained_on[1]], n_states=world.n_observed)
    return models.along(logged[1], logged[0].action, policy[logged[1]])


def gate_episodes(
    world: EpisodicWorld,
    logged: tuple[LoggedEpisodes, Codes],
    trained_on: tuple[LoggedEpisodes, Codes],
    *,
    behavior: Array,
    champion: Array,
    challenger: Array,
    look: Codes | None = None,
) -> GateEpisodes:
    """Both policies along `logged`, with models fitted on `trained_on`; looks (m,), all 1 unless said."""
    m = logged[0].n_episodes
    return GateEpisodes(
        logged=logged[0],
        behavior=behavior[logged[1]],
        champion=modelled(world, trained_on, logged, champion),
        challenger=modelled(world, trained_on, logged, challenger),
        state=logged[1],
        look=np.ones(m, np.int64) if look is None else look,
        share=np.ones(m),
    )
