"""Service levels that a contract promises: how old the newest row may be, and how much of the log must be there.

slaProperties:
  - {property: latency, value: 48, unit: h}                                     freshness is the same
  - {property: completeness, value: 95, unit: percent, element: interactions}   or outcomes; default: interactions
customProperties:
  - {property: slaSeverity, value: {freshness: block, completeness: warn}}      default of both: warn
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

from data_contracts.contract import Completeness, Severity
from data_contracts.language.problems import KeyPath, Problems, as_list, as_mapping, hint, one_of, show

FRESHNESS: Final = ("freshness", "latency")  # names of one thing; ODCS prefers the second
COMPLETENESS: Final = "completeness"
HOURS: Final = {"h": 1.0, "hour": 1.0, "hours": 1.0, "d": 24.0, "day": 24.0, "days": 24.0}
PERCENT: Final = ("percent", "%")
ELEMENTS: Final = ("interactions", "outcomes")
SEVERITY: Final = "slaSeverity"


@dataclass(frozen=True, slots=True)
class Sla:
    """What a contract promises; see Contract."""

    freshness_hours: float | None
    freshness_severity: Severity
    completeness: tuple[Completeness, ...]
    completeness_severity: Severity


def read_sla(data: dict[str, Any], problems: Problems) -> Sla:
    """The service levels of a contract's file; properties that Sluice does not judge are left to people."""
    hours: float | None = None
    complete: dict[str, Completeness] = {}
    for word, entry, path in _entries(data, problems):
        if word in FRESHNESS:
            found = _hours(word, entry, path, problems)
            if hours is not None:
                problems.add(path, f"SLA {word}", expected="one of freshness and latency", got="both", then="Keep one.")
            hours = hours if hours is not None else found
        elif word == COMPLETENESS:
            promise = _completeness(entry, path, problems)
            if promise is not None and promise.element in complete:
                what, then = f"SLA completeness of {promise.element}", "Keep one."
                problems.add(path, what, expected="it once", got="it again", then=then)
            complete |= {promise.element: promise} if promise is not None else {}
    severity = _severities(data, problems)
    return Sla(hours, severity.get("freshness", "warn"), tuple(complete.values()), severity.get(COMPLETENESS, "warn"))


def _entries(data: dict[str, Any], problems: Problems) -> Iterator[tuple[str, dict[str, Any], KeyPath]]:
    """(property, entry, path) of each service level; a property that is nearly one of ours is a mistake."""
    accepted = (*FRESHNESS, COMPLETENESS)
    for i, raw in enumerate(as_list(data.get("slaProperties"))):
        entry, path = as_mapping(raw), ("slaProperties", i)
        word = str(entry.get("property") or "")
        if not word:
            what, then = "SLA without a name", "Write {property: latency, value: 48, unit: h}, say."
            problems.add(path, what, expected="key property", got=show(entry.get("property")), then=then)
        elif word in accepted:
            yield word, entry, path
        elif hint(word, accepted):
            here = (*path, "property")
            problems.unknown(here, kind="SLA property", where="slaProperties", accepted=accepted, word=word)


def _hours(word: str, entry: dict[str, Any], path: KeyPath, problems: Problems) -> float | None:
    value, unit = _number(entry.get("value")), str(entry.get("unit"))
    if value is not None and value > 0 and unit in HOURS:
        return value * HOURS[unit]
    expected, got = f"a number above 0 and a unit ({', '.join(HOURS)})", f"{show(entry.get('value'))} {unit}"
    problems.add((*path, "value"), f"SLA {word}", expected=expected, got=got, then="Correct it.")
    return None


def _completeness(entry: dict[str, Any], path: KeyPath, problems: Problems) -> Completeness | None:
    value, unit, element = _number(entry.get("value")), str(entry.get("unit")), entry.get("element", ELEMENTS[0])
    if value is None or not 0 < value <= 100 or unit not in PERCENT:
        expected = f"a number above 0, at most 100, and a unit ({', '.join(PERCENT)})"
        got, value = f"{show(entry.get('value'))} {unit}", None
        problems.add((*path, "value"), "SLA completeness", expected=expected, got=got, then="Correct it.")
    if element not in ELEMENTS:
        here, then = (*path, "element"), hint(str(element), ELEMENTS) or "Name one object."
        problems.add(here, "element of SLA completeness", expected=one_of(ELEMENTS), got=show(element), then=then)
        return None
    return Completeness(element, value) if value is not None else None


def _severities(data: dict[str, Any], problems: Problems) -> dict[str, Severity]:
    """Rule -> severity, of custom property slaSeverity."""
    found: dict[str, Severity] = {}
    rules, severities = ("freshness", COMPLETENESS), get_args(Severity)
    for i, raw in enumerate(as_list(data.get("customProperties"))):
        name, path = as_mapping(raw).get("property"), ("customProperties", i)
        if name != SEVERITY:
            if hint(str(name), (SEVERITY,)):
                where = "customProperties"
                problems.unknown(
                    (*path, "property"), kind="property", where=where, accepted=(SEVERITY,), word=str(name)
                )
            continue
        value = as_mapping(raw).get("value")
        if not isinstance(value, dict):
            then = "Write value: {freshness: block}, say."
            problems.add((*path, "value"), SEVERITY, expected="rules and severities", got=show(value), then=then)
        for word, severity in as_mapping(value).items():
            here = (*path, "value", word)
            if word not in rules:
                problems.unknown(here, kind="rule", where=SEVERITY, accepted=rules)
            elif severity not in severities:
                then = "block stops the run, warn only tells."
                problems.add(
                    here, f"severity of SLA {word}", expected=one_of(severities), got=show(severity), then=then
                )
            else:
                found[word] = cast(Severity, severity)
    return found


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
