"""Formulas of the gate whose stored evidence this release recomputes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from policies.gate import formula_2
from policies.gate.decision import FORMULA, decide
from policies.gate.episodes.episode_rows import EpisodeColumns
from policies.gate.inputs import LookInputs
from policies.gate.records import GateDecision, GateRows, Plan
from policies.gate.segments.guardrail_readings import GuardrailReading
from policies.gate.segments.guardrail_rules import put_together
from policies.gate.settings import GateSettings

OLDER: Final = (1, 2)
RECOMPUTABLE: Final = (*OLDER, FORMULA)
ONLY_LATER: Final = {1: frozenset({"influence"}), 2: frozenset[str]()}  # keys that a formula did not write


def recompute(
    rows: GateRows,
    *,
    stored: dict[str, Any],
    readings: Sequence[GuardrailReading] = (),
    episodes: EpisodeColumns | None = None,
) -> GateDecision:
    """The decision of one look under the formula its evidence names, from the rows of all looks up to it, what
    each of them read of the guardrails, and of a task with episodes their columns."""
    written: dict[str, Any] = {name: math.nan if value is None else value for name, value in stored["plan"].items()}
    plan = Plan(**written)
    if stored["formula"] in OLDER:
        return formula_2.decide_again(rows, plan=plan, stored=stored)
    settings = GateSettings.model_validate(stored["settings"])
    inputs = LookInputs.model_validate(stored["inputs"])
    guardrails = put_together(inputs.guardrail_rules, readings, interaction_id=rows.interaction_id)
    return decide(rows, settings=settings, plan=plan, inputs=inputs, guardrails=guardrails, episodes=episodes)


def comparable(stored: GateDecision, again: GateDecision) -> tuple[dict[str, Any], dict[str, Any]]:
    """What must be equal, stored and fresh: everything, and of older formulas all that decides."""
    kept, formula = stored.evidence, stored.evidence["formula"]
    if formula not in OLDER:
        return {"reasons": list(stored.reasons), "evidence": kept}, {
            "reasons": again.reasons,
            "evidence": again.evidence,
        }
    numbers = {name: kept.get(name) for name in again.evidence}
    numbers["refusals"] = [formula_2.as_compared(check) for check in kept["refusals"]]
    unknown = sorted(ONLY_LATER[formula] & kept.keys())
    return {**numbers, "not of this formula": unknown}, {**again.evidence, "not of this formula": []}
