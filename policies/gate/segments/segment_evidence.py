"""What the segments say, as conditions of a promotion and as evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from policies.gate.conditions import Condition
from policies.gate.segments.segments import SegmentResult


def segment_conditions(results: Sequence[SegmentResult]) -> tuple[Condition, ...]:
    """`segment_noninferior` (stage) for every protected segment, `segment_harm` (block) for all together."""
    if not results:
        return ()
    protected = tuple(_noninferior(r) for r in results if r.protected)
    harmed = [r for r in results if r.harm]
    worst = min(harmed, key=lambda r: r.relative or 0.0, default=None)
    names = ", ".join(f"{r.name} ({_percent(r.relative)})" for r in harmed)
    words = f"the challenger is proven worse than the champion in {names}: serve the champion there, or train anew"
    harm = Condition(
        name="segment_harm",
        passed=not harmed,
        observed=worst.relative if worst else None,
        limit=0.0,
        effect="block",
        words=words if harmed else "no segment is proven worse",
    )
    return (*protected, harm)


def segments_evidence(results: Sequence[SegmentResult], *, alpha: float) -> dict[str, Any]:
    """JSON-ready `segments` of the evidence."""
    return {
        "alpha": alpha,
        "rule": "each protected segment at the full alpha (all must pass), whatever the slot's; harm by Holm at alpha",
        "results": [{**asdict(r), "values": list(r.values), "supported": r.supported} for r in results],
    }


def _noninferior(r: SegmentResult) -> Condition:
    known = r.lower is not None and r.champion_value != 0
    lower = r.lower / abs(r.champion_value) if known and r.lower is not None else None
    limit = -(r.margin or 0.0)
    can = "" if r.supportable_margin is None else f"; {r.n:,.0f} rows can show {r.supportable_margin:.0%}"
    words = (
        f"the protected segment {r.name} is not shown to lose less than {-limit:.0%}: {_percent(r.relative)} so far, "
        f"at least {_percent(lower)}{can}: wait for more rows, or serve the champion there"
    )
    return Condition("segment_noninferior", bool(r.noninferior), lower, limit, "stage", words)


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{share:+.1%}"
