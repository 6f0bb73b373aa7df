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
from policies.gate.records import SOURCES
from policies.logged_interactions import LoggedInteractions
from policies.registry import list_versions
from policies.stage import UNIT
from policies.staged import Policy, complete_probabilities


def behavior_policies(context: Context) -> dict[str, BehaviorPolicy]:
    """Declared behavior policies, and every version of the registry under its number."""
    registered = {str(m.version): BehaviorPolicy(version=m.version) for m in list_versions(context.home, context.name)}
    return {**registered, **context.task.behavior_policies}


def known_versions(context: Context) -> frozenset[str]:
    """Every `policy_version` that may appear in the log."""
    return frozenset(behavior_policies(context))


def evaluable_versions(context: Context) -> frozenset[str]:
    """The versions whose rows can gate: the full distribution is logged, can be re-evaluated, or is bounded below."""
    return frozenset(
        name
        for name, policy in behavior_policies(context).items()
        if policy.logged != "propensity" or policy.minimum is not None
    )


def propensity_sources(context: Context) -> dict[str, PropensitySource]:
    """By policy version: what gives its whole distribution without the log's help. Files are read at first use."""
    found = {name: _source(context, policy) for name, policy in behavior_policies(context).items()}
    return {name: source for name, source in found.items() if source is not None}


def behavior_distribution(context: Context, rows: LoggedInteractions) -> NDArray[np.float64]:
    """(n, K) probabilities of each row's behavior policy; a row of NaN where they are not known.

    Where a version logs the propensity of the logged action alone and declares the least that any action has, that
    least stands for all others: the row then sums to less than 1, and every bound that rests on it is conservative.
    Of a version that draws units, those given the row's arm; of one patched by a segment, those of the segment.
    """
    result = np.full((rows.n, rows.n_actions), np.nan)
    observed = rows.observations.append_column(UNIT, pa.array(rows.unit_id, pa.string()))
    sources = propensity_sources(context)
    policies = behavior_policies(context)
    logged = {name for name, policy in policies.items() if policy.logged == "distribution"}
    for name in np.unique(rows.policy_version):
        mask = rows.policy_version == name
        if str(name) in sources:
            result[mask] = sources[str(name)].distribution(observed.filter(pa.array(mask)))
        elif str(name) in logged and rows.action_probabilities is not None:
            result[mask] = rows.action_probabilities[mask]
        elif (least := policies[str(name)].minimum) is not None:
            result[mask] = least
            result[mask, rows.action[mask]] = rows.propensity[mask]
    return result


def behavior_sources(context: Context, rows: LoggedInteractions) -> NDArray[np.uint8]:
    """(n,) index in SOURCES: what each row's behavior distribution comes from."""
    policies = behavior_policies(context)
    names, code = np.unique(rows.policy_version, return_inverse=True)
    kinds = [policies[str(name)].logged if str(name) in policies else "propensity" for name in names]
    return np.array([SOURCES.index(kind or "version") for kind in kinds], np.uint8)[code]


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
    def load() -> Policy:
        return policy_of(context, version)

    return PropensitySource(f"version {version}", lambda rows: complete_probabilities(load(), rows))
