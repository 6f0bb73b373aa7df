"""Enumerations of a contract: which values a column may hold, row by row."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from data_contracts.contract import LogicalType
from data_contracts.interactions import LOGICAL_TYPES
from data_contracts.language.contract_rules import INVALID_VALUES
from data_contracts.language.problems import KeyPath, Problems, as_list, as_mapping, show

VALUE_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def read_valid_values(
    raw: dict[str, Any], name: str, logical_type: LogicalType, path: KeyPath, problems: Problems
) -> tuple[str, ...] | None:
    """The enumeration of a column, as the store's text: `metric: invalidValues` with `arguments: {validValues: […]}`.

    It is a rule about each row (a row that breaks it goes to quarantine), so it takes no tolerance.
    """
    found = None
    for i, rule in enumerate(as_list(raw.get("quality"))):
        here = (*path, "quality", i)
        if as_mapping(rule).get("metric") != INVALID_VALUES:
            continue
        if found is not None:
            what = f"two enumerations of column {name}"
            problems.add(here, what, expected="one invalidValues rule", got="another", then="Merge them.")
        _check_row_rule(rule, name, here, problems)
        found = _valid_values(rule, name, logical_type, here, problems)
    return found


def _check_row_rule(rule: dict[str, Any], name: str, path: KeyPath, problems: Problems) -> None:
    where = f"invalidValues of column {name}"
    for word, value in rule.items():
        if word.startswith("must") and (word, value) != ("mustBe", 0):
            then = "Remove it: a row with another value is quarantined."
            problems.add((*path, word), where, expected="mustBe: 0, or no operator", got=f"{word}: {value}", then=then)
    if rule.get("severity", "block") != "block":
        then = "Remove it: a row with another value is quarantined."
        got = show(rule["severity"])
        problems.add((*path, "severity"), f"severity of {where}", expected="block, or none", got=got, then=then)
    for word in as_mapping(rule.get("arguments")):
        if word != "validValues":
            problems.unknown((*path, "arguments", word), kind="argument", where=where, accepted=("validValues",))


def _valid_values(
    rule: dict[str, Any], name: str, logical_type: LogicalType, path: KeyPath, problems: Problems
) -> tuple[str, ...] | None:
    values = as_mapping(rule.get("arguments")).get("validValues")
    here = (*path, "arguments", "validValues")
    accepted = VALUE_TYPES.get(logical_type)
    if accepted is None or not isinstance(values, list) or not values:
        expected = "a list of values" if accepted else f"none for a column of type {logical_type}"
        problems.add(here, f"validValues of column {name}", expected=expected, got=show(values), then="Correct it.")
        return None
    fine = True
    for i, value in enumerate(values):
        is_typed = isinstance(value, accepted) and isinstance(value, bool) == (logical_type == "boolean")
        if not is_typed or value in values[:i]:
            expected = f"each {logical_type} once" if is_typed else f"a {logical_type}"
            what = f"validValues of column {name}"
            problems.add((*here, i), what, expected=expected, got=show(value), then="Correct it.")
            fine = False
    if not fine:
        return None
    return tuple(stored_text(value, logical_type) for value in values)


def stored_text(value: str | int | float, logical_type: LogicalType) -> str:
    """The value as Arrow spells it, because the row rules compare text."""
    if logical_type == "number":  # Arrow alone knows how it spells a double; asking it loads pandas
        return str(pa.scalar(float(value), LOGICAL_TYPES["number"]).cast(pa.string()).as_py())
    return str(value).lower() if logical_type == "boolean" else str(value)
