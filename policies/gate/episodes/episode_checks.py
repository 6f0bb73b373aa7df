"""What must hold before a stream of episodes may promote, and the evidence that goes with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.conditions import Condition
from policies.gate.episodes.episode_rows import GateEpisodes
from policies.gate.episodes.episode_settings import EpisodeSettings
from policies.gate.episodes.episodes import largest_path_weights
from policies.gate.judging.differences import TwoSided
from policies.gate.judging.planned_branch import LEAST_LOWER_TAIL, moments_at_looks
from policies.ope import dr_pdis, drl, fqe, markov, pdis, wpdis
from policies.ope.diagnostics import effective_sample_size
from policies.ope.episodes import EpisodicTarget, LoggedEpisodes, cumulative_weights, residuals, step_weights
from policies.ope.estimates import NORMAL_95, clustered_standard_error
from policies.ope.markov import MarkovCheck
from policies.ope.records import Evaluation

ESTIMATORS: Final[dict[str, Callable[[LoggedEpisodes, EpisodicTarget], Evaluation]]] = {
    "pdis": pdis.evaluate,
    "wpdis": wpdis.evaluate,
    "dr_pdis": dr_pdis.evaluate,
    "drl": drl.evaluate,
    "fqe": fqe.evaluate,
}


@dataclass(frozen=True, slots=True)
class EpisodicEstimate:
    """One estimator's answer; two-sided 95 % normal interval clustered by unit, for reports only."""

    estimator: str
    policy: str  # champion, challenger or difference
    value: float
    lower: float
    upper: float
    standard_error: float
    effective_sample_size: float  # of the episodes' weights; of all episodes for fqe
    n: int  # episodes
    n_units: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """DRL - DR-PDIS of the paired difference, both corrected over the first `horizon` steps alone."""

    difference: float
    standard_error: float
    horizon: int

    @property
    def in_errors(self) -> float:
        return abs(self.difference) / self.standard_error if self.standard_error > 0 else 0.0


@dataclass(frozen=True, slots=True)
class EpisodesJudged:
    """Conditions of a promotion, and the JSON-ready dictionary for `evidence.episodes`."""

    conditions: tuple[Condition, ...]
    evidence: dict[str, Any]


def check_episodes(
    episodes: GateEpisodes, stream: TwoSided, *, settings: EpisodeSettings, return_bounds: tuple[float, float]
) -> EpisodesJudged:
    """Everything beside the average that an episodic verdict rests on; pure.

    On both routes: no episode longer than declared, returns inside their bounds, lower-tail effective size >= 30. On
    `dr_pdis`: terminal effective sample size >= 50, and no path whose weights could exceed 100. On `drl`: the Markov
    check passes, and DRL agrees with DR-PDIS. FQE is shown and decides nothing.
    """
    logged = episodes.logged
    weights = [cumulative_weights(logged, step_weights(logged, t)) for t in (episodes.champion, episodes.challenger)]
    size = min(effective_sample_size(w[logged.last], np.arange(logged.n_episodes)) for w in weights)
    largest = float(largest_path_weights(episodes).max())
    tail = moments_at_looks(stream.lift)[-1].lower_tail
    check = markov.check(
        logged,
        episodes.state,
        value=episodes.challenger.v.mean(axis=1),
        ratio=episodes.challenger.ratio.mean(axis=1),
    )
    agreed = agreement(episodes, largest_weight=settings.largest_weight)
    common = (
        _length(logged, settings),
        _returns(logged, return_bounds),
        _condition("lower_tail", tail, LEAST_LOWER_TAIL, _TAIL, least=True),
    )
    by_route = (
        (_markov(check, settings), _condition("agreement", agreed.in_errors, settings.most_disagreement, _AGREEMENT))
        if settings.route == "drl"
        else (
            _condition("terminal_size", size, settings.least_terminal_size, _TERMINAL, least=True),
            _condition("path_weight", largest, settings.largest_weight, _PATH),
        )
    )
    evidence = {
        "route": settings.route,
        "gamma": settings.gamma,
        "n_episodes": logged.n_episodes,
        "n_steps": logged.n,
        "longest": int(logged.step.max()) + 1,
        "terminal_size": size,
        "largest_path_weight": largest,
        "largest_weight_seen": max(float(w.max()) for w in weights),
        "lower_tail": tail if math.isfinite(tail) else None,
        "markov": asdict(check),
        "agreement": asdict(agreed),
    }
    return EpisodesJudged(conditions=(*common, *by_route), evidence=evidence)


def estimate_episodes(episodes: GateEpisodes) -> tuple[EpisodicEstimate, ...]:
    """Every episodic estimator of champion, challenger and their paired difference; none but the route's decides."""
    found = []
    for name, evaluate in ESTIMATORS.items():
        low, high = evaluate(episodes.logged, episodes.champion), evaluate(episodes.logged, episodes.challenger)
        parts = {"champion": low, "challenger": high, "difference": high - low}
        found += [_estimate(name, policy, part, episodes.logged) for policy, part in parts.items()]
    return tuple(found)


