"""The gate on episodes: truly worse challengers where the state hides something, and coverage against exact values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.action_probabilities import bounded_probabilities
from policies.gate.episodes.episode_checks import ESTIMATORS, EpisodesJudged, check_episodes
from policies.gate.episodes.episode_rows import GateEpisodes
from policies.gate.episodes.episode_settings import EpisodeSettings, Route
from policies.gate.episodes.episodes import plan_episodes, stream_of, summarize
from policies.gate.judging.judge import judge, split_alpha
from policies.ope import drl, fqe
from policies.ope.episodes import EpisodicTarget, LoggedEpisodes
from policies.ope.estimates import NORMAL_95
from policies.ope.records import Evaluation
from policies.ope.tabular import fit_models, fit_values
from tests.worlds.episodic_worlds import EpisodicWorld, gate_episodes, near, random_policy, random_world
from tests.worlds.icu_world import icu_dynamics, icu_world

pytestmark = pytest.mark.benchmark
Array = NDArray[np.float64]
Codes = NDArray[np.int64]
SEED = 20_261_122
ALPHA = 0.05  # of one slot: far more than a slot of a ledger of 50 has
BOOTSTRAPS, REFITS, ICU_REPETITIONS = 200, 40, 20
FIELDS = ("step", "action", "reward", "propensity", "terminated", "truncated")


# --- promoted although worse


@dataclass(frozen=True)
class Case:
    """A challenger in a world, and what the gate would read of it."""

    lift: float  # exact
    read: GateEpisodes
    before: GateEpisodes


def _case(rng: np.random.Generator, *, alias: int, n: int, bound: float) -> Case:
    """A challenger in a random direction from the champion, as far as the bound lets it: half of them are worse."""
    world = random_world(rng, n_states=6 * alias, alias=alias)
    champion = random_policy(rng, world)
    challenger = bounded_probabilities(rng.normal(size=champion.shape), champion, bound=bound)
    earlier, logged, more = (world.log(champion, size, rng) for size in (n // 2, n, n // 4))
    lift = world.value(challenger) - world.value(champion)
    policies = {"behavior": champion, "champion": champion, "challenger": challenger}
    read, before = (gate_episodes(world, log, earlier, **policies) for log in (logged, more))
    return Case(lift, read, before)


def _settings(route: Route) -> EpisodeSettings:
    return EpisodeSettings(route=route, most_steps=400, return_minimum=0.0, return_maximum=150.0)


def _gate(case: Case, route: Route) -> tuple[bool, EpisodesJudged]:
    """(the average alone is proven, everything that stands beside it)."""
    settings, bounds = _settings(route), (0.0, 150.0)
    plan = plan_episodes(case.before, route=route, n_planned=case.read.logged.n_episodes, return_bounds=bounds)
    stream = stream_of(case.read, route=route, plan=plan, earlier=summarize(case.before, most_steps=400))
    judged = judge(stream.lift, plan=plan, alpha=split_alpha(ALPHA), fractions=(1.0,))
    return judged.proven, check_episodes(case.read, stream, settings=settings, return_bounds=bounds)


@pytest.mark.parametrize(
    ("alias", "n", "repetitions"), [(2, 1_000, 120), (2, 6_000, 40), (4, 1_000, 120), (4, 6_000, 40)]
)
def test_worse_challengers_where_the_state_aliases(alias: int, n: int, repetitions: int) -> None:
    promoted: Counter[str] = Counter()
    n_worse, n_better, better = 0, 0, 0
    for i in range(repetitions):
        rng = np.random.default_rng([SEED, alias, n, i])
        case = _case(rng, alias=alias, n=n, bound=1.15)
        found = {}
        for route in ("dr_pdis", "drl"):
            proven, beside = _gate(case, route)
            found[f"{route}, average alone"] = proven
            found[f"gate by {route}"] = proven and all(c.passed for c in beside.conditions)
        difference = _difference(fqe.evaluate, case.read)
        found["fqe alone"] = difference.value > 0
        if case.lift < 0:
            n_worse += 1
            promoted.update(name for name, yes in found.items() if yes)
        else:
            n_better, better = n_better + 1, better + int(found["gate by dr_pdis"] or found["gate by drl"])
    shares = {name: promoted[name] / n_worse for name in found}
    print(f"\nalias {alias}, {n:,} episodes, seed {SEED}: {n_worse} truly worse challengers promoted by")
    for name, share in shares.items():
        print(f"  {name:24s} {share:6.1%}")
    print(f"  (of {n_better} better ones a gate promotes {better})")
    assert n_worse >= repetitions // 10
    limit = 0.05 + 1.645 * np.sqrt(0.05 * 0.95 / n_worse)
    assert shares["gate by dr_pdis"] <= limit
    assert shares["gate by drl"] <= limit


# --- coverage


def _difference(evaluate: Callable[[LoggedEpisodes, EpisodicTarget], Evaluation], read: GateEpisodes) -> Evaluation:
    return evaluate(read.logged, read.challenger) - evaluate(read.logged, read.champion)


def _bootstrap(influence: Array, value: float, rng: np.random.Generator) -> tuple[float, float]:
    drawn = rng.multinomial(len(influence), np.full(len(influence), 1 / len(influence)), size=BOOTSTRAPS) @ influence
    low, high = np.quantile(value + drawn / len(influence), [0.025, 0.975])
    return float(low), float(high)


def _intervals(read: GateEpisodes, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    found = {}
    for name, evaluate in ESTIMATORS.items():
        part = _difference(evaluate, read)
        error = float(part.influence.std()) / np.sqrt(len(part.influence))
        found[f"{name}, normal"] = (part.value - NORMAL_95 * error, part.value + NORMAL_95 * error)
        if name == "pdis":
            found[f"{name}, bootstrap"] = _bootstrap(part.influence, part.value, rng)
    return found


def _refitted_fqe(read: GateEpisodes, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile bootstrap of the tabular values, fitted again on every resample of the episodes that are read.

    They are fitted with the steps' weights, which aliasing bends less than the plain regression of most FQE codes.
    """
    logged, m = read.logged, read.logged.n_episodes
    length = np.bincount(logged.episode)
    start = np.cumsum(length) - length
    n_states = int(read.state.max()) + 1
    found = []
    for _ in range(REFITS):
        chosen = rng.integers(m, size=m)
        rows = np.repeat(start[chosen] - np.cumsum(length[chosen]) + length[chosen], length[chosen])
        rows = rows + np.arange(len(rows))
        again = LoggedEpisodes(
            episode=np.repeat(np.arange(m), length[chosen]),
            **{name: getattr(logged, name)[rows] for name in FIELDS},
            gamma=logged.gamma,
        )
        value = 0.0
        for target, sign in ((read.challenger, 1.0), (read.champion, -1.0)):
            p = target.probabilities[rows]
            weights = p[np.arange(len(rows)), again.action] / again.propensity
            q = fit_values(again, read.state[rows], weights, n_states=n_states, n_actions=p.shape[1])
            value += sign * float((p * q[read.state[rows]]).sum(axis=1)[again.first].mean())
        found.append(value)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _print_coverage(title: str, covered: Counter[str], widths: Counter[str], n: int) -> dict[str, float]:
    print(f"\n{title}, seed {SEED}: coverage of the difference by two-sided 95 % intervals, and their mean width")
    for name in widths:
        print(f"  {name:18s} {covered[name] / n:6.1%}   {widths[name] / n:.4f}")
    return {name: covered[name] / n for name in widths}


