"""The stream of episodes that the gate judges: one observation is one episode, by DR-PDIS or by DRL.

value_i = [v1_0 + sum_t gamma^t W1_t (r_t + gamma v1_{t+1} - q1_t)] - the same of the champion, with W_t the product of
the steps' weights (dr_pdis) or ratio of visits x the step's weight (drl). Exactly 0 where the policies agree.

Moments that no heavy event has to have shown come from the policies, step by step along the logged path: with
M the weight before the step, d_a = M1 challenger_a - M0 champion_a and b the behavior policy,
E[dW^2 | path] = sum_a d_a^2 / b_a, summed over steps, and so for the fourth powers. The variance of the episode's value
is then about sum_t E[dW_t^2] E[residual^2], for the terms of one episode are uncorrelated.
Source: Jiang & Li 2016, theorem 1, for the variance; Thomas & Brunskill 2016.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.gate.episodes.episode_rows import GateEpisodes
from policies.gate.episodes.episode_settings import Route
from policies.gate.judging.differences import Differences, TwoSided
from policies.gate.judging.statistic import NEVER, PairedDifference
from policies.gate.records import Plan
from policies.ope import dr_pdis, drl
from policies.ope.episodes import EpisodicTarget, LoggedEpisodes, cumulative_weights, residuals, step_weights

LARGEST_CAP = 1e4  # of a weight that the betting branch can live with; above it, it does not bet


@dataclass(frozen=True, slots=True)
class Earlier:
    """What episodes before the window tell: fixed, so that no episode is judged by those that came after it."""

    champion_cap: float  # largest product of weights that an episode can have under the champion
    challenger_cap: float
    mean_steps: float  # of an episode


@dataclass(frozen=True, slots=True, repr=False)
class _Side:
    """One policy along the episodes: weights before (n, F) and with (n, F) each step, and its episodes' terms (m,)."""

    target: EpisodicTarget
    before: NDArray[np.float64]
    along: NDArray[np.float64]
    terms: NDArray[np.float64]
    products: NDArray[np.float64]  # (n,) cumulative weights, for the bets


def summarize(episodes: GateEpisodes, *, most_steps: int) -> Earlier:
    """Of episodes before the window: the largest weight that a single step could have, to the power of `most_steps`.

    A head bounded by c gives at most c. Caveat: gate episodes that exceed a cap silence the betting branch.
    """
    largest = [float(_step_caps(episodes.behavior, side.probabilities).max()) for side in _targets(episodes)]
    champion, challenger = (math.exp(min(most_steps * math.log(max(1.0, cap)), 690.0)) for cap in largest)
    return Earlier(champion, challenger, episodes.logged.n / episodes.logged.n_episodes)


def stream_of(episodes: GateEpisodes, *, route: Route, plan: Plan, earlier: Earlier) -> TwoSided:
    """Evidence for the challenger and for the champion, an observation an episode; `plan` holds the return's bounds.

    The betting branch bets on PDIS differences, whatever the route: of its `lowest`, with returns in [low, high] and
    rewards of one sign, -cap0 high + cap1 low. Rewards of both signs, or caps above 10,000, leave it without bets.
    """
    champion, challenger = (_side(episodes, target, route=route) for target in _targets(episodes))
    caps = (earlier.champion_cap, earlier.challenger_cap)
    return TwoSided(
        lift=_direction(episodes, champion, challenger, plan=plan, caps=caps, mean_steps=earlier.mean_steps),
        harm=_direction(episodes, challenger, champion, plan=plan, caps=caps[::-1], mean_steps=earlier.mean_steps),
    )


def plan_episodes(
    episodes: GateEpisodes,
    *,
    route: Route,
    n_planned: int,
    return_bounds: tuple[float, float],
    weight_maximum: float = 1.0,
    cluster_size: int = 1,
) -> Plan:
    """Scale of the bets, from episodes before the window; `n_planned` episodes over all looks.

    sigma^2 = mean(spread) mean(residual^2) + Var(direct), as the policies imply it. A wrong one costs power only.
    """
    low, high = return_bounds
    earlier = Earlier(np.inf, np.inf, episodes.logged.n / episodes.logged.n_episodes)
    unit = Plan(n_planned, 1.0, low, high, weight_maximum, cluster_size)
    lift = stream_of(episodes, route=route, plan=unit, earlier=earlier).lift
    sigma_squared = float(lift.spread.mean() * lift.residual_squared.mean() + lift.direct.var())
    least = 1e-12 * (high - low) ** 2
    return Plan(n_planned, max(sigma_squared, least), low, high, weight_maximum, cluster_size)


