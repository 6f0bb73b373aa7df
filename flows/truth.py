"""Exact policy values where the world is simulated, to stand beside the estimates; never read by the gate."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flows.context import Context
from flows.tasks import resolve
from policies.ope.exact import Dynamics, read_dynamics
from policies.staged import Policy, average_probabilities

MOVES: Final = "next_state"  # column of a truth file that holds moves of episodes
SHARE: Final = "population_share"  # column of a truth file: how much of the population a row is; without: all alike


def exact_value(context: Context, policy: Policy) -> float | None:
    """V = mean_x sum_a pi(a|x) E[r|x,a] over the task's truth table; None where the truth is not known.

    Of a table of moves (column `next_state`) the value of whole episodes, by a linear solve.
    """
    dynamics = _dynamics_of(context)
    if dynamics is not None:
        episodes = context.task.gate.episodes
        probabilities = average_probabilities(policy, dynamics.observations)
        if not np.isfinite(probabilities).all():
            return None
        return dynamics.value(probabilities, gamma=1.0 if episodes is None else episodes.gamma)
    found = _terms(context, policy)
    return None if found is None else float(np.average(found[1], weights=found[2]))


def exact_values_by_segment(context: Context, policy: Policy) -> dict[str, float]:
    """V of each value of the segment columns, by `column=value`; empty where the truth does not hold them."""
    found = _terms(context, policy)
    if found is None:
        return {}
    table, terms, share = found
    values = {}
    for column in (c.name for c in context.contract.columns if "segment" in c.roles and c.name in table.column_names):
        level = np.asarray(table[column].cast(pa.string()).fill_null("").to_pylist(), np.str_)
        for name in np.unique(level):
            mine = level == name
            values[f"{column}={name}"] = float(np.average(terms[mine], weights=share[mine]))
    return values


def _terms(context: Context, policy: Policy) -> tuple[pa.Table, NDArray[np.float64], NDArray[np.float64]] | None:
    """The truth table, (n,) sum_a pi(a|x) E[r|x,a] of its rows, and their shares of the population; None also where it
    lacks the segment that a patch decides by."""
    if context.task.truth is None or _dynamics_of(context) is not None:
        return None
    table = _read(resolve(context.task, context.task.truth))
    rewards = np.stack([table[name].to_numpy() for name in context.actions], axis=1)
    share = table[SHARE].to_numpy() if SHARE in table.column_names else np.ones(table.num_rows)
    terms = (average_probabilities(policy, table) * rewards).sum(axis=1)
    return (table, terms, share) if np.isfinite(terms).all() else None


def _dynamics_of(context: Context) -> Dynamics | None:
    """The moves of a world of episodes; None where the truth is of single decisions, or not known."""
    if context.task.truth is None:
        return None
    path = resolve(context.task, context.task.truth)
    return _dynamics(path) if MOVES in _read(path).column_names else None


@cache
def _dynamics(path: Path) -> Dynamics:
    return read_dynamics(_read(path))


@cache
def _read(path: Path) -> pa.Table:
    return pq.read_table(path)