@pytest.mark.parametrize(("alias", "n"), [(1, 200), (1, 1_000), (1, 5_000), (2, 5_000)])
def test_coverage_in_small_worlds(alias: int, n: int) -> None:
    covered: Counter[str] = Counter()
    widths: Counter[str] = Counter()
    repetitions = 100 if n <= 1_000 else 30
    for i in range(repetitions):
        rng = np.random.default_rng([SEED, 7, alias, n, i])
        world = random_world(rng, n_states=6 * alias, alias=alias)
        champion = random_policy(rng, world)
        challenger = near(champion, random_policy(rng, world, floor=0.05), bound=2.0)
        truth = world.value(challenger) - world.value(champion)
        policies = {"behavior": champion, "champion": champion, "challenger": challenger}
        read = gate_episodes(world, world.log(champion, n, rng), world.log(champion, n, rng), **policies)
        found = _intervals(read, rng) | {"fqe, refitted": _refitted_fqe(read, rng)}
        for name, (low, high) in found.items():
            covered[name] += low <= truth <= high
            widths[name] += high - low
    shares = _print_coverage(f"alias {alias}, {n:,} episodes", covered, widths, repetitions)
    if alias == 1:
        assert shares["drl, normal"] >= 0.85
        assert shares["dr_pdis, normal"] >= 0.8
    assert shares["fqe, normal"] < 0.3  # of a model that is given: its error is in no interval


