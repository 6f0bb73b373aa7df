"""What is computed once per pair of champion and challenger: distributions, reward model, estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData, UsageError
from data_contracts.rewards.reward_settings import reward_bounds
from data_contracts.splits import TRAIN, VALIDATION
from data_contracts.units.influence_settings import InfluenceSettings
from flows.action_features import action_features
from flows.behavior import behavior_distribution, evaluable_versions
from flows.context import Context
from flows.peeking import refuse_peek
from flows.snapshot import load_rows
from flows.versions import single_policy_of
from policies.encoding import encode
from policies.export import OnnxPolicy
from policies.logged_interactions import LoggedInteractions
from policies.ope import Estimate, estimate_all
from policies.registry import VersionManifest, read_version, resting_version
from policies.reward_model import RewardModel, fit_reward_model
from policies.tree_reward_model import fit_tree_reward_model
from policies.unit_limits import limit_units


@dataclass(frozen=True, slots=True)
class Pair:
    """A challenger, what it is compared with, and the reward model fitted on the challenger's training rows."""

    challenger: VersionManifest
    champion: int
    challenger_policy: OnnxPolicy
    champion_policy: OnnxPolicy
    reward_model: RewardModel
    trained_on: LoggedInteractions  # train and validation rows: nothing of them may be in the gate window

    def predict(self, rows: LoggedInteractions) -> NDArray[np.float64]:
        """(n, K) predicted rewards."""
        return self.reward_model.predict(_features(self.challenger_policy, rows))

    def predict_otherwise(self, rows: LoggedInteractions) -> NDArray[np.float64]:
        """(n, K) predicted rewards by a model of another class, fitted on the same training rows."""
        train = limit_units(
            self.trained_on.select(self.trained_on.split == TRAIN), settings=influence_settings(self.challenger)
        ).rows
        other = fit_tree_reward_model(
            _features(self.challenger_policy, train),
            train.action,
            train.reward,
            n_actions=rows.n_actions,
            weight=train.weight,
            reward_minimum=float(self.reward_model.bounds[0]),
            reward_maximum=float(self.reward_model.bounds[1]),
        )
        return other.predict(_features(self.challenger_policy, rows))


def load_pair(context: Context, *, version: int, against: int) -> Pair:
    """Load both policies and fit the reward model on the TRAIN rows of the challenger's snapshot.

    `against` a stage: against the version that it returns to without a verdict.
    """
    against = resting_version(context.home, context.name, against)
    challenger = read_version(context.home, context.name, version)
    if challenger.snapshot_id is None:
        raise UsageError(
            f"version {version} of {context.name} cannot be evaluated: expected a trained version, got a declared "
            "one, which has no validation rows. Name a trained version; `sluice policies` lists them."
        )
    policy = single_policy_of(context, version)
    _, rows, _ = load_rows(context, challenger.snapshot_id)
    train = limit_units(rows.select(rows.split == TRAIN), settings=influence_settings(challenger)).rows
    low, high = reward_bounds(context.contract, context.task.reward)
    model = fit_reward_model(
        _features(policy, train),
        train.action,
        train.reward,
        n_actions=rows.n_actions,
        action_features=action_features(context),
        weight=train.weight,
        reward_minimum=low,
        reward_maximum=high,
    )
    return Pair(
        challenger=challenger,
        champion=against,
        challenger_policy=policy,
        champion_policy=single_policy_of(context, against),
        reward_model=model,
        trained_on=rows.select((rows.split == TRAIN) | (rows.split == VALIDATION)),
    )


def influence_settings(version: VersionManifest) -> InfluenceSettings:
    """The limits of a unit as they were when the version was frozen."""
    return InfluenceSettings.model_validate(version.settings.get("influence", {}))


def validation_rows(context: Context, pair: Pair) -> LoggedInteractions:
    """Validation rows whose behavior policy can be evaluated; without any, all with a logged propensity."""
    rows = pair.trained_on.select(pair.trained_on.split == VALIDATION)
    evaluable = np.isin(rows.policy_version, list(evaluable_versions(context)))
    chosen = rows.select(evaluable if evaluable.any() else ~np.isnan(rows.propensity))
    if not chosen.n:
        raise DegenerateData(
            f"no validation rows to evaluate {context.name} on: expected rows with a propensity, got none. "
            "Log propensities, or declare the behavior policies in the task file."
        )
    return chosen


def estimate_on_validation(context: Context, pair: Pair) -> tuple[Estimate, ...]:
    """Estimates of champion, challenger and difference; gate rows are not touched.

    Raises UsageError when the rows are gate rows of the other side: of a challenger that is open (refuse_peek).
    """
    rows = validation_rows(context, pair)
    refuse_peek(context, versions=(pair.challenger.version, pair.champion), rows=rows)
    return estimate_all(
        action=rows.action,
        reward=rows.reward,
        propensity=_propensity(context, rows),
        champion=pair.champion_policy.action_probabilities(rows.observations),
        challenger=pair.challenger_policy.action_probabilities(rows.observations),
        reward_model=pair.predict(rows),
        unit_id=rows.unit_id,
        weight=rows.weight,
    )


def _propensity(context: Context, rows: LoggedInteractions) -> NDArray[np.float64]:
    """Logged, or recomputed from the behavior policy where the log has none."""
    recomputed = behavior_distribution(context, rows)[np.arange(rows.n), rows.action]
    return np.where(np.isnan(rows.propensity), recomputed, rows.propensity)


def _features(policy: OnnxPolicy, rows: LoggedInteractions) -> NDArray[np.float64]:
    return encode(policy.encoding, rows.observations).astype(np.float64)
