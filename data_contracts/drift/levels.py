"""From alarms to a level: what blocks, what warns, what must be weighed first, and when an incident may close."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.drift.detector import Detected
from data_contracts.drift.records import (
    BUDGET,
    GROUP_ORDER,
    GROUPS,
    DriftResult,
    Group,
    GroupAlarm,
    Level,
    Monitor,
    Threshold,
)
from data_contracts.drift.walk import Walk

CALM_BELOW: Final = 1.0  # a group's statistic; what starts after the last calm cell is one story
QUIET_BELOW: Final = 10.0
QUIET_CELLS: Final = 7
JUMP: Final = 4.0  # deviations by which the share of matured rows without reward rises when a pipeline breaks
SHOWN: Final = 3
RANK: Final[dict[Level, int]] = {"ok": 0, "warn": 1, "block": 2}


@dataclass(frozen=True, slots=True)
class _Peak:
    """The cell of the newest batch in which a group's statistic was largest, among its alarms where it has any."""

    group: Group
    threshold: Threshold | None  # the highest that the group passed
    step: int
    statistic: float
    share: NDArray[np.float64]  # (M,) of each monitor in the statistic; 0 outside the group


def judge(walk: Walk, newest: NDArray[np.int64], *, name: str, n_waiting: int) -> DriftResult:
    """The level of the steps `newest`, why, and the monitors that weigh most where it was decided.

    action: a shift of the action mix without a new policy version blocks; where policies read covariates, and these
      moved with it, it may follow from them and is weighed with them.
    reward: blocks when the share of matured rows without reward jumped in the same cell, else warns.
    covariates: at the BLOCK threshold they block until `weigh_relevance` has its say; at WARN they warn.
    weight: warns; E[w] = 1 itself is a rule of the contract, which blocks.
    """
    n_steps, quiet = len(walk.moment), _quiet_cells(walk)
    waiting = f"; {n_waiting:,} rows wait for a cell" if n_waiting else ""
    if len(newest) == 0:
        said = nothing(name, f"no cell of the newest batch among {n_steps}{waiting}", comparable=True)
        return replace(said, n_cells=n_steps, quiet_cells=quiet, may_close=quiet >= QUIET_CELLS)
    peaks = [_peak(walk, newest, group) for group in GROUP_ORDER]
    found = [(_alarm(walk, peak), peak) for peak in peaks if peak.threshold is not None]
    found.sort(key=lambda pair: (-RANK[pair[0].level], -pair[1].statistic))
    alarms = tuple(alarm for alarm, _ in found)
    peak = found[0][1] if found else max(peaks, key=lambda p: p.statistic)
    detail = f"{len(walk.names)} monitors in {len(newest)} cells of the newest batch ({n_steps} in all){waiting}"
    return DriftResult(
        level=alarms[0].level if alarms else "ok",
        reference=name,
        false_alarm_budget=BUDGET,
        n_cells=n_steps,
        statistic=peak.statistic,
        top=_top(walk, peak),
        detail="; ".join([detail, *(f"{a.group} since {a.since}: {a.reason}" for a in alarms)]),
        alarms=alarms,
        relevance_needed=any(alarm.relevance_needed for alarm in alarms),
        quiet_cells=quiet,
        may_close=quiet >= QUIET_CELLS,
        budgets=walk.budgets,
    )


def weigh_relevance(result: DriftResult, *, verdict_changes: bool, note: str) -> DriftResult:
    """The result once it is known whether the gate's verdict changes on the new covariates: it blocks only then.

    A result that does not ask (`relevance_needed` False) stays as it is.
    """
    if not result.relevance_needed:
        return result
    level: Level = "block" if verdict_changes else "warn"
    weighed = [
        replace(alarm, level=level, reason=note, relevance_needed=False) if alarm.relevance_needed else alarm
        for alarm in result.alarms
    ]
    weighed.sort(key=lambda alarm: (-RANK[alarm.level], -alarm.statistic))
    return replace(
        result,
        level=weighed[0].level,
        alarms=tuple(weighed),
        relevance_needed=False,
        detail=f"{result.detail}; decision relevance: {note}",
    )


