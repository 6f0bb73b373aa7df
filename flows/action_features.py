"""Declared features of the actions (item attributes), as numbers for the reward model."""

from __future__ import annotations

import csv

import numpy as np
from numpy.typing import NDArray

from flows.context import Context
from flows.tasks import resolve


def action_features(context: Context) -> NDArray[np.float64] | None:
    """(K, m) features in the order of the task's actions: numbers as they are, text one-hot; None if not declared."""
    declared = context.task.actions.features
    if declared is None:
        return None
    with resolve(context.task, declared).open(newline="") as stream:
        rows = {row["action"]: row for row in csv.DictReader(stream)}
    names = [name for name in next(iter(rows.values())) if name != "action"]
    columns = [_numbers([rows[action][name] for action in context.actions]) for name in names]
    return np.concatenate(columns, axis=1)


def _numbers(values: list[str]) -> NDArray[np.float64]:
    try:
        return np.array(values, dtype=np.float64)[:, None]
    except ValueError:
        categories = sorted(set(values))
        return np.array([[value == category for category in categories] for value in values], dtype=np.float64)
