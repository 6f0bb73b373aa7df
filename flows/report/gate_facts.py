"""What the gate found beside the average, as a Reward Report says it; a part is empty where the gate did not ask."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import Field

from flows.report.data_facts import Part
from policies.gate.records import SOURCES

Light = Literal["green", "amber", "red", "watched"]
P = TypeVar("P", bound=Part)


class Condition(Part):
    """One condition of a promotion."""

    name: str
    passed: bool
    observed: float | None = None
    limit: float | None = None
    effect: Literal["refuse", "block", "stage", "hold"]
    words: str


class SegmentLine(Part):
    """A part of the traffic, or a guardrail; values in units of the reward or of the channel, per interaction."""

    name: str
    light: Light
    protected: bool  # of a guardrail: it has a margin
    n: float
    champion_value: float | None = None
    difference: float | None = None
    standard_error: float | None = None
    margin: float | None = None  # of a segment: a share of the champion's value; of a guardrail: in its units
    supportable: float | None = None  # the margin that these rows can be expected to show
    truth: float | None = None  # exact difference, where the world is simulated


class SeedLine(Part):
    seed: int
    deployed: bool
    lift: float
    standard_error: float


class CarriedLine(Part):
    """Share of the lift that comes from few rows."""

    by: str
    share: float | None = None
    limit: float


class AlphaLine(Part):
    """What the slot may spend of the period's error."""

    slot_alpha: float
    slot_number: int
    n_slots: int
    n_promoted_before: int
    mode: str
    alpha: float


class PlannedLook(Part):
    """The planned branch at one look."""

    look: int
    n: float
    z: float | None = None
    boundary: float | None = None
    tail_rule: bool
    planned: bool
    anytime: bool


class Calendar(Part):
    """The second verdict, without the calendar's days."""

    days: tuple[str, ...]
    n_special: int
    n_ordinary: int
    mean: float | None = None
    mean_special: float | None = None
    proven: bool
    harm: bool
    agrees: bool
    sentence: str


class Standing(Part):
    """How settled the champion is: a stage, a holdback, or final."""

    standing: str
    words: str = ""
    step: str = ""


class GateChecks(Part):
    """Everything beside the average."""

    conditions: tuple[Condition, ...] = ()
    segments: tuple[SegmentLine, ...] = ()
    guardrails: tuple[SegmentLine, ...] = ()
    seeds: tuple[SeedLine, ...] = ()
    carried: tuple[CarriedLine, ...] = ()
    warnings: tuple[str, ...] = ()
    alpha: AlphaLine | None = None
    looks: tuple[PlannedLook, ...] = ()
    sources: dict[str, int] = Field(default={}, description="rows by what their behavior probabilities come from")
    calendar: Calendar | None = None


def gate_checks(evidence: dict[str, Any], *, truth: dict[str, float]) -> GateChecks | None:
    """The parts of a decision's evidence; `truth`: exact differences by `column=value`. None of older formulas."""
    if evidence["formula"] < 3:
        return None
    looks = [] if evidence["average"] is None else evidence["average"]["lift"]["looks"]
    return GateChecks(
        conditions=tuple(Condition.model_validate(c) for c in evidence["conditions"]),
        segments=tuple(_segment(r, truth) for r in (evidence["segments"] or {}).get("results", [])),
        guardrails=tuple(_guardrail(r) for r in (evidence["guardrails"] or {}).get("results", [])),
        seeds=tuple(_pick(SeedLine, seed) for seed in (evidence["fragility"] or {}).get("seeds", [])),
        carried=tuple(_pick(CarriedLine, c) for c in (evidence["exploitation"] or {}).get("carried", [])),
        warnings=tuple((evidence["agreement"] or {}).get("warnings", [])),
        alpha=_alpha(evidence["inputs"]["slot"]),
        looks=tuple(_pick(PlannedLook, look) for look in looks),
        sources={name: n for name, n in evidence["sources"].items() if n and name in SOURCES},
        calendar=None if evidence["calendar"] is None else Calendar.model_validate(evidence["calendar"]),
    )


def _pick(kind: type[P], record: dict[str, Any]) -> P:
    return kind.model_validate({name: record[name] for name in kind.model_fields if name in record})


def _segment(result: dict[str, Any], truth: dict[str, float]) -> SegmentLine:
    names = [f"{result['column']}={value}" for value in result["values"]]
    exact = truth.get(names[0]) if len(names) == 1 else None
    return _pick(SegmentLine, {**result, "supportable": result["supportable_margin"], "truth": exact})


def _guardrail(result: dict[str, Any]) -> SegmentLine:
    known = {"protected": result["noninferior"] is not None, "supportable": result["supportable_margin"]}
    return _pick(SegmentLine, {**result, **known})


def _alpha(slot: dict[str, Any]) -> AlphaLine:
    return _pick(AlphaLine, {**slot, "slot_alpha": slot["planned"] + slot["anytime"]})
