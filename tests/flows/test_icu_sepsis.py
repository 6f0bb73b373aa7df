"""The shipped sequential task: its dynamics, its log, and what the log may show."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_contracts.home import create_home
from flows.champion import ensure_champion
from flows.context import Context, open_context
from flows.settings import ROOT
from flows.truth import exact_value
from flows.versions import policy_of
from policies.action_probabilities import bounded_probabilities
from policies.gate.episodes.episode_checks import check_episodes
from policies.gate.episodes.episode_rows import GateEpisodes
from policies.gate.episodes.episode_settings import EpisodeSettings
from policies.gate.episodes.episodes import plan_episodes, stream_of, summarize
from policies.ope.episodes import LoggedEpisodes
from policies.ope.exact import Dynamics, read_dynamics
from policies.ope.tabular import fit_models, fit_values

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SAMPLE = ROOT / "infra" / "samples" / "icu_sepsis"


@pytest.fixture(scope="module")
def dynamics() -> Dynamics:
    return read_dynamics(pq.read_table(SAMPLE / "truth.parquet"))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    home = create_home({"SLUICE_HOME": str(tmp_path_factory.mktemp("home"))})
    context = open_context("icu_sepsis", home=home, actor="tester")
    ensure_champion(context, now=NOW)
    return context


def test_values_are_the_published_ones(dynamics: Dynamics) -> None:
    # Choudhary, Gupta & Thomas 2024, and the package's README: random .78, expert .78, optimal .88
    assert dynamics.value(np.full((713, 25), 1 / 25)) == pytest.approx(0.78, abs=0.005)
    cell, value = dynamics.state * 25 + dynamics.action, np.zeros(713)
    for _ in range(60):  # value iteration: nothing of the linear solve in it
        ahead = dynamics.reward + np.where(dynamics.follows < 0, 0.0, value[dynamics.follows])
        q = np.bincount(cell, weights=dynamics.probability * ahead).reshape(713, 25)
        value = q.max(axis=1)
    assert dynamics.value(np.eye(25)[q.argmax(axis=1)]) == pytest.approx(0.88, abs=0.006)


def test_the_champion_is_worth_what_its_log_earned(context: Context) -> None:
    log = pq.read_table(SAMPLE / "interactions.parquet", columns=["reward", "terminated"])
    n = int(log["terminated"].to_numpy().sum())
    earned = float(log["reward"].to_numpy().sum()) / n
    value = exact_value(context, policy_of(context, 1))
    assert value is not None
    assert abs(earned - value) < 4 * np.sqrt(value * (1 - value) / n)


def test_logged_propensities_are_those_of_the_champion(context: Context) -> None:
    log = pq.read_table(SAMPLE / "interactions.parquet").slice(0, 5_000)
    served = policy_of(context, 1).action_probabilities(log.select(["state", "severity"]))
    logged = served[np.arange(len(served)), log["action"].to_numpy().astype(np.int64)]
    assert log["propensity"].to_numpy() == pytest.approx(logged, abs=1e-9)
    assert served.min() == pytest.approx(0.2 / 25)


@pytest.fixture(scope="module")
def first_episodes(context: Context) -> tuple[LoggedEpisodes, dict[str, np.ndarray], np.ndarray]:
    """The first 11,000 logged episodes, both observation columns, and the champion's table (713, 25)."""
    log = pq.read_table(SAMPLE / "interactions.parquet").slice(0, 110_000)
    whole = int(np.flatnonzero(log["terminated"].to_numpy())[10_999]) + 1
    log = log.slice(0, whole)
    step = log["step"].to_numpy()
    logged = LoggedEpisodes(
        episode=np.cumsum(step == 0) - 1,
        step=step,
        action=log["action"].to_numpy().astype(np.int64),
        reward=log["reward"].to_numpy(),
        propensity=log["propensity"].to_numpy(),
        terminated=log["terminated"].to_numpy(),
        truncated=log["truncated"].to_numpy(),
    )
    columns = {name: log[name].to_numpy() for name in ("state", "severity")}
    states = read_dynamics(pq.read_table(SAMPLE / "truth.parquet")).observations
    return logged, columns, policy_of(context, 1).action_probabilities(states)


@pytest.mark.parametrize(("observed", "passes"), [("state", True), ("severity", False)])
def test_the_same_log_is_judged_by_drl_only_where_its_state_is_whole(
    first_episodes: tuple[LoggedEpisodes, dict[str, np.ndarray], np.ndarray], observed: str, passes: bool
) -> None:
    logged, columns, champion = first_episodes
    state, group = columns["state"], columns[observed]
    chosen = np.arange(logged.n_episodes)
    (train, in_train), (earlier, before), (read, now) = (
        logged.select(part) for part in (chosen < 2_000, (chosen >= 2_000) & (chosen < 4_000), chosen >= 4_000)
    )
    q = fit_values(train, state[in_train], np.ones(train.n), n_states=713, n_actions=25)
    challenger = bounded_probabilities(q, champion, bound=1.3)  # the same one, whatever the models see
    targets = []
    for policy in (champion, challenger):
        models = fit_models(earlier, group[before], policy[state[before]], n_states=int(group.max()) + 1)
        targets.append(models.along(group[now], read.action, policy[state[now]]))
    one = np.ones(read.n_episodes)
    episodes = GateEpisodes(read, champion[state[now]], *targets, group[now], one.astype(np.int64), one)
    settings = EpisodeSettings(route="drl", most_steps=200, return_minimum=0.0, return_maximum=1.0)
    plan = plan_episodes(episodes, route="drl", n_planned=7_000, return_bounds=(0.0, 1.0))
    stream = stream_of(episodes, route="drl", plan=plan, earlier=summarize(episodes, most_steps=200))
    judged = check_episodes(episodes, stream, settings=settings, return_bounds=(0.0, 1.0))
    assert [c.name for c in judged.conditions if not c.passed] == ([] if passes else ["markov"])