def largest_path_weights(episodes: GateEpisodes) -> NDArray[np.float64]:
    """(m,) the largest weight that any actions along each logged path could have given, under either policy."""
    caps = np.stack([_step_caps(episodes.behavior, side.probabilities) for side in _targets(episodes)])
    logs = np.log(np.maximum(caps, 1.0))
    largest = np.stack([episodes.logged.total(one) for one in logs]).max(axis=0)
    result: NDArray[np.float64] = np.exp(np.minimum(largest, 690.0))
    return result


def _targets(episodes: GateEpisodes) -> tuple[EpisodicTarget, EpisodicTarget]:
    return episodes.champion, episodes.challenger


def _step_caps(behavior: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) max_a target_a / behavior_a over the actions that the behavior policy takes."""
    ratio = np.divide(target, behavior, out=np.zeros_like(target), where=behavior >= NEVER)
    caps: NDArray[np.float64] = ratio.max(axis=1)
    return caps


def _side(episodes: GateEpisodes, target: EpisodicTarget, *, route: Route) -> _Side:
    logged = episodes.logged
    rho = step_weights(logged, target)
    products = cumulative_weights(logged, rho)
    if route == "drl":
        along = target.ratio * rho[:, None]
        return _Side(target, target.ratio, along, drl.terms(logged, target, along), products)
    before = np.append(1.0, products[:-1])
    before[logged.first] = 1.0
    terms = dr_pdis.terms(logged, target, products)
    return _Side(target, before[:, None], products[:, None], terms, products)


def _direction(
    episodes: GateEpisodes,
    worse: _Side,
    better: _Side,
    *,
    plan: Plan,
    caps: tuple[float, float],
    mean_steps: float,
) -> Differences:
    """The stream of value(better) - value(worse); `caps` of the weights in that order: worse, better."""
    logged = episodes.logged
    value = better.terms - worse.terms
    direct = (better.target.v - worse.target.v)[logged.first].mean(axis=1)
    moments = _moments(episodes, worse, better)
    residual = (residuals(logged, worse.target) ** 2).mean(axis=1)
    return Differences(
        value=value,
        direct=direct,
        bets=_bets(logged, worse, better, plan=plan, caps=caps),
        reward=logged.returns,
        residual_squared=logged.total(residual) / mean_steps,
        unit=logged.unit,
        look=episodes.look,
        share=episodes.share,
        count=np.ones(logged.n_episodes),
        **moments,
    )


def _moments(episodes: GateEpisodes, worse: _Side, better: _Side) -> dict[str, NDArray[np.float64]]:
    """spread, change, fourth_down, fourth_up (m,): sums over the steps of what the policies imply at each.

    `change` is divided by the root of the number of steps, so that change^2 <= spread as for a single decision.
    """
    logged, behavior = episodes.logged, episodes.behavior
    discount = logged.discount[:, None]
    before = [discount * side.before.mean(axis=1, keepdims=True) for side in (worse, better)]
    d = before[1] * better.target.probabilities - before[0] * worse.target.probabilities
    weight = np.divide(d, behavior, out=np.zeros_like(d), where=behavior >= NEVER)
    third = np.abs(d) * weight**2
    return {
        "spread": logged.total(np.einsum("ij,ij->i", d, weight)),
        "change": logged.total(np.abs(d).sum(axis=1)) / np.sqrt(logged.total(np.ones(logged.n))),
        "fourth_down": logged.total(np.einsum("ij,ij->i", third, np.maximum(-weight, 0))),
        "fourth_up": logged.total(np.einsum("ij,ij->i", third, np.maximum(weight, 0))),
    }


def _bets(
    logged: LoggedEpisodes, worse: _Side, better: _Side, *, plan: Plan, caps: tuple[float, float]
) -> tuple[PairedDifference, ...]:
    """PDIS difference with its least possible value; nothing to bet on where none is known."""
    low, high = plan.reward_minimum, plan.reward_maximum
    one_sign = low >= 0 or high <= 0
    exceeded = any(float(s.products.max()) > cap * (1 + 1e-9) for s, cap in zip((worse, better), caps, strict=True))
    if max(caps) > LARGEST_CAP or exceeded or not one_sign:
        return ()
    earned = logged.discount * logged.reward
    value = logged.total((better.products - worse.products) * earned)
    lowest = caps[1] * min(low, 0.0) - caps[0] * max(high, 0.0)
    least_mean = np.full(logged.n_episodes, low - high)
    return (PairedDifference(value=value, lowest=np.full_like(value, lowest), worst_mean=least_mean),)
