"""The stream of episodes: what it must agree with, what may promote, and what must not."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.gate.episodes.episode_checks import EpisodesJudged, check_episodes, estimate_episodes
from policies.gate.episodes.episode_rows import EpisodeColumns, GateEpisodes, complete_episodes, stack_episodes
from policies.gate.episodes.episode_settings import EpisodeSettings, Route
from policies.gate.episodes.episodes import Earlier, plan_episodes, stream_of, summarize
from policies.gate.judging.differences import Differences, one_step
from policies.gate.judging.judge import judge, split_alpha
from policies.gate.judging.planned_branch import moments_at_looks
from policies.gate.records import GateRows, Plan
from tests.worlds.episodic_worlds import EpisodicWorld, gate_episodes, near, random_policy, random_world

Array = NDArray[np.float64]
ROUTES: tuple[Route, ...] = ("dr_pdis", "drl")
BOUNDS = (0.0, 60.0)
PLAN = Plan(2_000, 1.0, *BOUNDS)
SETTINGS = EpisodeSettings(return_minimum=0.0, return_maximum=60.0, most_steps=200)


@pytest.fixture(scope="module")
def world() -> EpisodicWorld:
    return random_world(np.random.default_rng(5))


def _policies(world: EpisodicWorld, *, bound: float = 1.2, seed: int = 1) -> tuple[Array, Array]:
    """A champion, and a challenger that moves towards what it values most."""
    rng = np.random.default_rng(seed)
    champion = random_policy(rng, world)
    return champion, near(champion, random_policy(rng, world, floor=0.05), bound=bound)


def _episodes(
    world: EpisodicWorld, champion: Array, challenger: Array, *, n: int = 1_500, seed: int = 2, n_looks: int = 1
) -> GateEpisodes:
    rng = np.random.default_rng(seed)
    logged, trained_on = world.log(champion, n, rng), world.log(champion, n, rng)
    look = np.repeat(np.arange(1, n_looks + 1), -(-n // n_looks))[:n]
    return gate_episodes(
        world, logged, trained_on, behavior=champion, champion=champion, challenger=challenger, look=look
    )


def _stream(episodes: GateEpisodes, route: Route = "dr_pdis") -> Differences:
    return stream_of(episodes, route=route, plan=PLAN, earlier=Earlier(1.0, 50.0, 10.0)).lift


@pytest.mark.parametrize("route", ROUTES)
def test_the_same_policy_differs_by_exactly_nothing(world: EpisodicWorld, route: Route) -> None:
    champion, _ = _policies(world)
    episodes = _episodes(world, champion, champion.copy(), n=200)
    both = stream_of(episodes, route=route, plan=PLAN, earlier=Earlier(1.0, 1.0, 10.0))
    for side in (both.lift, both.harm):
        for name in ("value", "direct", "spread", "change", "fourth_down", "fourth_up"):
            assert not getattr(side, name).any()
        assert not side.bets[0].value.any()


@pytest.mark.parametrize("route", ROUTES)
def test_its_mean_is_the_difference_of_the_exact_values(world: EpisodicWorld, route: Route) -> None:
    champion, challenger = _policies(world)
    stream = _stream(_episodes(world, champion, challenger), route)
    truth = world.value(challenger) - world.value(champion)
    moments = moments_at_looks(stream)[-1]
    assert abs(moments.mean - truth) < 3.5 * moments.standard_error
    assert 0.6 < moments.floor_ratio < 1.4  # the policies alone imply what is seen


@pytest.mark.parametrize("route", ROUTES)
def test_harm_is_the_other_direction(world: EpisodicWorld, route: Route) -> None:
    champion, challenger = _policies(world)
    both = stream_of(_episodes(world, champion, challenger), route=route, plan=PLAN, earlier=Earlier(1, 1e3, 10.0))
    assert both.harm.value == pytest.approx(-both.lift.value)
    assert both.harm.fourth_down == pytest.approx(both.lift.fourth_up)
    assert both.harm.spread == pytest.approx(both.lift.spread)


def _single_steps(rng: np.random.Generator, n: int = 300, k: int = 3) -> tuple[GateRows, EpisodeColumns]:
    behavior, champion, challenger = (0.1 + 0.7 * rng.dirichlet(np.ones(k), n) for _ in range(3))
    model = rng.random((n, k))
    action = (rng.random(n)[:, None] > behavior.cumsum(axis=1)).sum(axis=1).clip(max=k - 1)
    index = np.arange(n)
    name = np.array([f"e{i:04d}" for i in range(n)])
    rows = GateRows(
        interaction_id=name,
        unit_id=name,
        policy_version=np.full(n, "1"),
        action=action,
        reward=(rng.random(n) < 0.4).astype(float),
        propensity=behavior[index, action],
        behavior=behavior,
        champion=champion,
        challenger=challenger,
        reward_model=model,
    )
    q = model[index, action][:, None]
    one = np.ones((n, 1))
    columns = EpisodeColumns(
        episode_id=name,
        step=np.zeros(n, np.int64),
        terminated=np.ones(n, np.bool_),
        truncated=np.zeros(n, np.bool_),
        state=np.zeros(n, np.int64),
        champion_q=q,
        champion_v=(champion * model).sum(axis=1, keepdims=True),
        champion_ratio=one,
        challenger_q=q,
        challenger_v=(challenger * model).sum(axis=1, keepdims=True),
        challenger_ratio=one,
    )
    return rows, columns


@pytest.mark.parametrize("route", ROUTES)
def test_episodes_of_one_step_are_judged_as_single_decisions(route: Route) -> None:
    rows, columns = _single_steps(np.random.default_rng(3))
    look = np.ones(rows.n, np.int64)
    plan = Plan(1_000, 1.0, 0.0, 1.0)
    episodes = stack_episodes(rows, columns, look=look, gamma=1.0)
    found = stream_of(episodes, route=route, plan=plan, earlier=Earlier(10.0, 10.0, 1.0)).lift
    known = one_step(rows, look=look, plan=plan, first_stake=0.1).lift
    for field in fields(Differences):
        if field.name not in ("bets", "unit"):
            assert getattr(found, field.name) == pytest.approx(getattr(known, field.name)), field.name
    assert found.bets[0].value == pytest.approx(known.bets[0].value)  # IPS
    assert (found.bets[0].lowest <= known.bets[0].lowest + 1e-12).all()  # of any context


def test_no_episode_earns_less_than_its_bet_allows(world: EpisodicWorld) -> None:
    champion, challenger = _policies(world)
    episodes = _episodes(world, champion, challenger, n=2_000)
    earlier = summarize(episodes, most_steps=2)
    assert earlier.champion_cap == pytest.approx(1.0)
    assert earlier.challenger_cap == pytest.approx(1.44)
    assert earlier.mean_steps == episodes.logged.n / 2_000
    both = stream_of(episodes, route="dr_pdis", plan=PLAN, earlier=Earlier(1.0, 1.2**40, 10.0))
    for side in (both.lift, both.harm):
        assert (side.bets[0].value >= side.bets[0].lowest).all()
        assert side.bets[0].value.std() > 0


@pytest.mark.parametrize(
    "change",
    [
        {"earlier": Earlier(1.0, 1.05, 10.0)},  # an episode exceeds it
        {"earlier": Earlier(1.0, 1e6, 10.0)},  # nothing could be staked
        {"plan": Plan(2_000, 1.0, -60.0, 60.0)},  # rewards of both signs
    ],
)
def test_without_known_bounds_nothing_is_won_by_betting(world: EpisodicWorld, change: dict[str, Any]) -> None:
    champion, challenger = _policies(world)
    arguments: dict[str, Any] = {"plan": PLAN, "earlier": Earlier(1.0, 1e3, 10.0)} | change
    stream = stream_of(_episodes(world, champion, challenger), route="dr_pdis", **arguments).lift
    assert stream.bets == ()
    looks = judge(stream, plan=arguments["plan"], alpha=split_alpha(0.05), fractions=(1.0,)).looks
    assert [(look.log_e, look.anytime) for look in looks] == [(0.0, False)]


def test_an_episode_is_judged_alike_whatever_is_read_after_it(world: EpisodicWorld) -> None:
    champion, challenger = _policies(world)
    episodes = _episodes(world, champion, challenger, n=400, n_looks=2)
    first = episodes.look == 1
    early, rows = episodes.logged.select(first)

    def cut(target: Any) -> Any:
        return replace(target, **{f.name: getattr(target, f.name)[rows] for f in fields(target)})

    alone = GateEpisodes(
        early,
        episodes.behavior[rows],
        cut(episodes.champion),
        cut(episodes.challenger),
        episodes.state[rows],
        episodes.look[first],
        episodes.share[first],
    )
    for route in ROUTES:
        whole, part = _stream(episodes, route), _stream(alone, route)
        for name in ("value", "spread", "residual_squared", "fourth_down", "change"):
            assert np.array_equal(getattr(whole, name)[first], getattr(part, name))


def test_a_better_challenger_is_promoted_and_an_equal_one_is_not(world: EpisodicWorld) -> None:
    champion, _ = _policies(world)
    best = np.eye(3)[world.reward.argmax(axis=1)]
    better = near(champion, 0.05 + 0.85 * best, bound=1.3)
    assert world.value(better) > world.value(champion)
    for challenger, expected in ((better, True), (champion.copy(), False)):
        episodes = _episodes(world, champion, challenger, n=2_500)
        stream = _stream(episodes, "drl")
        plan = plan_episodes(
            _episodes(world, champion, better, n=500), route="drl", n_planned=2_500, return_bounds=BOUNDS
        )
        judged = judge(stream, plan=plan, alpha=split_alpha(0.05), fractions=(1.0,))
        assert judged.proven is expected


# --- what must hold beside the average


def _checked(episodes: GateEpisodes, **settings: Any) -> EpisodesJudged:
    chosen = SETTINGS.model_copy(update=settings)
    stream = stream_of(episodes, route=chosen.route, plan=PLAN, earlier=Earlier(1.0, 1e3, 10.0))
    return check_episodes(episodes, stream, settings=chosen, return_bounds=BOUNDS)


def _failed(judged: EpisodesJudged) -> set[str]:
    return {c.name for c in judged.conditions if not c.passed}


def test_a_bounded_challenger_in_a_markov_state_passes_by_drl(world: EpisodicWorld) -> None:
    champion, challenger = _policies(world, bound=1.1)
    episodes = _episodes(world, champion, challenger, n=3_000)
    judged = _checked(episodes, route="drl")
    assert not _failed(judged)
    assert judged.evidence["markov"]["passed"]
    assert {e.estimator for e in estimate_episodes(episodes)} == {"pdis", "wpdis", "dr_pdis", "drl", "fqe"}


def test_products_of_weights_hold_the_dr_pdis_route_and_say_what_to_do(world: EpisodicWorld) -> None:
    champion, _ = _policies(world)
    judged = _checked(_episodes(world, champion, 0.01 + 0.97 * np.eye(3)[champion.argmin(axis=1)], n=1_000))
    assert {"path_weight", "terminal_size"} <= _failed(judged)
    words = next(c.words for c in judged.conditions if c.name == "path_weight")
    assert "bound the head" in words
    assert all(c.effect == "hold" for c in judged.conditions if not c.passed)


def test_few_deviating_steps_pass_by_dr_pdis(world: EpisodicWorld) -> None:
    champion, challenger = _policies(world, bound=1.5)
    challenger[1:] = champion[1:]  # deviates in one observation only
    episodes = _episodes(world, champion, challenger, n=3_000)
    assert "path_weight" not in _failed(_checked(episodes, largest_weight=1.5**25))


def test_an_aliased_state_holds_the_drl_route() -> None:
    world = random_world(np.random.default_rng(7), n_states=12, alias=2)
    champion, challenger = _policies(world, bound=1.1)
    judged = _checked(_episodes(world, champion, challenger, n=4_000), route="drl")
    assert "markov" in _failed(judged)
    assert "hold" in {c.effect for c in judged.conditions if not c.passed}


def test_wrong_visit_ratios_are_seen_by_the_agreement(world: EpisodicWorld) -> None:
    champion, challenger = _policies(world, bound=1.1)
    episodes = _episodes(world, champion, challenger, n=4_000)
    q = episodes.challenger.q + 0.5  # a model that is too high: DR-PDIS corrects it ...
    broken = replace(episodes.challenger, q=q, v=episodes.challenger.v + 0.5, ratio=0.5 * episodes.challenger.ratio)
    judged = _checked(replace(episodes, challenger=broken), route="drl")  # ... and DRL does not, with wrong ratios
    assert "agreement" in _failed(judged)


def test_longer_episodes_and_larger_returns_than_declared_are_named(world: EpisodicWorld) -> None:
    champion, challenger = _policies(world, bound=1.1)
    episodes = _episodes(world, champion, challenger, n=500)
    assert "most_steps" in _failed(_checked(episodes, most_steps=5))
    stream = stream_of(episodes, route="drl", plan=PLAN, earlier=Earlier(1.0, 1e3, 10.0))
    judged = check_episodes(episodes, stream, settings=SETTINGS, return_bounds=(0.0, 1.0))
    assert next(c for c in judged.conditions if c.name == "return_bounds").effect == "refuse"


# --- rows to episodes


def test_only_complete_episodes_are_read() -> None:
    episode = np.array(["a", "a", "b", "c", "c", "d", "e", "e", "f", "f"])
    step = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1, 0])
    terminated = np.array([False, True, True, False, False, False, False, True, False, True])
    truncated = np.array([False, False, False, False, False, True, False, False, False, False])
    # a whole; b begins at step 1; c never ends; d truncated at once, whole; e repeats a step; f ends before its last
    mask = complete_episodes(episode, step, terminated, truncated)
    assert mask.tolist() == [True, True, False, False, False, True, False, False, False, False]


def test_stacking_orders_by_look_and_refuses_what_is_not_whole() -> None:
    rows, columns = _single_steps(np.random.default_rng(4), n=4)
    columns = replace(
        columns,
        episode_id=np.array(["b", "a", "b", "c"]),
        step=np.array([1, 0, 0, 0]),
        terminated=np.array([True, True, False, True]),
    )
    rows = replace(rows, unit_id=np.array(["u", "v", "u", "v"]))
    stacked = stack_episodes(rows, columns, look=np.array([2, 2, 2, 1]), gamma=1.0)
    assert stacked.logged.action.tolist() == rows.action[[3, 1, 2, 0]].tolist()
    assert stacked.look.tolist() == [1, 2, 2]
    assert stacked.logged.unit.tolist() == [1, 1, 0]
    with pytest.raises(DegenerateData, match="one look in each episode"):
        stack_episodes(rows, columns, look=np.array([2, 2, 1, 1]), gamma=1.0)
    with pytest.raises(DegenerateData, match="complete episodes"):
        stack_episodes(rows, replace(columns, terminated=np.zeros(4, np.bool_)), look=np.ones(4, np.int64), gamma=1.0)


def test_settings_derive_the_bounds_of_a_return() -> None:
    assert EpisodeSettings(most_steps=7).return_bounds(-1.0, 2.0) == (-7.0, 14.0)
    assert EpisodeSettings(return_minimum=0.0, return_maximum=1.0).return_bounds(0.0, 1.0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="return_minimum"):
        EpisodeSettings(return_minimum=1.0, return_maximum=0.0)
