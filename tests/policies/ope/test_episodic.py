"""One contract for the episodic estimators: values worked by hand, and worlds whose values are linear solves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.encoding import FeatureScale
from policies.ope import dr_pdis, drl, fqe, markov, pdis, wpdis
from policies.ope.episodes import EpisodicTarget, LoggedEpisodes, without_models
from policies.ope.estimates import clustered_standard_error
from policies.ope.records import Evaluation
from policies.ope.tabular import fit_models, fit_ratio
from tests.worlds.episodic_worlds import EpisodicWorld, modelled, near, random_policy, random_world

Estimator = Callable[[LoggedEpisodes, EpisodicTarget], Evaluation]
UNBIASED: dict[str, Estimator] = {"pdis": pdis.evaluate, "wpdis": wpdis.evaluate, "dr_pdis": dr_pdis.evaluate}
ALL: dict[str, Estimator] = {**UNBIASED, "drl": drl.evaluate, "fqe": fqe.evaluate}


def _hand() -> tuple[LoggedEpisodes, EpisodicTarget]:
    """Episode 0: weights 2, .5; rewards 0, 1. Episode 1: weight 1; reward 1. gamma .5."""
    logged = LoggedEpisodes(
        episode=np.array([0, 0, 1]),
        step=np.array([0, 1, 0]),
        action=np.array([0, 1, 0]),
        reward=np.array([0.0, 1.0, 1.0]),
        propensity=np.array([0.5, 0.5, 0.5]),
        terminated=np.array([False, True, True]),
        truncated=np.zeros(3, np.bool_),
        gamma=0.5,
    )
    target = EpisodicTarget(
        probabilities=np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]]),
        q=np.array([[0.25], [0.5], [0.75]]),
        v=np.array([[0.5], [1.0], [0.5]]),
        ratio=np.array([[1.0], [2.0], [1.0]]),
    )
    return logged, target


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pdis", (0.5 * 1.0 * 1 + 1.0) / 2),  # W = 2, 1 and 1: gamma W r
        # step 0: (2 * 0 + 1 * 1) / 3; step 1: the ended episode keeps weight 1 and earns 0: gamma (1 * 1) / 2
        ("wpdis", 1 / 3 + 0.25),
        # v0 + 2 (0 + .5 * 1 - .25) + .5 * 1 (1 - .5) = .5 + .5 + .25; .5 + 1 (1 - .75)
        ("dr_pdis", (1.25 + 0.75) / 2),
        # v0 + 1 * 2 (.25) + .5 * 2 * .5 (.5) = .5 + .5 + .25; .75
        ("drl", (1.25 + 0.75) / 2),
        ("fqe", 0.5),
    ],
)
def test_values_worked_by_hand(name: str, value: float) -> None:
    assert ALL[name](*_hand()).value == pytest.approx(value)


@pytest.fixture(scope="module")
def world() -> EpisodicWorld:
    return random_world(np.random.default_rng(5))


@pytest.fixture(scope="module")
def policies(world: EpisodicWorld) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(6)
    behavior = random_policy(rng, world)
    return behavior, near(behavior, random_policy(rng, world, floor=0.05), bound=1.4)


@pytest.mark.parametrize("name", [*UNBIASED, "drl"])
def test_agrees_with_the_exact_truth(
    world: EpisodicWorld, policies: tuple[NDArray[np.float64], NDArray[np.float64]], name: str
) -> None:
    behavior, target = policies
    rng = np.random.default_rng(7)
    logged = world.log(behavior, 2_000, rng)
    along = modelled(world, world.log(behavior, 2_000, rng), logged, target)
    found = ALL[name](logged[0], along)
    error = clustered_standard_error(found.influence, logged[0].unit)
    assert abs(found.value - world.value(target)) < 4 * error
    assert error < 0.15
    assert found.influence.mean() == pytest.approx(0, abs=1e-9)


def test_models_shrink_the_error_and_marginal_weights_shrink_it_further(
    world: EpisodicWorld, policies: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    rng = np.random.default_rng(8)
    behavior = policies[0]
    target = near(behavior, random_policy(rng, world, floor=0.05), bound=2.0)
    logged = world.log(behavior, 2_000, rng)
    along = modelled(world, world.log(behavior, 2_000, rng), logged, target)
    spread = {name: float(ALL[name](logged[0], along).influence.std()) for name in ("pdis", "dr_pdis", "drl")}
    assert spread["drl"] < spread["dr_pdis"] < spread["pdis"]


@pytest.mark.parametrize("name", ["pdis", "wpdis"])
def test_no_model_is_read(name: str) -> None:
    logged, target = _hand()
    assert ALL[name](logged, target).value == ALL[name](logged, without_models(target.probabilities)).value


def test_without_models_dr_pdis_is_pdis() -> None:
    logged, target = _hand()
    plain = without_models(target.probabilities)
    assert dr_pdis.evaluate(logged, plain).value == pytest.approx(pdis.evaluate(logged, plain).value)


@pytest.mark.parametrize("name", ["pdis", "wpdis", "dr_pdis", "drl"])
def test_the_behavior_policy_earns_what_it_earned(world: EpisodicWorld, name: str) -> None:
    rng = np.random.default_rng(9)
    behavior = random_policy(rng, world)
    logged = world.log(behavior, 2_000, rng)
    along = without_models(behavior[logged[1]])
    assert ALL[name](logged[0], along).value == pytest.approx(logged[0].returns.mean())


def test_visit_ratios_are_one_where_the_target_is_the_behavior_policy(world: EpisodicWorld) -> None:
    rng = np.random.default_rng(10)
    logged, seen = world.log(random_policy(rng, world), 500, rng)
    ratio = fit_ratio(logged, seen, np.ones(logged.n), n_states=world.n_observed)
    assert ratio.tolist() == [1.0] * world.n_observed


def test_visit_ratios_meet_the_exact_ones() -> None:
    # state 0, then state 1 when action 1 is taken; the log takes it with .5, the target with 1: twice the visits
    n = 4_000
    rng = np.random.default_rng(11)
    went = rng.random(n) < 0.5
    episode = np.sort(np.concatenate([np.arange(n), np.flatnonzero(went)]))
    step = (np.diff(episode, prepend=-1) == 0).astype(np.int64)
    first = step == 0
    action = np.where(first, went[episode], 0).astype(np.int64)
    last = np.diff(episode, append=n) > 0
    propensity = np.where(first, 0.5, 1.0)
    logged = LoggedEpisodes(episode, step, action, np.zeros(len(step)), propensity, last, np.zeros(len(step), np.bool_))
    weights = np.where(first, 2.0 * action, 1.0)
    assert fit_ratio(logged, step, weights, n_states=2) == pytest.approx([1.0, 2.0], abs=0.06)


def test_ratio_and_value_of_a_version_come_from_different_units(world: EpisodicWorld) -> None:
    rng = np.random.default_rng(12)
    behavior = random_policy(rng, world)
    logged, seen = world.log(behavior, 600, rng)
    target = random_policy(rng, world)[seen]
    models = fit_models(logged, seen, target, n_states=world.n_observed)
    half = logged.unit % 2
    spoilt = replace(logged, reward=np.where(half[logged.episode] == 0, 0.0, logged.reward))
    other = fit_models(spoilt, seen, target, n_states=world.n_observed)
    assert not np.array_equal(models.q[0], other.q[0])
    assert np.array_equal(models.q[1], other.q[1])
    assert np.array_equal(models.ratio, other.ratio)
    moved = np.where((half[logged.episode] == 0)[:, None], np.roll(target, 1, axis=1), target)
    other = fit_models(logged, seen, moved, n_states=world.n_observed)
    assert [np.array_equal(models.q[f], other.q[f]) for f in (0, 1)] == [False, True]
    assert [np.array_equal(models.ratio[f], other.ratio[f]) for f in (0, 1)] == [True, False]


def test_fqe_is_wrong_with_certainty_where_states_alias_and_dr_pdis_is_not() -> None:
    rng = np.random.default_rng(3)
    world = random_world(rng, n_states=12, alias=4)
    behavior = random_policy(rng, world)
    target = near(behavior, random_policy(rng, world, floor=0.05), bound=1.5)
    logged = world.log(behavior, 3_000, rng)
    along = modelled(world, world.log(behavior, 3_000, rng), logged, target)
    truth = world.value(target)
    errors = {}
    for name in ("fqe", "dr_pdis"):
        found = ALL[name](logged[0], along)
        errors[name] = (found.value - truth) / clustered_standard_error(found.influence, logged[0].unit)
    assert abs(errors["fqe"]) > 10
    assert abs(errors["dr_pdis"]) < 4


def _features(seen: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    return np.eye(n, dtype=np.float32)[seen]


def _scale(n: int, mean: float = 0.0, scale: float = 1.0) -> FeatureScale:
    return FeatureScale(np.full(n, mean, np.float32), np.full(n, scale, np.float32))


def test_linear_fqe_values_the_served_distribution_in_units_of_reward(world: EpisodicWorld) -> None:
    rng = np.random.default_rng(13)
    behavior, target = random_policy(rng, world), random_policy(rng, world, floor=0.6)
    logged, seen = world.log(behavior, 1_500, rng)
    features = _features(seen, world.n_observed)
    values = fqe.fit_linear(logged, features, target[seen], scale=_scale(world.n_observed))
    found = fqe.evaluate(logged, values.along(features, logged.action, target[seen])).value
    greedy = np.eye(target.shape[1])[target.argmax(axis=1)]
    assert found == pytest.approx(world.value(target), rel=0.1)
    assert abs(world.value(greedy) / world.value(target) - 1) > 0.1  # so that the greedy value would have been seen
    tenfold = replace(logged, reward=10 * logged.reward)
    scaled = fqe.fit_linear(tenfold, features, target[seen], scale=_scale(world.n_observed))
    assert scaled.predict(features) == pytest.approx(10 * values.predict(features), rel=1e-4)


def test_linear_fqe_reads_the_algorithms_own_scaler(world: EpisodicWorld) -> None:
    rng = np.random.default_rng(14)
    behavior = random_policy(rng, world)
    logged, seen = world.log(behavior, 1_000, rng)
    features = _features(seen, world.n_observed)
    plain = fqe.fit_linear(logged, features, behavior[seen], scale=_scale(world.n_observed))
    raw = features * 4 + 3  # what the log holds where the algorithm standardises by mean 3, scale 4
    scaled = fqe.fit_linear(logged, raw, behavior[seen], scale=_scale(world.n_observed, 3.0, 4.0))
    assert scaled.predict(raw) == pytest.approx(plain.predict(features), rel=1e-4)
    assert not np.allclose(
        fqe.LinearValues(_scale(world.n_observed), *_parts(scaled)).predict(raw), scaled.predict(raw)
    )


def _parts(values: fqe.LinearValues) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    return values.coefficients, values.intercepts, values.spread


def _check(world: EpisodicWorld, seed: int, n: int = 1_500) -> markov.MarkovCheck:
    rng = np.random.default_rng(seed)
    behavior = random_policy(rng, world)
    logged = world.log(behavior, n, rng)
    along = modelled(world, world.log(behavior, n, rng), logged, behavior)
    return markov.check(*logged, value=along.v.mean(axis=1), ratio=along.ratio.mean(axis=1))


def test_the_markov_check_keeps_its_level_on_markov_states() -> None:
    found = [_check(random_world(np.random.default_rng(100 + seed)), seed, n=500) for seed in range(12)]
    assert sum(check.p_value < 0.1 for check in found) <= 5  # 1.2 expected; P(more than 5 of 12 at 10 %) = .05 %
    assert all(check.passed for check in found)


def test_the_markov_check_rejects_an_aliased_state() -> None:
    found = [_check(random_world(np.random.default_rng(s), n_states=12, alias=2), s, n=3_000) for s in range(2)]
    assert all(not check.passed for check in found)


def test_the_markov_check_fails_closed_where_nothing_recurs(world: EpisodicWorld) -> None:
    found = _check(world, 3, n=12)
    assert found.n < markov.LEAST_ROWS
    assert not found.passed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": np.array([0, 2, 0])}, "steps 0, 1, 2"),
        ({"episode": np.array([0, 0, 2])}, "episode codes"),
        ({"terminated": np.array([True, True, True])}, "no step after the end"),
        ({"propensity": np.array([0.5, 0.0, 0.5])}, "propensities in"),
        ({"reward": np.array([0.5, np.nan, 0.5])}, "finite rewards"),
        ({"gamma": 0.0}, "gamma"),
    ],
)
def test_bad_episodes_are_refused(change: dict[str, object], words: str) -> None:
    logged, _ = _hand()
    with pytest.raises(DegenerateData, match=words):
        replace(logged, **change)  # type: ignore[arg-type]