def nothing(name: str, detail: str, *, comparable: bool) -> DriftResult:
    """No judgement; without anything to compare with, an open incident has lost its ground and may close."""
    return DriftResult("ok", name, BUDGET, 0, 0.0, (), detail, may_close=not comparable)


def _peak(walk: Walk, newest: NDArray[np.int64], group: Group) -> _Peak:
    column = GROUP_ORDER.index(group)
    mine = np.array([GROUPS[kind] == group for kind in walk.kinds], np.bool_)
    detectors: tuple[tuple[Threshold, Detected], ...] = (("block", walk.block), ("warn", walk.warn))
    for threshold, detected in detectors:
        alarmed = newest[detected.alarm[newest, column]]
        if len(alarmed):
            step = int(alarmed[detected.statistic[alarmed, column].argmax()])
            return _Peak(group, threshold, step, float(detected.statistic[step, column]), detected.share[step] * mine)
    step = int(newest[walk.block.statistic[newest, column].argmax()])
    return _Peak(group, None, step, float(walk.block.statistic[step, column]), walk.block.share[step] * mine)


def _alarm(walk: Walk, peak: _Peak) -> GroupAlarm:
    first = _first_step(walk, peak)
    level, reason, relevance_needed = _consequence(walk, peak, first)
    return GroupAlarm(
        group=peak.group,
        threshold=peak.threshold or "warn",
        level=level,
        statistic=peak.statistic,
        since=walk.day(first),
        monitors=tuple(monitor.name for monitor in _top(walk, peak)),
        reason=reason,
        relevance_needed=relevance_needed,
    )


def _consequence(walk: Walk, peak: _Peak, first: int) -> tuple[Level, str, bool]:
    """Level, reason in words, and whether decision relevance must be weighed."""
    if peak.threshold == "warn":
        return "warn", "above the WARN threshold", False
    if peak.group == "covariates":
        return "block", "above the BLOCK threshold; blocks unless the verdict stays on the new covariates", True
    if peak.group == "action":
        covariates = walk.warn.alarm[first : peak.step + 1, GROUP_ORDER.index("covariates")]
        if walk.policies_read_covariates and covariates.any():
            return "block", "the action mix moved with the covariates that policies read; weighed with them", True
        return "block", "the action mix moved without a new policy version", False
    if peak.group == "reward" and _rewards_went_missing(walk, peak.step):
        return "block", "rewards moved while more of the matured rows than before have none: a broken pipeline", False
    if peak.group == "reward":
        return "warn", "rewards moved; as many of the matured rows as before have one", False
    return "warn", "importance weights moved; expected_weight decides whether propensities are wrong", False


def _rewards_went_missing(walk: Walk, step: int) -> bool:
    return any(kind == "pipeline" and walk.z[step, i] >= JUMP for i, kind in enumerate(walk.kinds))


def _first_step(walk: Walk, peak: _Peak) -> int:
    """The step after the last calm one before the alarm, across restarts."""
    column = GROUP_ORDER.index(peak.group)
    calm = (walk.warn.statistic[: peak.step, column] < CALM_BELOW) & ~walk.warn.alarm[: peak.step, column]
    last = np.flatnonzero(calm)
    return int(last[-1]) + 1 if len(last) else 0


def _quiet_cells(walk: Walk) -> int:
    loud = np.flatnonzero(walk.warn.statistic.sum(axis=1) >= QUIET_BELOW)
    return len(walk.moment) - (int(loud[-1]) + 1 if len(loud) else 0)


def _top(walk: Walk, peak: _Peak) -> tuple[Monitor, ...]:
    share = np.where(np.isnan(walk.z[peak.step]), -1.0, peak.share)
    return tuple(walk.monitor(peak.step, i) for i in np.argsort(-share, kind="stable")[:SHOWN] if share[i] > 0)
