"""What a drift check says: one level, the budget it was decided under, and what moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warn", "block"]
Threshold = Literal["warn", "block"]
Kind = Literal["mean", "null", "category", "pair", "reward", "pipeline", "action", "weight"]
Group = Literal["covariates", "reward", "action", "weight"]

# Share of the false-alarm budget that each kind of monitor may spend; statistics.md section 5, with the
# share of the means, of the rewards and of the actions split so that null rates and E[w] have their own.
WEIGHTS: Final[dict[Kind, float]] = {
    "mean": 0.35,
    "null": 0.05,
    "category": 0.15,
    "pair": 0.15,
    "reward": 0.12,
    "pipeline": 0.03,  # matured rows without reward
    "action": 0.10,
    "weight": 0.05,
}
GROUPS: Final[dict[Kind, Group]] = {
    "mean": "covariates",
    "null": "covariates",
    "category": "covariates",
    "pair": "covariates",
    "reward": "reward",
    "pipeline": "reward",
    "action": "action",
    "weight": "weight",
}
GROUP_ORDER: Final[tuple[Group, ...]] = ("action", "reward", "covariates", "weight")
BUDGET: Final = (
    "false alarms per 30 cells of a (batch, day): <= 5 % at the BLOCK threshold and <= 20 % at WARN, over all "
    "monitors together"
)


@dataclass(frozen=True, slots=True)
class Monitor:
    """One watched number in the cell that decided the level."""

    name: str
    kind: Kind
    observed: float  # in the column's own unit, after winsorising
    expected: float  # in the reference, on such a weekday
    z: float  # deviations, reference error and day-to-day variation included
    e: float  # e-value of this cell alone


@dataclass(frozen=True, slots=True)
class Budget:
    """The chance that a group of monitors raises one alarm or more in 30 cells of a world that has not moved."""

    group: Group
    threshold: Threshold
    at_most: float


@dataclass(frozen=True, slots=True)
class GroupAlarm:
    """A group of monitors that passed a threshold in cells of the newest batch: one root cause."""

    group: Group
    threshold: Threshold  # the highest it passed
    level: Level  # what follows from it
    statistic: float
    since: str  # UTC day (ISO 8601) of the first cell after the last calm one
    monitors: tuple[str, ...]  # at most three, the largest share of the statistic first
    reason: str  # why this level
    relevance_needed: bool  # blocks until weigh_relevance says that the gate's verdict stays


@dataclass(frozen=True, slots=True)
class DriftResult:
    """`level` is the highest that follows from alarms in cells of the newest batch."""

    level: Level
    reference: str
    false_alarm_budget: str
    n_cells: int  # judged cells of all new rows
    statistic: float  # the largest weighted Shiryaev-Roberts statistic of a group in cells of the newest batch
    top: tuple[Monitor, ...]  # at most three, of the group that decided the level
    detail: str
    alarms: tuple[GroupAlarm, ...] = ()  # the one that decided the level first
    relevance_needed: bool = False  # of one of the alarms
    quiet_cells: int = 0  # last ones in which the statistics of all groups together stayed below QUIET_BELOW
    may_close: bool = False  # an open incident: quiet for QUIET_CELLS, or nothing left to compare with
    budgets: tuple[Budget, ...] = ()
    possible_causes: tuple[str, ...] = ()  # what happened in the week before, for people
