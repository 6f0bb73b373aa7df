"""Models of earlier episodes on the gate's rows, and what is stored of them."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.errors import ConfigurationError
from policies.gate.episodes.episode_file import columns_from_parquet, columns_to_parquet, concatenate_columns
from policies.gate.episodes.episode_models import earlier_episodes, fit_episode_models
from policies.gate.episodes.episode_rows import EpisodeColumns
from policies.gate.episodes.episode_settings import EpisodeSettings
from policies.gate.episodes.episodes import plan_episodes, summarize
from policies.logged_interactions import LoggedInteractions
from tests.worlds.episodic_worlds import EpisodicWorld, random_policy, random_world

NAMES = np.array([f"s{i}" for i in range(6)])


def _rows(world: EpisodicWorld, policy: np.ndarray, n: int, seed: int) -> tuple[LoggedInteractions, np.ndarray]:
    logged, seen = world.log(policy, n, np.random.default_rng(seed))
    steps = logged.n
    ids = np.array([f"{e:05d}-{t}" for e, t in zip(logged.episode, logged.step, strict=True)])
    shuffled = np.random.default_rng(seed).permutation(steps)
    rows = LoggedInteractions(
        actions=("a", "b", "c"),
        observations=pa.table({"ward": NAMES[seen], "parity": seen % 2}),
        action=logged.action,
        reward=logged.reward,
        propensity=logged.propensity,
        policy_version=np.full(steps, "1"),
        interaction_id=ids,
        unit_id=np.array([f"u{e:05d}" for e in logged.episode]),
        occurred_at=np.datetime64("2026-01-01", "us") + np.arange(steps),
        split=np.zeros(steps, np.uint8),
        episode_id=np.array([f"e{e:05d}" for e in logged.episode]),
        step=logged.step,
        terminated=logged.terminated,
        truncated=logged.truncated,
    )
    return rows.select(shuffled), seen[shuffled]


@pytest.fixture(scope="module")
def world() -> EpisodicWorld:
    return random_world(np.random.default_rng(5))


def _columns(world: EpisodicWorld) -> tuple[EpisodeColumns, LoggedInteractions, np.ndarray, np.ndarray]:
    champion = random_policy(np.random.default_rng(1), world)
    earlier, seen = _rows(world, champion, 800, 2)
    models = fit_episode_models(
        earlier,
        propensity=earlier.propensity,
        champion=champion[seen],
        challenger=champion[seen],
        settings=EpisodeSettings(),
    )
    rows, state = _rows(world, champion, 300, 3)
    return models.along(rows, champion=champion[state], challenger=champion[state]), rows, state, champion


def test_rows_in_any_order_get_the_models_of_their_state(world: EpisodicWorld) -> None:
    columns, _, state, champion = _columns(world)
    assert len(np.unique(columns.state)) == 6
    for code in range(6):
        of_state = columns.champion_v[columns.state == code]
        assert np.ptp(of_state, axis=0) == pytest.approx([0, 0])
        assert len(np.unique(state[columns.state == code])) == 1
    assert (columns.champion_ratio == 1).all()  # the champion logged
    chain = np.einsum("sk,skt->st", champion, world.moves)
    exact = np.linalg.solve(np.eye(6) - chain, (champion * world.reward).sum(axis=1))
    assert columns.champion_v.mean(axis=1) == pytest.approx(exact[state], rel=0.25)


def test_incomplete_episodes_and_other_states_do_no_harm(world: EpisodicWorld) -> None:
    champion = random_policy(np.random.default_rng(1), world)
    earlier, seen = _rows(world, champion, 200, 2)
    kept = ~((earlier.step == 0) & (seen == seen[earlier.step == 0][0]))  # some begin at their second step
    earlier, seen = earlier.select(kept), seen[kept]
    models = fit_episode_models(
        earlier,
        propensity=earlier.propensity,
        champion=champion[seen],
        challenger=champion[seen],
        settings=EpisodeSettings(state=("ward",)),
    )
    rows, state = _rows(world, champion, 20, 3)
    other = replace(rows, observations=rows.observations.set_column(0, "ward", pa.array(["new"] * rows.n)))
    columns = models.along(other, champion=champion[state], challenger=champion[state])
    assert (columns.state == len(models.states)).all()
    assert (columns.challenger_ratio == 1).all()
    assert np.isfinite(columns.challenger_q).all()


def test_a_state_must_be_made_of_observation_columns(world: EpisodicWorld) -> None:
    rows, seen = _rows(world, champion := random_policy(np.random.default_rng(1), world), 50, 2)
    with pytest.raises(ConfigurationError, match="colour"):
        fit_episode_models(
            rows,
            propensity=rows.propensity,
            champion=champion[seen],
            challenger=champion[seen],
            settings=EpisodeSettings(state=("ward", "colour")),
        )


def test_the_plan_comes_from_earlier_episodes_alone(world: EpisodicWorld) -> None:
    columns, rows, state, champion = _columns(world)
    challenger = np.roll(champion, 1, axis=1)
    episodes = earlier_episodes(
        rows,
        columns,
        propensity=rows.propensity,
        behavior=champion[state],
        champion=champion[state],
        challenger=challenger[state],
        gamma=1.0,
    )
    plan = plan_episodes(episodes, route="drl", n_planned=900, return_bounds=(0.0, 60.0))
    assert plan.n_planned == 900
    assert 0 < plan.sigma_squared < 1e3
    earlier = summarize(episodes, most_steps=3)
    assert earlier.champion_cap == pytest.approx(1.0)
    assert earlier.challenger_cap == pytest.approx(float((challenger / champion).max()) ** 3)
    assert earlier.mean_steps == rows.n / 300


def test_stored_columns_come_back_bit_by_bit(world: EpisodicWorld) -> None:
    columns, rows, *_ = _columns(world)
    data = columns_to_parquet(columns, rows.interaction_id)
    assert columns_to_parquet(columns, rows.interaction_id) == data
    back = columns_from_parquet(data)
    twice = concatenate_columns([back, back])
    for field in fields(EpisodeColumns):
        stored, original = getattr(back, field.name), getattr(columns, field.name)
        assert stored.dtype.kind == original.dtype.kind
        assert np.array_equal(stored, original)
        assert len(getattr(twice, field.name)) == 2 * len(original)
