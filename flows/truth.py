"""Exact policy values where the world is simulated, to stand beside the estimates; never read by the gate."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.context import Context
from flows.tasks import resolve
from policies.export import OnnxPolicy


def exact_value(context: Context, policy: OnnxPolicy) -> float | None:
    """V = mean_x sum_a pi(a|x) E[r|x,a] over the task's truth table; None where the truth is not known."""
    if context.task.truth is None:
        return None
    table = _read(resolve(context.task, context.task.truth))
    rewards = np.stack([table[name].to_numpy() for name in context.actions], axis=1)
    return float((policy.action_probabilities(table) * rewards).sum(axis=1).mean())


@cache
def _read(path: Path) -> pa.Table:
    return pq.read_table(path)
