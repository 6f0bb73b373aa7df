"""What the guardrails say, as conditions of a promotion and as evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from policies.gate.conditions import Condition
from policies.gate.segments.guardrails import GuardrailResult


def guardrail_conditions(results: Sequence[GuardrailResult]) -> tuple[Condition, ...]:
    """`guardrail_noninferior` (stage) for every guardrail with a margin, `guardrail_harm` (block) for all together."""
    if not results:
        return ()
    harmed = [r for r in results if r.harm]
    names = ", ".join(f"{r.name} ({_number(r.difference)} per interaction)" for r in harmed)
    words = f"the challenger is proven to worsen {names}: it pays for the reward with what is only watched"
    harm = Condition(
        name="guardrail_harm",
        passed=not harmed,
        observed=harmed[0].difference if harmed else None,
        limit=0.0,
        effect="block",
        words=words if harmed else "no guardrail is proven worse",
    )
    return (*(_noninferior(r) for r in results if r.noninferior is not None), harm)


def guardrails_evidence(results: Sequence[GuardrailResult], *, alpha: float) -> dict[str, Any]:
    """JSON-ready `guardrails` of the evidence."""
    return {
        "alpha": alpha,
        "rule": "each margin at the full alpha (all must be kept), whatever the slot's; harm by Holm at alpha",
        "results": [asdict(r) for r in results],
    }


def _noninferior(r: GuardrailResult) -> Condition:
    worse = "above" if r.better == "lower" else "below"
    words = (
        f"guardrail {r.name} is not shown to stay within {_number(r.margin)} {worse} the champion's "
        f"{_number(r.champion_value)}: {_number(r.difference)} so far on {r.n:,.0f} rows whose value is final, which "
        f"can show {_number(r.supportable_margin)}: wait for more rows, or declare a margin that they can show"
    )
    return Condition("guardrail_noninferior", bool(r.noninferior), r.difference, r.margin, "stage", words)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"