@pytest.mark.parametrize("observed", ["state", "severity"])
def test_coverage_on_icu_sepsis(observed: str) -> None:
    """The shipped task's own challenger form: one step of improvement, bounded by 1.3; 10,000 episodes read."""
    world = icu_world()
    group: Codes = icu_dynamics().observations[observed].to_numpy().astype(np.int64)
    n_groups = int(group.max()) + 1
    champion = _clinicians()
    covered: Counter[str] = Counter()
    widths: Counter[str] = Counter()
    errors, repetitions, rejected = [], ICU_REPETITIONS, 0
    for i in range(repetitions):
        rng = np.random.default_rng([SEED, 9, i])
        train, seen = world.log(champion, 8_000, rng)
        q = fit_values(train, seen, np.ones(train.n), n_states=713, n_actions=25)
        challenger = bounded_probabilities(q, champion, bound=1.3)
        truth = world.value(challenger) - world.value(champion)
        earlier, read_log = world.log(champion, 5_000, rng), world.log(champion, 10_000, rng)
        read = _seen_as(group, n_groups, read_log, earlier, champion, challenger)
        for name, (low, high) in _intervals(read, rng).items():
            covered[name] += low <= truth <= high
            widths[name] += high - low
        part = _difference(drl.evaluate, read)
        errors.append((part.value - truth) * np.sqrt(len(part.influence)) / part.influence.std())
        plan = plan_episodes(read, route="drl", n_planned=10_000, return_bounds=(0.0, 1.0))
        stream = stream_of(read, route="drl", plan=plan, earlier=summarize(read, most_steps=200))
        settings = EpisodeSettings(route="drl", most_steps=400, return_minimum=0.0, return_maximum=1.0)
        beside = check_episodes(read, stream, settings=settings, return_bounds=(0.0, 1.0))
        rejected += any(c.name == "markov" and not c.passed for c in beside.conditions)
    shares = _print_coverage(f"ICU-Sepsis, models see {observed}, 10,000 episodes", covered, widths, repetitions)
    print(f"  DRL's error in standard errors: mean {np.mean(errors):+.2f}, sd {np.std(errors):.2f}")
    print(f"  Markov check rejects {rejected} of {repetitions}")
    if observed == "state":
        assert shares["drl, normal"] >= 0.75
        assert shares["dr_pdis, normal"] >= 0.75
        assert rejected <= 2
    else:
        assert rejected == repetitions


@pytest.mark.parametrize("sides", ["both", "upper"])
def test_whole_trajectories_need_more_episodes_than_a_hospital_has(sides: str) -> None:
    """Exact moments of the plain importance-sampling difference W R - R of the best policy within a ratio."""
    world, champion = icu_world(), _clinicians()
    print(f"\nICU-Sepsis, {sides} bound, exact: ratio, lift, sd of one episode's difference, episodes for t = 3.5")
    found = {}
    for bound in (1.1, 1.3, 1.5):
        best = _best_within(world, champion, bound, sides=sides)
        lift = world.value(best) - world.value(champion)
        rho = best / champion
        squared, crossed = (np.einsum("sk,skt->st", champion * rho**p, world.moves) for p in (2, 1))
        solve = [
            world.start @ np.linalg.solve(np.eye(713) - chain, (champion * rho**p * world.reward).sum(axis=1))
            for p, chain in ((2, squared), (1, crossed))
        ]
        finite = float(np.abs(np.linalg.eigvals(squared)).max()) < 1  # E[W^2] exists only then
        variance = solve[0] - 2 * solve[1] + world.value(champion) - lift**2 if finite else np.inf
        found[bound] = (lift, variance)
        needed = f"{3.5**2 * variance / lift**2:,.0f}" if finite else "no number: the variance is infinite"
        print(f"  {bound:g}  {lift:+.4f}  {np.sqrt(variance):.3f}  {needed}")
    assert 3.5**2 * found[1.3][1] / found[1.3][0] ** 2 > 50_000


def _best_within(world: EpisodicWorld, champion: Array, bound: float, *, sides: str) -> Array:
    """The best policy with pi <= bound * champion (and >= champion / bound), by policy iteration."""
    policy = champion
    for _ in range(8):
        chain = np.einsum("sk,skt->st", policy, world.moves)
        value = np.linalg.solve(np.eye(713) - chain, (policy * world.reward).sum(axis=1))
        q = world.reward + world.moves @ value
        policy = bounded_probabilities(q, champion, bound=bound) if sides == "both" else _capped(q, champion, bound)
    return policy


def _capped(scores: Array, champion: Array, bound: float) -> Array:
    """Mass to the best actions first, each up to bound * champion; nothing is kept for the others."""
    order = np.argsort(-scores, axis=1, kind="stable")
    most = np.take_along_axis(champion * bound, order, axis=1)
    given = np.clip(1.0 - (np.cumsum(most, axis=1) - most), 0.0, most)
    capped = np.zeros_like(champion)
    np.put_along_axis(capped, order, given, axis=1)
    return capped


def _clinicians() -> Array:
    """(713, 25) the shipped champion's probabilities, from its graph's table."""
    import onnx
    from onnx import numpy_helper

    from policies.action_probabilities import HeadSettings, action_probabilities
    from tests.worlds.icu_world import SAMPLE

    graph = onnx.load(SAMPLE / "champion.onnx").graph
    table = next(numpy_helper.to_array(t) for t in graph.initializer if t.name == "table")
    return action_probabilities(table, head=HeadSettings(kind="softmax", exploration=0.2))


def _seen_as(
    group: Codes,
    n_groups: int,
    logged: tuple[LoggedEpisodes, Codes],
    earlier: tuple[LoggedEpisodes, Codes],
    champion: Array,
    challenger: Array,
) -> GateEpisodes:
    """The policies read the state; the models only its group."""
    targets = []
    for policy in (champion, challenger):
        models = fit_models(earlier[0], group[earlier[1]], policy[earlier[1]], n_states=n_groups)
        targets.append(models.along(group[logged[1]], logged[0].action, policy[logged[1]]))
    one = np.ones(logged[0].n_episodes)
    return GateEpisodes(
        logged[0], champion[logged[1]], targets[0], targets[1], group[logged[1]], one.astype(np.int64), one
    )
