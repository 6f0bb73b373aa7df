"""Who logged a row, and the whole distribution it drew from: the gate reads only rows where that is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.propensities.design_table import read_design
from data_contracts.propensities.propensity_sources import PropensitySource
from flows.context import Context
from flows.tasks import BehaviorPolicy, resolve
from flows.versions import policy_of
from policies.complete_rows import probabilities_of_complete_rows
from policies.export import OnnxPolicy
from policies.logged_interactions import LoggedInteractions
from policies.registry import list_versions


def behavior_policies(context: Context) -> dict[str, BehaviorPolicy]:
    """Declared behavior policies, and every version of the registry under its number."""
    registered = {str(m.version): BehaviorPolicy(version=m.version) for m in list_versions(context.home, context.name)}
    return {**registered, **context.task.behavior_policies}


def known_versions(context: Context) -> frozenset[str]:
    """Every `policy_version` that may appear in the log."""
    return frozenset(behavior_policies(context))


def evaluable_versions(context: Context) -> frozenset[str]:
    """The versions whose full distribution is logged or can be re-evaluated."""
    return frozenset(name for name, policy in behavior_policies(context).items() if policy.logged != "propensity")


def propensity_sources(context: Context) -> dict[str, PropensitySource]:
    """By policy version: what gives its whole distribution without the log's help. Files are read at first use."""
    found = {name: _source(context, policy) for name, policy in behavior_policies(context).items()}
    return {name: source for name, source in found.items() if source is not None}


def behavior_distribution(context: Context, rows: LoggedInteractions) -> NDArray[np.float64]:
    """(n, K) probabilities of each row's behavior policy; a row of NaN where they are not known."""
    result = np.full((rows.n, rows.n_actions), np.nan)
    sources = propensity_sources(context)
    logged = {name for name, policy in behavior_policies(context).items() if policy.logged == "distribution"}
    for name in np.unique(rows.policy_version):
        mask = rows.policy_version == name
        if str(name) in sources:
            result[mask] = sources[str(name)].distribution(rows.observations.filter(pa.array(mask)))
        elif str(name) in logged and rows.action_probabilities is not None:
            result[mask] = rows.action_probabilities[mask]
    return result


def _source(context: Context, policy: BehaviorPolicy) -> PropensitySource | None:
    """None where only the log knows."""
    n_actions = len(context.actions)
    if policy.uniform:
        return PropensitySource("uniform", lambda rows: np.full((rows.num_rows, n_actions), 1.0 / n_actions))
    if policy.probabilities is not None:
        table = [policy.probabilities[action] for action in context.actions]
        return PropensitySource("declared probabilities", lambda rows: np.tile(table, (rows.num_rows, 1)))
    if policy.design is not None:
        return _design_source(context, policy.design)
    if policy.version is not None:
        return _version_source(context, policy.version)
    return None


def _design_source(context: Context, design: str) -> PropensitySource:
    path, columns = resolve(context.task, design), context.contract.observation
    read = cache(lambda: read_design(path, actions=context.actions, columns=columns))
    return PropensitySource(f"design table {path.name}", lambda rows: read().distribution(rows))


def _version_source(context: Context, version: int) -> PropensitySource:
    @cache
    def load() -> OnnxPolicy:
        return policy_of(context, version)

    return PropensitySource(f"version {version}", lambda rows: probabilities_of_complete_rows(load(), rows))
