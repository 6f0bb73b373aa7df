"""Segments: no worse than a margin where the task protects, no proven harm anywhere else.

A better average says nothing of a part of the traffic: with the average up by 10 %, "no harm detected" lets a loss of
20 % in a tenth of it pass in six of ten cases, because a small segment rarely proves anything. So the burden is turned
round for a short declared list: the challenger must *show* that it loses less than the margin there. Every protected
segment is asked at the full error: all must answer yes, so none of them can let a bad challenger through alone.
Source: intersection-union test, Berger 1982; statistics of the gate, sections 2.6 and 4.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.differences import Differences, TwoSided
from policies.gate.judging.judge import Judged, judge, split_alpha
from policies.gate.judging.planned_branch import moments_at_looks
from policies.gate.records import GateRows, Plan
from policies.gate.segments.holm import Answer, step_down
from policies.gate.segments.segment_settings import SegmentSettings

LEAST_ROWS: Final = 100  # of a segment that is not protected: fewer prove nothing
MOST_LEVELS: Final = 20  # of a column, the largest: a column of many levels is no segmentation
FOR_EIGHTY_PERCENT: Final = 1.645 + 0.842  # standard errors at which a margin is shown in 80 % of cases, error 5 %

Light = Literal["green", "amber", "red", "watched"]


@dataclass(frozen=True, slots=True, repr=False)
class Segment:
    """A part of the gate rows; `margin` (share of the champion's value) is None where it is not protected."""

    name: str
    column: str
    values: tuple[str, ...]
    margin: float | None
    rows: NDArray[np.bool_]  # (n,)

    def __repr__(self) -> str:
        return f"Segment({self.name!r}, n={int(self.rows.sum())})"


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """What the looks so far say of one segment; JSON-ready by `asdict`. Values in reward per interaction."""

    name: str
    column: str
    values: tuple[str, ...]
    protected: bool
    n: float
    share: float  # of the gate rows
    champion_value: float
    difference: float | None  # challenger - champion
    standard_error: float | None
    relative: float | None  # difference / champion's value
    margin: float | None  # as declared: a share of the champion's value
    lower: float | None  # the difference was shown to exceed it (planned branch, or the margin once it was shown)
    noninferior: bool | None  # None: not asked
    same: bool  # the policies agree on every row: nothing can differ
    harm: bool  # proven
    harm_alpha: float  # error at which harm was asked last
    supportable_margin: float | None  # share that these rows show in 80 % of cases if nothing is lost
    light: Light

    @property
    def supported(self) -> bool | None:
        """Whether these rows can be expected to show the declared margin."""
        if self.margin is None or self.supportable_margin is None:
            return None
        return self.supportable_margin <= self.margin


def find_segments(columns: Mapping[str, NDArray[np.str_]], protected: Sequence[SegmentSettings]) -> tuple[Segment, ...]:
    """The protected segments in their order, then every other value of the columns that has LEAST_ROWS rows.

    `columns`: (n,) text of every segment column, "" where it is not known. Of a column with more than MOST_LEVELS
    values only the largest are watched; which ones depends on counts alone.
    """
    found = [
        Segment(s.name, s.column, s.values, s.margin, np.isin(columns[s.column], np.array(s.values))) for s in protected
    ]
    for column, values in sorted(columns.items()):
        declared = {value for s in protected if s.column == column for value in s.values}
        levels, counts = np.unique(values, return_counts=True)
        largest = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
        for i in sorted(largest.tolist()):
            level = str(levels[i])
            if level and level not in declared and counts[i] >= LEAST_ROWS:
                found.append(Segment(f"{column}={level}", column, (level,), None, values == levels[i]))
    return tuple(found)


def champion_values(rows: GateRows, segments: Sequence[Segment]) -> dict[str, float]:
    """Doubly robust value of the champion on each segment's rows, in reward; 0 where it has none.

    V0 = mean_i [sum_a champion_a q_a + (champion_A / b_A)(r - q_A)], by row weight. A margin that is a share of it
    inherits its error, about a tenth of its standard error: small beside that of the difference.
    Source: Dudik, Langford & Li 2011.
    """
    index = np.arange(rows.n)
    weight = rows.champion[index, rows.action] / rows.behavior[index, rows.action]
    residual = rows.reward - rows.reward_model[index, rows.action]
    terms = np.einsum("ij,ij->i", rows.champion, rows.reward_model) + weight * residual
    return {
        s.name: float(np.average(terms[s.rows], weights=rows.weight[s.rows])) if s.rows.any() else 0.0 for s in segments
    }


def judge_segments(
    two_sided: TwoSided,
    segments: Sequence[Segment],
    *,
    champion_value: Mapping[str, float],
    plan: Plan,
    alpha: float,
    fractions: tuple[float, ...],
    bias: float = 0.0,
) -> tuple[SegmentResult, ...]:
    """Non-inferiority of each protected segment, and harm of every segment, over the same looks as the average.

    noninferior: value(challenger) - value(champion) > -margin |V0| on the segment is shown, each at the full `alpha`.
    harm: it is shown to be below 0, at `alpha` for all segments together (Holm). `alpha` is the task's, whatever the
    ledger gave the slot: it bounds the risk of this one claim, and promotions are bounded by the average's.
    `fractions` and `bias` as in `judge`; a segment without rows shows nothing. Pure.
    """
    asked = partial(judge, plan=plan, fractions=fractions, bias=bias)
    harms = step_down([partial(_harmed, two_sided.harm, s.rows, asked) for s in segments], alpha=alpha)
    return tuple(
        _result(s, two_sided.lift.select(s.rows), asked, alpha=alpha, champion=champion_value[s.name], harm=harm)
        for s, harm in zip(segments, harms, strict=True)
    )


def _harmed(stream: Differences, rows: NDArray[np.bool_], asked: Callable[..., Judged], alpha: float) -> bool:
    """The part is selected anew each time: all parts together are a second copy of the stream."""
    part = stream.select(rows)
    return part.n > 0 and bool(part.spread.any()) and asked(part, alpha=split_alpha(alpha)).proven


def _result(
    segment: Segment,
    lift: Differences,
    asked: Callable[..., Judged],
    *,
    alpha: float,
    champion: float,
    harm: Answer,
) -> SegmentResult:
    last = next(reversed(moments_at_looks(lift)), None)
    error = last.standard_error if last and math.isfinite(last.standard_error) else None
    same = lift.n > 0 and not lift.spread.any()
    shown, lower = None, None
    if segment.margin is not None:
        shown, lower = _ask(lift, partial(asked, alpha=split_alpha(alpha)), margin=segment.margin * abs(champion))
    return SegmentResult(
        name=segment.name,
        column=segment.column,
        values=segment.values,
        protected=segment.margin is not None,
        n=last.n if last else 0.0,
        share=float(segment.rows.mean()) if len(segment.rows) else 0.0,
        champion_value=champion,
        difference=last.mean if last else None,
        standard_error=error,
        relative=last.mean / abs(champion) if last and champion else None,
        margin=segment.margin,
        lower=lower,
        noninferior=shown,
        same=same,
        harm=harm.proven,
        harm_alpha=harm.alpha,
        supportable_margin=FOR_EIGHTY_PERCENT * error / abs(champion) if error is not None and champion else None,
        light="red" if harm.proven else "watched" if shown is None else "green" if shown else "amber",
    )


def _ask(lift: Differences, asked: Callable[..., Judged], *, margin: float) -> tuple[bool, float | None]:
    """Whether a loss of `margin` (in reward) is excluded, and the largest difference that is shown to be exceeded."""
    if not lift.n:
        return False, None
    if not lift.spread.any():
        return True, 0.0
    judged = asked(lift, margin=-margin)
    bounds = [
        look.mean - look.boundary * look.standard_error
        for look in judged.looks
        if look.tail_rule and look.boundary is not None and look.standard_error is not None
    ]
    return judged.proven, max([*bounds, *([-margin] if judged.proven else [])], default=None)
