"""Looks of the gate at rows made by a test, with everything told that a real look is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from policies.gate.decision import decide
from policies.gate.inputs import LookInputs, share_of
from policies.gate.looks.alpha import LedgerSettings, SlotAlpha, allocate_alpha
from policies.gate.records import GateDecision, GateRows, Plan
from policies.gate.segments.guardrail_rules import Guardrail
from policies.gate.settings import GateSettings

OPENED = datetime(2026, 3, 1, tzinfo=UTC)


def first_slot(*, slots: int = 50, alpha: float = 0.05) -> SlotAlpha:
    """The first slot of a period."""
    return allocate_alpha([], settings=LedgerSettings(slots=slots), alpha=alpha, now=OPENED)


def decide_look(
    rows: GateRows, settings: GateSettings, plan: Plan, *, guardrails: tuple[Guardrail, ...] = (), **changes: Any
) -> GateDecision:
    """One look at all rows, unless `changes` of the inputs say otherwise."""
    if isinstance(changes.get("slot"), SlotAlpha):
        changes["slot"] = share_of(changes["slot"])
    told = {"look": 1, "look_ends": (rows.n,), "slot": share_of(first_slot()), "rows_per_day": 100.0}
    return decide(
        rows, settings=settings, plan=plan, inputs=LookInputs.model_validate({**told, **changes}), guardrails=guardrails
    )
