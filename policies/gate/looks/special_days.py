"""Days that are not like others (a sale, a holiday): they stay in the verdict, and people see it without them as well.

A challenger that is better on Black Friday alone would be promoted for it. Leaving the day out of the verdict would let
whoever names the days choose the verdict; so the second one is shown, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from policies.gate.judging.differences import TwoSided
from policies.gate.judging.judge import Alpha, judge
from policies.gate.records import Plan

Days = NDArray[np.datetime64]  # or moments: what counts is the day in UTC


class SpecialDay(BaseModel):
    """A day of the `calendar:` of the gate that is not like others: `2026-11-27`, or with a name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    day: date = Field(description="in UTC, as all days of the gate")
    name: str | None = Field(None, description="what people call it")

    @model_validator(mode="before")
    @classmethod
    def _bare_date(cls, value: Any) -> Any:
        return {"day": value} if isinstance(value, str | date) else value

    @property
    def words(self) -> str:
        return f"{self.day} ({self.name})" if self.name else str(self.day)


@dataclass(frozen=True, slots=True)
class WithoutSpecialDays:
    """The second verdict on the average, JSON-ready."""

    days: tuple[str, ...]  # of the calendar, on which there are rows
    n_special: int
    n_ordinary: int
    mean: float | None  # difference on the ordinary days, in reward; None without any row
    mean_special: float | None
    proven: bool  # better, on the ordinary days alone
    harm: bool  # worse, on the ordinary days alone
    agrees: bool  # with what all days say of both
    sentence: str


def ordinary_rows(moment: Days, calendar: Sequence[SpecialDay]) -> NDArray[np.bool_]:
    """(n,) False on the calendar's days (UTC), True on all others: the rows of the second verdict that people see."""
    special = np.array([np.datetime64(special.day, "D") for special in calendar], "datetime64[D]")
    return ~np.isin(moment.astype("datetime64[D]"), special)


def met_days(moment: Days, calendar: Sequence[SpecialDay]) -> tuple[SpecialDay, ...]:
    """The calendar's days on which there are rows, in order of time."""
    days = set(np.unique(moment.astype("datetime64[D]")).tolist())
    return tuple(sorted((special for special in calendar if special.day in days), key=lambda special: special.day))


def without_special_days(
    differences: TwoSided,
    moment: Days,
    calendar: Sequence[SpecialDay],
    *,
    plan: Plan,
    alpha: Alpha,
    fractions: tuple[float, ...],
    proven: bool,
    harm: bool,
) -> WithoutSpecialDays | None:
    """Judge the stream again on its ordinary days; None when no row lies on one of the calendar's.

    `moment` (n,) are the observations' days; `fractions` those of the looks; `proven` and `harm` what the judge said
    of all days. Same alpha, boundaries and plan: a reading of the same evidence, not another test of it.
    """
    met = met_days(moment, calendar)
    if not met:
        return None
    ordinary = ordinary_rows(moment, calendar)
    left = differences.select(ordinary)
    again = tuple(
        bool(len(side.value)) and judge(side, plan=plan, alpha=alpha, fractions=fractions).proven
        for side in (left.lift, left.harm)
    )
    days, n_special = tuple(day.words for day in met), int((~ordinary).sum())
    return WithoutSpecialDays(
        days=days,
        n_special=n_special,
        n_ordinary=left.lift.n,
        mean=_mean(left),
        mean_special=_mean(differences.select(~ordinary)),
        proven=again[0],
        harm=again[1],
        agrees=again == (proven, harm),
        sentence=_sentence(days, n_special, before=(proven, harm), after=again),
    )


def _mean(differences: TwoSided) -> float | None:
    lift = differences.lift
    weight = lift.share * lift.count
    return float(weight @ lift.value / weight.sum()) if lift.n else None


def _sentence(days: tuple[str, ...], n_special: int, *, before: tuple[bool, ...], after: tuple[bool, ...]) -> str:
    words = {(True, False): "better", (False, True): "worse", (False, False): "not proven either way"}
    named = ", ".join(days[:5]) + (f" and {len(days) - 5} more" if len(days) > 5 else "")
    what = words.get((after[0], after[1]), "better and worse")
    same = "as with them" if before == after else f"with them it is {words.get((before[0], before[1]), 'both')}"
    return f"Without {named} ({n_special:,} rows) the challenger is {what}; {same}."
