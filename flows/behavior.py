"""Who logged a row, and the whole distribution it drew from: the gate reads only rows where that is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flows.context import Context
from flows.tasks import BehaviorPolicy
from policies.logged_interactions import LoggedInteractions
from policies.registry import list_versions, load_version


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


def behavior_distribution(context: Context, rows: LoggedInteractions) -> NDArray[np.float64]:
    """(n, K) probabilities of each row's behavior policy; a row of NaN where they are not known."""
    result = np.full((rows.n, rows.n_actions), np.nan)
    policies = behavior_policies(context)
    for name in np.unique(rows.policy_version):
        policy = policies.get(str(name))
        if policy is not None:
            mask = rows.policy_version == name
            result[mask] = _distribution(context, policy, rows.select(mask))
    return result


def _distribution(context: Context, policy: BehaviorPolicy, rows: LoggedInteractions) -> NDArray[np.float64]:
    unknown = np.full((rows.n, rows.n_actions), np.nan)
    if policy.uniform:
        return np.full_like(unknown, 1.0 / rows.n_actions)
    if policy.probabilities is not None:
        return np.tile([policy.probabilities[a] for a in rows.actions], (rows.n, 1))
    if policy.version is not None:
        return load_version(context.home, context.name, policy.version).action_probabilities(rows.observations)
    if policy.logged == "distribution" and rows.action_probabilities is not None:
        return rows.action_probabilities
    return unknown
