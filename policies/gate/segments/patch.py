"""Where a challenger may serve already: the values of a segment column on which its lift is proven by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.gate.judging.differences import TwoSided
from policies.gate.judging.judge import Alpha, judge
from policies.gate.question import Question
from policies.gate.segments.segments import Segment, SegmentResult


@dataclass(frozen=True, slots=True)
class PatchFound:
    """The challenger where `column` has one of `values` (as text), the champion elsewhere."""

    column: str
    values: tuple[str, ...]


def find_patch(
    stream: TwoSided, segments: Sequence[Segment], results: Sequence[SegmentResult], question: Question
) -> PatchFound | None:
    """The patch that is proven while a protected segment is not shown to be no worse; None where there is none.

    Of the column of the segments that are not shown, the other segments whose own lift is proven, at the slot's alpha
    for all of them together (Bonferroni), and which are not harmed. None where segments of two columns are open: a
    patch knows one. `results` belong to `segments`. Pure.
    """
    waiting = [r for r in results if r.protected and not r.noninferior]
    if len({r.column for r in waiting}) != 1:
        return None
    column, closed = waiting[0].column, {value for r in waiting for value in r.values}
    others = [
        segment
        for segment, result in zip(segments, results, strict=True)
        if segment.column == column and not result.harm and closed.isdisjoint(segment.values)
    ]
    whole = question.inputs.alpha
    alpha = Alpha(planned=whole.planned / max(len(others), 1), anytime=whole.anytime / max(len(others), 1))
    proven = tuple(
        value
        for segment in others
        if judge(
            stream.lift.select(segment.rows),
            plan=question.plan,
            alpha=alpha,
            fractions=question.fractions,
            bias=question.bias,
        ).proven
        for value in segment.values
    )
    return PatchFound(column, proven) if proven else None
