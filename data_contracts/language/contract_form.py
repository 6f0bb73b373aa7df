"""What a log leaves out or writes in its own way: values to fill in, and the zone of times without an offset.

properties:
  - {name: unit_id, logicalType: string, required: true,
     customProperties: [{property: fill, value: {copy: interaction_id}}]}     or constant: WORD, or digest: row
  - {name: occurred_at, logicalType: timestamp, required: true, logicalTypeOptions: {defaultTimezone: Europe/Paris}}
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, cast
from zoneinfo import available_timezones

from data_contracts.contract import Column, Fill
from data_contracts.language.problems import KeyPath, Problems, as_list, as_mapping, one_of, show

FILL: Final = "fill"
ZONE: Final = "defaultTimezone"
WAYS: Final = ("constant", "copy", "digest")
TEXT_COLUMNS: Final = ("interaction_id", "unit_id", "policy_version", "arm")  # of the interaction record
ROW: Final = "row"


def with_forms(
    columns: tuple[Column, ...], properties: object, path: KeyPath, *, problems: Problems
) -> tuple[Column, ...]:
    """`columns` with their `fill` and `zone`; `path` leads to the `properties` of their object."""
    raws = {str(raw.get("name")): (raw, (*path, i)) for i, raw in enumerate(as_list(properties)) if as_mapping(raw)}
    names = {column.name for column in columns}
    formed = []
    for column in columns:
        raw, here = raws[column.name]
        formed.append(replace(column, fill=_fill(column, raw, here, names, problems), zone=_zone(raw, here, problems)))
    return tuple(formed)


def _fill(column: Column, raw: dict[str, Any], path: KeyPath, names: set[str], problems: Problems) -> Fill | None:
    for i, entry in enumerate(as_list(raw.get("customProperties"))):
        if as_mapping(entry).get("property") != FILL:
            continue
        here, what = (*path, "customProperties", i, "value"), f"fill of column {column.name}"
        found = as_mapping(as_mapping(entry).get("value"))
        way, value = next(iter(found.items()), ("", None))
        expected = _expected(column, str(way), value, names) if len(found) == 1 else f"one of {one_of(WAYS)}"
        if expected:
            problems.add(here, what, expected=expected, got=show(as_mapping(entry).get("value")), then="Correct it.")
            return None
        return Fill(cast(Any, way), str(value))
    return None


def _expected(column: Column, way: str, value: object, names: set[str]) -> str:
    """What should stand there instead; empty when it is right."""
    if column.name not in TEXT_COLUMNS:
        return f"none: only {one_of(TEXT_COLUMNS)} can be filled"
    if way not in WAYS:
        return f"one of {one_of(WAYS)}"
    if way == "digest":
        return "" if value == ROW and column.name == "interaction_id" else "{digest: row}, of interaction_id"
    if not isinstance(value, str) or not value.strip():
        return "a word"
    if way == "copy" and (value not in names or value == column.name):
        return f"another column: {one_of(sorted(names - {column.name}))}"
    return ""


def _zone(raw: dict[str, Any], path: KeyPath, problems: Problems) -> str | None:
    options = as_mapping(raw.get("logicalTypeOptions"))
    if raw.get("logicalType") != "timestamp" or ZONE not in options:
        return None
    zone = options[ZONE]
    if not isinstance(zone, str) or zone not in available_timezones():
        what, then = f"{ZONE} of column {raw.get('name')}", "Write UTC, or Europe/Paris, say."
        here = (*path, "logicalTypeOptions", ZONE)
        problems.add(here, what, expected="the name of a zone", got=show(zone), then=then)
        return None
    return zone
