"""A contract's file against ODCS v3.1 and against what Sluice needs of it: all mistakes at once, each with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from data_contracts.contract import Column, Contract, TableRule
from data_contracts.contract_columns import INTERACTIONS, OUTCOMES, read_columns
from data_contracts.contract_rules import read_table_rules
from data_contracts.problems import KeyPath, Problem, Problems, as_list, as_mapping, hint, show
from data_contracts.yaml_strict import YamlFile, read_yaml

API_VERSION = re.compile(r"v3\.1\.\d+")
KIND: Final = "DataContract"
REQUIRED_KEYS: Final = ("apiVersion", "kind", "id", "version", "status")  # of ODCS v3.1

# The library also knows v3.2; what that added would be read by nobody: model -> key -> what to do instead.
NOT_IN_V31: Final[dict[str, dict[str, str]]] = {
    "OpenDataContractStandard": {"context": ""},
    "SchemaObject": {"deprecated": "", "synonyms": "", "context": ""},
    "SchemaProperty": {
        "enum": "Write quality: [{metric: invalidValues, arguments: {validValues: [...]}}].",
        "deprecated": "",
        "synonyms": "",
        "semanticType": "",
        "map": "",
    },
    "DataQuality": {"rule": "Did you mean 'metric'?"},  # deprecated by v3.1
    "ServiceLevelAgreementProperty": {"customProperties": "", "authoritativeDefinitions": ""},
    "CustomProperty": {"vendor": ""},
}
HOURS: Final = {"h": 1.0, "hour": 1.0, "hours": 1.0, "d": 24.0, "day": 24.0, "days": 24.0}
FRESHNESS: Final = ("freshness", "latency")  # names of one thing; ODCS prefers the second


def parse_contract(path: Path) -> tuple[Contract | None, list[Problem]]:
    """The contract, or None and every mistake in it, in the order of the lines."""
    document = read_yaml(path)
    problems = Problems(document.file, document.index, list(document.problems))
    contract = None if document.data is None else _contract(document, document.data, path, problems)
    return (None if problems.found else contract), sorted(problems.found)


def _contract(document: YamlFile, data: dict[str, Any], path: Path, problems: Problems) -> Contract:
    _check_standard(data, problems)
    _check_header(data, problems)
    objects = _objects(data, problems)
    columns = _columns_of(objects, problems)
    outcomes = _outcome_columns_of(objects, problems)
    _check_reward_bounds(objects, columns, outcomes, problems)
    return Contract(
        id=str(data.get("id")),
        version=str(data.get("version")),
        path=str(path),
        sha256=document.sha256,
        columns=columns,
        outcome_columns=outcomes,
        table_rules=_rules_of(objects, problems),
        owner=_owner(data, problems),
        support=_support(data, problems),
        runbook=_runbook(data, problems),
        freshness_hours=_freshness(data, problems),
    )


def _check_standard(data: dict[str, Any], problems: Problems) -> None:
    """Types and keys of ODCS, by its own pydantic models."""
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    from data_contracts.model_problems import remove_unknown_keys, report_values

    known, _ = remove_unknown_keys(data, OpenDataContractStandard, problems, refused=NOT_IN_V31)
    try:
        OpenDataContractStandard.model_validate(known, strict=True)
    except ValidationError as error:
        report_values(error, known, problems)


def _check_header(data: dict[str, Any], problems: Problems) -> None:
    for key in REQUIRED_KEYS:
        if key not in data:
            what = f"missing key {key!r} in the file"
            problems.add((key,), what, expected=f"{', '.join(REQUIRED_KEYS)}", got=f"no {key}", then="Add it.")
        elif data[key] in ("", None):
            problems.add((key,), f"empty {key}", expected="a text", got=show(data[key]), then="Write it.")
    version, kind = data.get("apiVersion"), data.get("kind")
    if isinstance(version, str) and version and not API_VERSION.fullmatch(version):
        problems.add(("apiVersion",), "apiVersion", expected="v3.1.0", got=show(version), then="Migrate the contract.")
    if kind and kind != KIND:
        then = hint(str(kind), (KIND,)) or "Correct it."
        problems.add(("kind",), "kind", expected=KIND, got=show(kind), then=then)


Objects = dict[str, tuple[dict[str, Any], KeyPath]]


def _objects(data: dict[str, Any], problems: Problems) -> Objects:
    """Objects of the schema by name; interactions must be there, outcomes may."""
    accepted, found = (INTERACTIONS.name, OUTCOMES.name), Objects()
    n_before = len(problems.found)
    for i, raw in enumerate(as_list(data.get("schema"))):
        path, name = ("schema", i), str(as_mapping(raw).get("name"))
        if name not in accepted:
            problems.unknown((*path, "name"), kind="object", where="schema", accepted=accepted, word=name)
        elif name in found:
            then = "Merge the two."
            problems.add((*path, "name"), f"object {name}", expected="it once", got="it again", then=then)
        else:
            found[name] = (raw, path)
            type_ = raw.get("logicalType", "object")
            if type_ != "object":
                here, what = (*path, "logicalType"), f"logicalType of object {name}"
                problems.add(here, what, expected="object", got=show(type_), then="Correct it.")
    if INTERACTIONS.name not in found and len(problems.found) == n_before:
        what, then = "no object interactions in schema", "Declare what one logged decision means."
        problems.add(("schema",), what, expected="objects interactions and, maybe, outcomes", got="none", then=then)
    return found


def _columns_of(objects: Objects, problems: Problems) -> tuple[Column, ...]:
    if INTERACTIONS.name not in objects:
        return ()
    raw, path = objects[INTERACTIONS.name]
    return read_columns(raw.get("properties"), (*path, "properties"), INTERACTIONS, problems)


def _outcome_columns_of(objects: Objects, problems: Problems) -> tuple[Column, ...]:
    if OUTCOMES.name not in objects:
        return ()
    raw, path = objects[OUTCOMES.name]
    for i, prop in enumerate(as_list(raw.get("properties"))):
        for k, rule in enumerate(as_list(as_mapping(prop).get("quality"))):
            if as_mapping(rule).get("metric") != "invalidValues":
                here = (*path, "properties", i, "quality", k)
                _refuse_rule(here, problems)
    for k in range(len(as_list(raw.get("quality")))):
        _refuse_rule((*path, "quality", k), problems)
    return read_columns(raw.get("properties"), (*path, "properties"), OUTCOMES, problems)


def _refuse_rule(path: KeyPath, problems: Problems) -> None:
    what, then = "quality rule of object outcomes", "Remove it: only table rules of interactions are judged."
    problems.add(path, what, expected="invalidValues of a column, or none", got="a table rule", then=then)


def _rules_of(objects: Objects, problems: Problems) -> tuple[TableRule, ...]:
    if INTERACTIONS.name not in objects:
        return ()
    raw, path = objects[INTERACTIONS.name]
    properties = [as_mapping(p) for p in as_list(raw.get("properties"))]
    declared = tuple(str(p.get("name")) for p in properties)
    rules = read_table_rules(raw.get("quality"), (*path, "quality"), column=None, declared=declared, problems=problems)
    for i, prop in enumerate(properties):
        here = (*path, "properties", i, "quality")
        rules += read_table_rules(prop.get("quality"), here, column=declared[i], declared=declared, problems=problems)
    return rules


def _check_reward_bounds(
    objects: Objects, columns: tuple[Column, ...], outcomes: tuple[Column, ...], problems: Problems
) -> None:
    """A reward comes from somewhere, and wherever it does its bounds are declared, and the same."""
    bounds: list[tuple[float | None, float | None]] = []
    then = "Declare logicalTypeOptions: {minimum: LEAST, maximum: MOST} of one reward."
    for name, declared, object_ in (("reward", columns, INTERACTIONS.name), ("value", outcomes, OUTCOMES.name)):
        column = next((c for c in declared if c.name == name), None)
        if column is None:
            continue
        path = _path_of(name, objects[object_])
        bounds.append((column.minimum, column.maximum))
        low, high = bounds[-1]
        if low is None or high is None or not low < high:
            what, got = f"reward bounds of column {name}", f"minimum {show(low)} and maximum {show(high)}"
            problems.add(path, what, expected="both declared, minimum < maximum", got=got, then=then)
        elif len(bounds) == 2 and bounds[0] != bounds[1]:
            expected, got = f"those of column reward, {bounds[0]}", str(bounds[1])
            problems.add(path, f"reward bounds of column {name}", expected=expected, got=got, then="Correct one.")
    if not bounds and OUTCOMES.name not in objects and INTERACTIONS.name in objects:
        expected, path = "column reward, or object outcomes", objects[INTERACTIONS.name][1]
        problems.add(path, "no reward in schema", expected=expected, got="neither", then=then)


def _path_of(name: str, found: tuple[dict[str, Any], KeyPath]) -> KeyPath:
    raw, path = found
    names = [as_mapping(p).get("name") for p in as_list(raw.get("properties"))]
    return (*path, "properties", names.index(name), "logicalTypeOptions")


def _owner(data: dict[str, Any], problems: Problems) -> str:
    name = as_mapping(data.get("team")).get("name")
    if not name:
        then = "Write team: {name: WHO}; a broken contract goes to them."
        problems.add(("team",), "no owner", expected="team with a name", got=show(data.get("team")), then=then)
    return str(name)


def _support(data: dict[str, Any], problems: Problems) -> str:
    """Address of the first support entry, else its channel."""
    first = as_mapping(next(iter(as_list(data.get("support"))), None))
    address = first.get("url") or first.get("channel")
    if not first.get("channel"):
        then = "Write support: [{channel: NAME, url: ADDRESS}]."
        got = show(data.get("support"))
        problems.add(("support",), "no support", expected="a list with a channel", got=got, then=then)
    return str(address)


def _runbook(data: dict[str, Any], problems: Problems) -> str:
    properties = [as_mapping(p) for p in as_list(data.get("customProperties"))]
    found = [p.get("value") for p in properties if p.get("property") == "runbook"]
    if len(found) != 1 or not isinstance(found[0], str) or not found[0].strip():
        then = "Write customProperties: [{property: runbook, value: FILE OR URL}]."
        got = show(found[0]) if len(found) == 1 else f"{len(found)} of them"
        problems.add(("customProperties",), "runbook", expected="one, with a text as value", got=got, then=then)
        return ""
    return found[0]


def _freshness(data: dict[str, Any], problems: Problems) -> float | None:
    hours = None
    for i, raw in enumerate(as_list(data.get("slaProperties"))):
        entry, path = as_mapping(raw), ("slaProperties", i)
        word = str(entry.get("property") or "")
        if not word:
            what, then = "SLA without a name", "Write {property: latency, value: 48, unit: h}, say."
            problems.add(path, what, expected="key property", got=show(entry.get("property")), then=then)
        close = hint(word, FRESHNESS)
        if word not in FRESHNESS:
            if close:
                here = (*path, "property")
                problems.unknown(here, kind="SLA property", where="slaProperties", accepted=FRESHNESS, word=word)
            continue
        value, unit = entry.get("value"), str(entry.get("unit"))
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0 or unit not in HOURS:
            expected, got = f"a number above 0 and a unit ({', '.join(HOURS)})", f"{show(value)} {unit}"
            problems.add((*path, "value"), f"SLA {word}", expected=expected, got=got, then="Correct it.")
        elif hours is not None:
            problems.add(path, f"SLA {word}", expected="one of freshness and latency", got="both", then="Keep one.")
        else:
            hours = value * HOURS[unit]
    return hours
