"""What became of each unit after its first decision under a stage: the outcomes that arms are compared by.

Actions carry over: what an action does to a unit shows in that unit's later rows, whoever decides those. Whole units
are therefore drawn into arms, and a unit is one observation: all that happened to it in the time after its entry.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

OutcomeKind = Literal["mean", "sum"]  # of a unit's rewards; the mean does not see whether a unit stays
DAY: Final = np.timedelta64(86_400_000_000, "us")


@dataclass(frozen=True, slots=True, repr=False)
class ArmRows:
    """n rows that a version drawn by unit has decided, in any order."""

    unit_id: NDArray[np.str_]  # (n,)
    challenger: NDArray[np.bool_]  # (n,) whether the unit's arm is the challenger's
    occurred_at: NDArray[np.datetime64]  # (n,) microseconds, UTC
    reward: NDArray[np.float64]  # (n,) NaN where it is not known

    @property
    def n(self) -> int:
        return len(self.unit_id)

    def __repr__(self) -> str:
        return f"ArmRows(n={self.n})"


@dataclass(frozen=True, slots=True, repr=False)
class UnitOutcomes:
    """n units whose time has passed, in order of (complete_at, unit_id): each contributes once."""

    unit_id: NDArray[np.str_]  # (n,)
    challenger: NDArray[np.bool_]  # (n,)
    complete_at: NDArray[np.datetime64]  # (n,) entry + horizon + attribution window: nothing can change after it
    outcome: NDArray[np.float64]  # (n,) mean or sum of its rewards in [entry, entry + horizon)
    n_rows: NDArray[np.int64]  # (n,) rows that the outcome was made of

    @property
    def n(self) -> int:
        return len(self.unit_id)

    def select(self, units: NDArray[np.bool_]) -> UnitOutcomes:
        return UnitOutcomes(**{f.name: getattr(self, f.name)[units] for f in fields(self)})

    def __repr__(self) -> str:
        return f"UnitOutcomes(n={self.n})"


def unit_outcomes(
    rows: ArmRows,
    *,
    horizon: timedelta,
    attribution_window: timedelta,
    as_of: np.datetime64,
    kind: OutcomeKind,
    max_rows: int,
) -> UnitOutcomes:
    """Outcome of every unit with entry + horizon + attribution_window <= as_of; entry is its first row here.

    mean: sum of its known rewards in [entry, entry + horizon) / their number. sum: that sum. Only the first `max_rows`
    rows of a unit count, which bounds a sum. A unit without a known reward has no outcome and is left out: the test
    of the arms' shares sees when that happens to one arm more than to the other.
    Caveat: the mean of few rows weighs as much as that of many; a policy that drives units away looks harmless by the
    mean and not by the sum.
    """
    names, code = np.unique(rows.unit_id, return_inverse=True)
    entry = np.full(len(names), np.datetime64("9999-01-01", "us"))
    np.minimum.at(entry, code, rows.occurred_at)
    complete_at = entry + np.timedelta64(horizon + attribution_window, "us")
    counted = _counted(rows, code, entry, horizon=np.timedelta64(horizon, "us"), max_rows=max_rows)
    n_rows = np.bincount(code[counted], minlength=len(names))
    total = np.bincount(code[counted], weights=rows.reward[counted], minlength=len(names)).astype(np.float64)
    arm = np.zeros(len(names), np.bool_)
    arm[code] = rows.challenger
    found = UnitOutcomes(
        unit_id=names,
        challenger=arm,
        complete_at=complete_at,
        outcome=total / np.maximum(n_rows, 1.0) if kind == "mean" else total,
        n_rows=n_rows,
    )
    order = np.lexsort((names, complete_at))
    return _take(found, order[((complete_at <= as_of) & (n_rows > 0))[order]])


def outcome_bounds(bounds: tuple[float, float], *, kind: OutcomeKind, max_rows: int) -> tuple[float, float]:
    """[low, high] of a unit's outcome from those of a reward: a mean keeps them, a sum of 1 to max_rows widens them."""
    low, high = bounds
    if kind == "mean":
        return bounds
    return min(low, low * max_rows), max(high, high * max_rows)


def _counted(
    rows: ArmRows,
    code: NDArray[np.int64],
    entry: NDArray[np.datetime64],
    *,
    horizon: np.timedelta64,
    max_rows: int,
) -> NDArray[np.int64]:
    """Indices of the rows inside their unit's time that have a reward, the first `max_rows` of each unit."""
    inside = np.flatnonzero((rows.occurred_at < entry[code] + horizon) & np.isfinite(rows.reward))
    order = inside[np.lexsort((rows.occurred_at[inside], code[inside]))]
    first = np.r_[True, np.diff(code[order]) != 0] if len(order) else np.zeros(0, np.bool_)
    starts = np.flatnonzero(first)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return order[rank < max_rows]


def _take(units: UnitOutcomes, index: NDArray[np.int64]) -> UnitOutcomes:
    return UnitOutcomes(**{f.name: getattr(units, f.name)[index] for f in fields(units)})
