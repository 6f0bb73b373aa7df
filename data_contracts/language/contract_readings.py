"""How rows of older major versions read, as a contract declares it in customProperties.

`reads` of a column says how rows logged before a major version hold it; `retired` of object `interactions` gives back,
out of the columns of today, one that was dropped, to policies that were trained with it:

    customProperties:
      - {property: reads, value: {before: 2.0.0, rename: old_name}}     or default: 0, or expression: "old_a + old_b"
      - {property: retired, value: [{name: old, logicalType: number, until: 2.0.0, expression: "new / 10"}]}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, cast, get_args

from data_contracts.contract import Column, LogicalType, Reading, Retired, Way
from data_contracts.interactions import TAKEN
from data_contracts.language.contract_values import VALUE_TYPES, stored_text
from data_contracts.language.contract_version import MAJOR_VERSION, is_version, version_of
from data_contracts.language.expression_values import Kind, fits, kind_of
from data_contracts.language.expressions import ExpressionError, parse_expression
from data_contracts.language.problems import KeyPath, Problems, as_list, as_mapping, hint, one_of, show
from data_contracts.language.reading_values import type_in_store

READS: Final = "reads"
RETIRED: Final = "retired"
WAYS: Final = get_args(Way)
RETIRED_KEYS: Final = ("name", "logicalType", "until", "expression")
RETIRED_TYPES: Final = ("string", "number", "integer", "boolean")
PYTHON_TYPES: Final[dict[str, tuple[type, ...]]] = {**VALUE_TYPES, "timestamp": (), "array": ()}
NEVER_READ_OTHERWISE: Final = ("interaction_id", "unit_id", "occurred_at", "contract_version")


def with_readings(
    columns: tuple[Column, ...], properties: object, path: KeyPath, *, version: str, problems: Problems
) -> tuple[Column, ...]:
    """`columns` of object interactions with their `reads`; `path` leads to its `properties`."""
    raws = {str(raw.get("name")): (raw, (*path, i)) for i, raw in enumerate(as_list(properties)) if as_mapping(raw)}
    major = version_of(version).major if is_version(version) else None
    read = []
    for column in columns:
        raw, here = raws[column.name]
        readings = tuple(_readings(column, raw, here, major, problems))
        _check_each_once(readings, column, here, problems)
        read.append(replace(column, reads=readings))
    return tuple(read)


def refuse_readings(properties: object, path: KeyPath, problems: Problems) -> None:
    """Outcomes carry no contract version, so that no other way of reading can be declared for older ones."""
    for i, raw in enumerate(as_list(properties)):
        for here, _ in _declared(as_mapping(raw), (*path, i), READS, problems):
            expected, then = "none", "Give values of another meaning a channel of their own."
            problems.add(here, "reads of an outcome's column", expected=expected, got="some", then=then)


def read_retired(
    raw: dict[str, Any], path: KeyPath, *, columns: tuple[Column, ...], version: str, problems: Problems
) -> tuple[Retired, ...]:
    """Columns that the contract has no longer; `path` leads to object interactions."""
    found: list[Retired] = []
    major = version_of(version).major if is_version(version) else None
    for here, value in _declared(raw, path, RETIRED, problems):
        for at, entry in _items(here, value):
            retired = _retired(entry, at, columns, major, problems)
            if retired is None:
                continue
            if any((r.name, r.until) == (retired.name, retired.until) for r in found):
                what, then = f"retired column {retired.name}", "Remove one."
                problems.add(at, what, expected="each once", got=f"it again until {retired.until}.0.0", then=then)
            found.append(retired)
    return tuple(found)


def _declared(raw: dict[str, Any], path: KeyPath, word: str, problems: Problems) -> Iterator[tuple[KeyPath, object]]:
    """Path and value of the custom property `word`; one that is nearly it is a mistake."""
    n_found = 0
    for i, entry in enumerate(as_list(raw.get("customProperties"))):
        name, here = as_mapping(entry).get("property"), (*path, "customProperties", i)
        if name == word:
            n_found += 1
            if n_found == 1:
                yield (*here, "value"), as_mapping(entry).get("value")
            else:
                problems.add(here, f"property {word}", expected="it once", got="it again", then="Merge the two.")
        elif hint(str(name), (word,)):
            place = "customProperties"
            problems.unknown((*here, "property"), kind="property", where=place, accepted=(word,), word=str(name))


def _items(path: KeyPath, value: object) -> list[tuple[KeyPath, object]]:
    """Path and value of every entry; a single one needs no list."""
    return [((*path, i), entry) for i, entry in enumerate(value)] if isinstance(value, list) else [(path, value)]


def _readings(
    column: Column, raw: dict[str, Any], path: KeyPath, major: int | None, problems: Problems
) -> Iterator[Reading]:
    for here, value in _declared(raw, path, READS, problems):
        if column.name in NEVER_READ_OTHERWISE:
            what, then = f"reads of column {column.name}", "Remove it: rows are known by this column."
            problems.add(here, what, expected="none", got="some", then=then)
            continue
        for at, entry in _items(here, value):
            reading = _reading(entry, at, column, major, problems)
            if reading is not None:
                yield reading


def _reading(entry: object, path: KeyPath, column: Column, major: int | None, problems: Problems) -> Reading | None:
    settings, where = as_mapping(entry), f"reads of column {column.name}"
    ways = [word for word in settings if word in WAYS]
    _check_words(settings, ("before", *WAYS), path, where, problems)
    if len(ways) != 1:
        got, then = ", ".join(ways) or show(entry), "Write {before: 2.0.0, rename: OLD_NAME}, say."
        problems.add(path, where, expected=f"before and one of {', '.join(WAYS)}", got=got, then=then)
        return None
    before = _major(settings.get("before"), (*path, "before"), where, major, problems)
    way, value = cast(Way, ways[0]), settings[ways[0]]
    checks = {"rename": _rename_problem, "default": _default_problem, "expression": _expression_problem}
    wrong = checks[way](value, column)
    if wrong:
        expected, then = wrong
        problems.add((*path, way), f"{way} in {where}", expected=expected, got=show(value), then=then)
    return Reading(before, way, value) if before is not None and not wrong else None


def _rename_problem(value: object, column: Column) -> tuple[str, str] | None:
    """(what was expected, what to do) of a wrong value; None for a right one."""
    if isinstance(value, str) and value.strip() and value not in TAKEN:
        return None
    return "the column's name in older rows", "Write the word of the store, not of the log."


def _default_problem(value: object, column: Column) -> tuple[str, str] | None:
    if value is None:
        return ("a value: the column is required", "Give one.") if column.required else None
    stored = type_in_store(column)
    if not (isinstance(value, PYTHON_TYPES[stored]) and isinstance(value, bool) == (stored == "boolean")):
        return f"a value of type {stored}", "Correct it."
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = column.minimum, column.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            return f"a value in [{show(low)}, {show(high)}], the column's bounds", "Correct it."
    words = column.valid_values
    fine = words is None or stored_text(cast(str | int | float, value), column.logical_type) in words
    return None if fine else (one_of(words or ()), "Correct it.")


def _expression_problem(value: object, column: Column) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return "a text", "Quote it."
    try:
        parse_expression(value)
    except ExpressionError as error:
        return str(error), "Correct it."
    return None


def _retired(
    entry: object, path: KeyPath, columns: tuple[Column, ...], major: int | None, problems: Problems
) -> Retired | None:
    settings, where = as_mapping(entry), "retired columns"
    _check_words(settings, RETIRED_KEYS, path, where, problems)
    missing = [word for word in RETIRED_KEYS if word not in settings]
    if missing:
        then = "Write {name: OLD, logicalType: number, until: 2.0.0, expression: NEW}, say."
        problems.add(path, where, expected=", ".join(RETIRED_KEYS), got=f"no {', '.join(missing)}", then=then)
        return None
    name, type_ = settings["name"], settings["logicalType"]
    until = _major(settings["until"], (*path, "until"), f"retired column {name}", major, problems)
    if type_ not in RETIRED_TYPES:
        then = hint(str(type_), RETIRED_TYPES) or "Correct it."
        here, what = (*path, "logicalType"), f"logicalType of retired column {name}"
        problems.add(here, what, expected=one_of(RETIRED_TYPES), got=show(type_), then=then)
        return None
    wrong = _retired_expression_problem(settings["expression"], type_, columns)
    if wrong:
        here, what = (*path, "expression"), f"expression of retired column {name}"
        problems.add(here, what, expected=wrong, got=show(settings["expression"]), then="Correct it.")
    if until is None or wrong:
        return None
    return Retired(str(name), type_, until, settings["expression"])


def _retired_expression_problem(text: object, wanted: LogicalType, columns: tuple[Column, ...]) -> str:
    if not isinstance(text, str):
        return "a text"
    try:
        kind: Kind = kind_of(parse_expression(text), {c.name: type_in_store(c) for c in columns})
    except ExpressionError as error:
        return str(error)
    return "" if fits(kind, wanted) else f"a value of type {wanted}, which {kind} is not"


def _major(value: object, path: KeyPath, where: str, major: int | None, problems: Problems) -> int | None:
    """The major version that `value` names, at least 1 and no later than the contract's own."""
    found = MAJOR_VERSION.fullmatch(value) if isinstance(value, str) else None
    number = int(found[1]) if found else 0
    if number >= 1 and (major is None or number <= major):
        return number
    expected = "a major version, e.g. 2.0.0" if major is None else f"a major version from 1.0.0 to {major}.0.0"
    problems.add(path, f"{path[-1]} in {where}", expected=expected, got=show(value), then="Correct it.")
    return None


def _check_words(
    settings: dict[str, Any], accepted: tuple[str, ...], path: KeyPath, where: str, problems: Problems
) -> None:
    for word in settings:
        if word not in accepted:
            problems.unknown((*path, word), kind="key", where=where, accepted=accepted)


def _check_each_once(readings: tuple[Reading, ...], column: Column, path: KeyPath, problems: Problems) -> None:
    versions = [reading.before for reading in readings]
    repeated = sorted({version for version in versions if versions.count(version) > 1})
    if repeated:
        got, then = f"{repeated[0]}.0.0 again", "Keep one."
        here, what = (*path, "customProperties"), f"reads of column {column.name}"
        problems.add(here, what, expected="each version once", got=got, then=then)
