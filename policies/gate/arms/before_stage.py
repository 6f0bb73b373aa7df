"""What is known of units before a stage begins: a prediction of each unit's outcome, and how far it will be off.

All of it comes from rows before the stage, so it cannot know the arms: a prediction, however bad, biases nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.gate.arms.unit_outcomes import DAY, OutcomeKind


@dataclass(frozen=True, slots=True, repr=False)
class BeforeStage:
    """Units before a stage: totals of each, and the three numbers that shrink them."""

    unit_id: NDArray[np.str_]  # (m,) sorted
    n_rows: NDArray[np.int64]  # (m,) with a known reward
    mean: NDArray[np.float64]  # (m,) of those rewards
    overall: float  # mean reward of a unit, units weighing alike
    between: float  # variance of units' true means
    within: float  # variance of a row's reward around its unit's mean
    rows_per_day: float  # of a unit

    def __repr__(self) -> str:
        return f"BeforeStage(m={len(self.unit_id)})"


def look_back(
    unit_id: NDArray[np.str_], occurred_at: NDArray[np.datetime64], reward: NDArray[np.float64]
) -> BeforeStage | None:
    """Of n rows before a stage; None where fewer than two units have two rows with a known reward.

    within = pooled variance inside units; between = variance of unit means - mean(within / n_rows), at least 0.
    Source: Efron & Morris 1973, "Stein's estimation rule and its competitors" (method of moments).
    """
    known = np.isfinite(reward)
    if not known.any():
        return None
    names, code = np.unique(unit_id[known], return_inverse=True)
    n_rows = np.bincount(code)
    mean = np.bincount(code, weights=reward[known]) / n_rows
    freedom = int((n_rows - 1).sum())
    if (n_rows > 1).sum() < 2:
        return None
    within = float(((reward[known] - mean[code]) ** 2).sum() / freedom)
    between = max(0.0, float(mean.var(ddof=1) - (within / n_rows).mean()))
    days = max(1.0, float((occurred_at[known].max() - occurred_at[known].min()) / DAY))
    return BeforeStage(names, n_rows, mean, float(mean.mean()), between, within, float(n_rows.mean() / days))


def predict_outcomes(
    before: BeforeStage | None, unit_id: NDArray[np.str_], *, kind: OutcomeKind, horizon_days: float, max_rows: int
) -> NDArray[np.float64]:
    """(n,) q_i = overall + between / (between + within / n_i) (mean_i - overall), times the expected rows for a sum.

    Units that were not there before get `overall`; 0 where nothing was.
    """
    if before is None:
        return np.zeros(len(unit_id))
    place = np.searchsorted(before.unit_id, unit_id).clip(max=len(before.unit_id) - 1)
    there = before.unit_id[place] == unit_id
    noise = before.within / before.n_rows[place]
    trust = np.divide(before.between, before.between + noise, out=np.zeros(len(unit_id)), where=there & (noise > 0))
    predicted = before.overall + trust * (before.mean[place] - before.overall)
    scaled: NDArray[np.float64] = predicted * _scale(before, kind, horizon_days, max_rows)
    return scaled


def outcome_variance(
    before: BeforeStage | None,
    *,
    kind: OutcomeKind,
    horizon_days: float,
    max_rows: int,
    bounds: tuple[float, float],
) -> float:
    """Expected square of (outcome - prediction): what the pre-period leaves of `between`, and `within` over the rows
    of the horizon. Without a pre-period, the largest variance in `bounds` (range^2 / 4)."""
    low, high = bounds
    largest = (high - low) ** 2 / 4
    if before is None:
        return largest
    rows = min(float(max_rows), max(1.0, before.rows_per_day * horizon_days))
    total = before.between + before.within / float(before.n_rows.mean())
    left = before.between * (1 - before.between / total) if total > 0 else 0.0
    found = (left + before.within / rows) * _scale(before, kind, horizon_days, max_rows) ** 2
    return min(largest, found) if found > 0 else largest


def _scale(before: BeforeStage, kind: OutcomeKind, horizon_days: float, max_rows: int) -> float:
    """Expected rows of a unit in the horizon, for a sum; 1 for a mean."""
    return min(float(max_rows), max(1.0, before.rows_per_day * horizon_days)) if kind == "sum" else 1.0
