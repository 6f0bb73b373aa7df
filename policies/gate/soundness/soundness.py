"""Whether a lift is what it seems: seeds, what carries it, estimators, placebo, and what was forgotten."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.gate.conditions import Condition
from policies.gate.judging.differences import TwoSided
from policies.gate.question import Question
from policies.gate.records import GateRows
from policies.gate.soundness.agreement import assess_agreement
from policies.gate.soundness.exploitation import assess_exploitation
from policies.gate.soundness.forgetting import assess_forgetting, strong_parts
from policies.gate.soundness.fragility import assess_seeds
from policies.gate.soundness.placebo import assess_placebo


@dataclass(frozen=True, slots=True)
class Soundness:
    """`shown` is JSON-ready, by the keys of the evidence."""

    shown: dict[str, Any]
    conditions: tuple[Condition, ...]


def assess_soundness(rows: GateRows, stream: TwoSided, question: Question) -> Soundness:
    """Every check of a one-step log; each says in its own module what it asks and when it stops a promotion."""
    settings, unit = question.settings, stream.lift.unit
    found: dict[str, Any] = {
        "exploitation": assess_exploitation(rows, unit=unit, settings=settings.exploitation),
        "placebo": assess_placebo(rows, unit=unit, look=stream.lift.look),
        "forgetting": assess_forgetting(
            question.inputs.older + strong_parts(rows, stream, settings=settings.forgetting),
            settings=settings.forgetting,
        ),
        "agreement": _agreement(rows, unit, question),
        "fragility": _fragility(rows, unit, question),
    }
    known = {name: one for name, one in found.items() if one is not None}
    return Soundness(
        shown={name: None if one is None else asdict(one) for name, one in found.items()},
        conditions=tuple(condition for one in known.values() for condition in one.conditions),
    )


def _fragility(rows: GateRows, unit: NDArray[np.int64], question: Question) -> Any:
    """None where training knows no seeds."""
    inputs = question.inputs
    if inputs.deployed_seed is None:
        return None
    return assess_seeds(
        rows,
        unit=unit,
        deployed=inputs.deployed_seed,
        others=inputs.other_seeds,
        seed_logged=rows.seed_logged,
        seed_direct=rows.seed_direct,
        settings=question.settings.fragility,
        margin=inputs.margin,
    )


def _agreement(rows: GateRows, unit: NDArray[np.int64], question: Question) -> Any:
    """None where no second reward model was asked."""
    if not rows.other_model.shape[1]:
        return None
    return assess_agreement(
        rows,
        unit=unit,
        other_logged=rows.other_model[:, 0],
        other_direct=rows.other_model[:, 1],
        settings=question.settings.agreement,
    )
