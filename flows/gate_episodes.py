"""What a look at an episodic task reads beside the gate's rows: models of earlier episodes, and the plan they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_contracts.rewards.reward_settings import reward_bounds
from data_contracts.splits import VALIDATION
from flows.behavior import behavior_distribution, evaluable_versions
from flows.challenger import gate_settings
from flows.context import Context
from flows.evaluation import Pair
from flows.gate_rows import largest_weight
from policies.gate.episodes.episode_models import EpisodeModels, earlier_episodes, fit_episode_models
from policies.gate.episodes.episode_rows import EpisodeColumns
from policies.gate.episodes.episode_settings import EpisodeSettings
from policies.gate.episodes.episodes import Earlier, plan_episodes, summarize
from policies.gate.records import GateRows, Plan
from policies.logged_interactions import LoggedInteractions


@dataclass(frozen=True, slots=True, repr=False)
class EpisodesBefore:
    """Everything about episodes that is fixed before the window, from the challenger's validation rows."""

    settings: EpisodeSettings
    models: EpisodeModels
    plan: Plan  # in episodes and returns
    earlier: Earlier

    def columns(self, rows: LoggedInteractions, read: GateRows) -> EpisodeColumns:
        """What the gate stores of n rows beside `read`, which are the same rows as `gate_rows` gives them."""
        return self.models.along(rows, champion=read.champion, challenger=read.challenger)

    def __repr__(self) -> str:
        return f"EpisodesBefore({self.models!r})"


def episodes_before(context: Context, pair: Pair, *, n_rows_first: int) -> EpisodesBefore | None:
    """None where the task's gate declares no episodes. The first look reads `n_rows_first` rows.

    All of it comes from validation rows of evaluable versions. Train rows would flatter the challenger, which was made
    to fit their noise: on icu_sepsis its value then comes out .037 too high, and DRL's estimate a standard error off.
    """
    settings = gate_settings(context, pair.challenger.version).episodes
    if settings is None:
        return None
    evaluable = np.isin(pair.trained_on.policy_version, list(evaluable_versions(context)))
    rows = pair.trained_on.select(evaluable & (pair.trained_on.split == VALIDATION))
    behavior = behavior_distribution(context, rows)
    propensity = np.where(np.isnan(rows.propensity), behavior[np.arange(rows.n), rows.action], rows.propensity)
    champion = pair.champion_policy.action_probabilities(rows.observations)
    challenger = pair.challenger_policy.action_probabilities(rows.observations)
    models = fit_episode_models(
        rows, propensity=propensity, champion=champion, challenger=challenger, settings=settings
    )
    episodes = earlier_episodes(
        rows,
        models.along(rows, champion=champion, challenger=challenger),
        propensity=propensity,
        behavior=behavior,
        champion=champion,
        challenger=challenger,
        gamma=settings.gamma,
    )
    gate = gate_settings(context, pair.challenger.version)
    more = (gate.looks - 1) * gate.min_rows_per_look
    plan = plan_episodes(
        episodes,
        route=settings.route,
        n_planned=max(1, round((n_rows_first + more) * episodes.logged.n_episodes / episodes.logged.n)),
        return_bounds=settings.return_bounds(*reward_bounds(context.contract, context.task.reward)),
        weight_maximum=largest_weight(context, pair),
    )
    return EpisodesBefore(settings, models, plan, summarize(episodes, most_steps=settings.most_steps))
