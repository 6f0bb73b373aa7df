"""The log by week and by policy version: how diverse, how much explored, and the tables that people read of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.checks import FactTable
from data_contracts.feedback.feedback_tally import CERTAIN, MONDAY

EPOCH: Final = date(1970, 1, 1)
TOP: Final = 3
WEEKS_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a week, or of a version."""

    n: int
    shares: NDArray[np.float64]  # (actions,) of the decisions
    exploration: float | None  # None: no propensity is known
    error: float  # standard error of it
    certain: float | None  # share of rows with a propensity >= CERTAIN

    @property
    def effective_actions(self) -> float:
        """exp(entropy): as many equally frequent actions would be as diverse."""
        positive = self.shares[self.shares > 0]
        return math.exp(-float((positive * np.log(positive)).sum()))

    @property
    def top(self) -> float:
        return float(self.shares.max(initial=0.0))


def by_week(decisions: pa.Table) -> dict[int, Part]:
    """Rows of FeedbackTally.decisions by the number of their week."""
    weeks = pc.unique(decisions["week"].drop_null()).to_pylist()
    return {week: _part(decisions.filter(_is(decisions["week"], week))) for week in weeks}


def by_version(decisions: pa.Table) -> dict[str | None, Part]:
    """Rows of FeedbackTally.decisions by policy version."""
    names = pc.unique(decisions["policy_version"]).to_pylist()
    return {name: _part(decisions.filter(_is(decisions["policy_version"], name))) for name in names}


def _is(column: pa.ChunkedArray, value: str | int | None) -> pa.ChunkedArray:
    return column.is_null() if value is None else pc.fill_null(pc.equal(column, value), False)


def _part(cells: pa.Table) -> Part:
    by_action = cells.group_by("action", use_threads=False).aggregate([("weight", "sum")])
    weight = by_action["weight_sum"].to_numpy()
    sums = {name: float(pc.sum(cells[name]).as_py()) for name in cells.column_names[3:]}
    known = sums["weight_known"]
    exploration = sums["other"] / known if known else None
    spread = max(sums["other_squares"] - sums["other"] ** 2 / max(sums["n_known"], 1), 0.0)
    return Part(
        n=int(sums["n"]),
        shares=weight / weight.sum(),
        exploration=exploration,
        error=math.sqrt(spread) / known if known else 0.0,
        certain=sums["certain"] / known if known else None,
    )


def version_table(versions: Mapping[str | None, Part], lineage: frozenset[str]) -> FactTable:
    total = sum(part.n for part in versions.values())
    rows = tuple(
        (
            str(name or "none"),
            "yes" if name in lineage else "no",
            f"{part.n:,}",
            f"{part.n / total:.1%}",
            _percent(part.exploration),
            _percent(part.certain),
        )
        for name, part in sorted(versions.items(), key=lambda item: (-item[1].n, str(item[0])))
    )
    columns = ("version", "champion's line", "rows", "share", "exploration", f"propensity at least {CERTAIN:g}")
    return FactTable("Who wrote the training set", columns, rows)


def week_table(weeks: Mapping[int, Part], n_actions: int) -> FactTable:
    rows = tuple(
        (
            (EPOCH + timedelta(days=7 * week - MONDAY)).isoformat(),
            f"{part.n:,}",
            f"{len(part.shares)} of {n_actions}",
            f"{part.effective_actions:.3g}",
            f"{part.top:.1%}",
            f"{np.sort(part.shares)[-TOP:].sum():.1%}",
            _percent(part.exploration),
        )
        for week, part in sorted(weeks.items())[-WEEKS_SHOWN:]
    )
    columns = ("week from", "rows", "actions taken", "effective actions", "top 1", f"top {TOP}", "exploration")
    return FactTable("Actions week by week", columns, rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"