def agreement(episodes: GateEpisodes, *, largest_weight: float) -> Agreement:
    """Does a trajectory's own weight tell the same as the marginalized one, where the former can be trusted?

    Difference of both streams with corrections of the first H steps alone (the model speaks for the rest in both);
    H is the longest horizon with c^H <= `largest_weight` for the largest step weight c along the episodes. Under a
    Markov state and true ratios or values its mean is 0. Source: statistics of the gate, section 4.5.
    """
    logged = episodes.logged
    longest = int(logged.step.max()) + 1
    per_step = float((largest_path_weights(_as_steps(episodes))).max())
    horizon = longest if per_step <= 1 else min(longest, max(1, int(math.log(largest_weight) / math.log(per_step))))
    early = (logged.step < horizon) * logged.discount
    gap = np.zeros(logged.n_episodes)
    for target, sign in ((episodes.challenger, 1.0), (episodes.champion, -1.0)):
        rho = step_weights(logged, target)
        surplus = target.ratio * rho[:, None] - cumulative_weights(logged, rho)[:, None]
        gap += sign * logged.total(early * (surplus * residuals(logged, target)).mean(axis=1))
    mean = float(gap.mean())
    return Agreement(mean, clustered_standard_error(gap - mean, logged.unit), horizon)


def _as_steps(episodes: GateEpisodes) -> GateEpisodes:
    """The same steps, each an episode of its own."""
    n = episodes.logged.n
    logged = LoggedEpisodes(
        episode=np.arange(n),
        step=np.zeros(n, np.int64),
        action=episodes.logged.action,
        reward=episodes.logged.reward,
        propensity=episodes.logged.propensity,
        terminated=np.ones(n, np.bool_),
        truncated=np.zeros(n, np.bool_),
    )
    one = np.ones(n)
    return GateEpisodes(
        logged, episodes.behavior, episodes.champion, episodes.challenger, episodes.state, one.astype(np.int64), one
    )


def _estimate(name: str, policy: str, found: Evaluation, logged: LoggedEpisodes) -> EpisodicEstimate:
    error = clustered_standard_error(found.influence, logged.unit)
    weights = np.ones(logged.n_episodes) if name == "fqe" else found.weights
    return EpisodicEstimate(
        estimator=name,
        policy=policy,
        value=found.value,
        lower=found.value - NORMAL_95 * error,
        upper=found.value + NORMAL_95 * error,
        standard_error=error,
        effective_sample_size=effective_sample_size(weights, np.arange(logged.n_episodes)),
        n=logged.n_episodes,
        n_units=int(logged.unit.max()) + 1,
    )


_TAIL: Final = "the weights' lower tail holds only {observed:.3g} effective episodes of the {limit:g} needed; read more"
_TERMINAL: Final = (
    "products of weights leave {observed:.3g} effective episodes of the {limit:g} needed; bound the head against the "
    "champion, or declare route drl where the state is Markov"
)
_PATH: Final = (
    "a logged episode could carry a weight of {observed:.3g} where {limit:g} is the most; bound the head against the "
    "champion, deviate at fewer steps, or declare route drl where the state is Markov"
)
_AGREEMENT: Final = (
    "marginalized and trajectory weights differ by {observed:.2g} standard errors where {limit:g} is the most; the "
    "state may hide something: declare route dr_pdis, or log what is missing"
)
_MARKOV: Final = (
    "the step before tells more about the next than state and action do (p = {observed:.2g}, at least {limit:g} "
    "needed, or too few steps recur); declare route dr_pdis, or log what the state lacks"
)


def _condition(name: str, observed: float, limit: float, words: str, *, least: bool = False) -> Condition:
    passed = observed >= limit if least else observed <= limit
    shown = observed if math.isfinite(observed) else None
    text = "" if passed else words.format(observed=observed, limit=limit)
    return Condition(name, bool(passed), shown, limit, "hold", text)


def _markov(check: MarkovCheck, settings: EpisodeSettings) -> Condition:
    passed = check.passed and check.p_value > settings.least_markov_p_value
    text = "" if passed else _MARKOV.format(observed=check.p_value, limit=settings.least_markov_p_value)
    return Condition("markov", passed, check.p_value, settings.least_markov_p_value, "hold", text)


def _length(logged: LoggedEpisodes, settings: EpisodeSettings) -> Condition:
    words = "an episode has {observed:g} steps where most_steps declares {limit:g}; declare the longest there can be"
    return _condition("most_steps", float(logged.step.max() + 1), float(settings.most_steps), words)


def _returns(logged: LoggedEpisodes, bounds: tuple[float, float]) -> Condition:
    returns: NDArray[np.float64] = logged.returns
    outside = int(((returns < bounds[0] - 1e-9) | (returns > bounds[1] + 1e-9)).sum())
    text = f"{outside} returns lie outside the declared [{bounds[0]:g}, {bounds[1]:g}]; correct the bounds"
    return Condition("return_bounds", outside == 0, float(outside), 0.0, "refuse", "" if outside == 0 else text)
