"""What a drift check says: one level, the budget it was decided under, and the monitors that moved most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warn", "block"]
Kind = Literal["mean", "null", "category", "pair", "reward", "action", "weight"]

# Share of the false-alarm budget that each kind of monitor may spend; statistics.md section 5, with the
# share of the means and of the actions split so that null rates and E[w] have their own.
WEIGHTS: Final[dict[Kind, float]] = {
    "mean": 0.35,
    "null": 0.05,
    "category": 0.15,
    "pair": 0.15,
    "reward": 0.15,
    "action": 0.10,
    "weight": 0.05,
}


@dataclass(frozen=True, slots=True)
class Monitor:
    """One watched number in the cell that decided the level."""

    name: str
    kind: Kind
    observed: float  # in the column's own unit, after winsorising
    expected: float  # in the reference
    z: float  # deviations, reference error and day-to-day variation included
    e: float  # e-value of this cell alone


@dataclass(frozen=True, slots=True)
class DriftResult:
    """`level` is the highest alarm raised in cells of the newest batch."""

    level: Level
    reference: str
    false_alarm_budget: str
    n_cells: int  # judged cells of all new rows
    statistic: float  # the largest weighted Shiryaev-Roberts statistic in cells of the newest batch
    top: tuple[Monitor, ...]  # at most three
    detail: str
