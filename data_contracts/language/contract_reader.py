"""A contract's file against ODCS v3.1 and against what Sluice needs of it: all mistakes at once, each with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from data_contracts.contract import Column, Contract, Retired, TableRule
from data_contracts.language.contract_columns import INTERACTIONS, OUTCOMES, read_columns
from data_contracts.language.contract_form import with_forms
from data_contracts.language.contract_people import read_owner, read_runbook, read_servers, read_support
from data_contracts.language.contract_readings import read_retired, refuse_readings, with_readings
from data_contracts.language.contract_rules import read_table_rules
from data_contracts.language.contract_sla import read_sla
from data_contracts.language.contract_version import VERSION
from data_contracts.language.problems import KeyPath, Problem, Problems, as_list, as_mapping, hint, show
from data_contracts.language.yaml_strict import YamlFile, read_yaml

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


def parse_contract(path: Path) -> tuple[Contract | None, list[Problem]]:
    """The contract, or None and every mistake in it, in the order of the lines."""
    contract, problems = parse_leniently(path)
    return (None if problems else contract), problems


def parse_leniently(path: Path) -> tuple[Contract | None, list[Problem]]:
    """As `parse_contract`, with what can be made of a file that has mistakes: one that was fine when it was written."""
    document = read_yaml(path)
    problems = Problems(document.file, document.index, list(document.problems))
    contract = None if document.data is None else _contract(document, document.data, path, problems)
    return contract, sorted(problems.found)


def _contract(document: YamlFile, data: dict[str, Any], path: Path, problems: Problems) -> Contract:
    _check_standard(data, problems)
    _check_header(data, problems)
    objects, version = _objects(data, problems), str(data.get("version"))
    columns = _columns_of(objects, version, problems)
    outcomes = _outcome_columns_of(objects, problems)
    _check_reward_bounds(objects, columns, outcomes, problems)
    sla = read_sla(data, problems)
    return Contract(
        id=str(data.get("id")),
        version=version,
        path=str(path),
        sha256=document.sha256,
        columns=columns,
        outcome_columns=outcomes,
        table_rules=_rules_of(objects, problems),
        owner=read_owner(data, problems),
        support=read_support(data, problems),
        runbook=read_runbook(data, problems),
        freshness_hours=sla.freshness_hours,
        freshness_severity=sla.freshness_severity,
        completeness=sla.completeness,
        completeness_severity=sla.completeness_severity,
        servers=read_servers(data, problems),
        retired=_retired_of(objects, columns, version, problems),
    )


def _check_standard(data: dict[str, Any], problems: Problems) -> None:
    """Types and keys of ODCS, by its own pydantic models."""
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    from data_contracts.language.model_problems import remove_unknown_keys, report_values

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
    own = data.get("version")
    if isinstance(own, str) and own and not VERSION.fullmatch(own):
        then = "What is to be compared must be counted."
        problems.add(("version",), "version", expected="MAJOR.MINOR.PATCH, e.g. 1.0.0", got=show(own), then=then)
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


def _columns_of(objects: Objects, version: str, problems: Problems) -> tuple[Column, ...]:
    if INTERACTIONS.name not in objects:
        return ()
    raw, path = objects[INTERACTIONS.name]
    properties, here = raw.get("properties"), (*path, "properties")
    columns = read_columns(properties, here, INTERACTIONS, problems)
    columns = with_forms(columns, properties, here, problems=problems)
    return with_readings(columns, properties, here, version=version, problems=problems)


def _retired_of(objects: Objects, columns: tuple[Column, ...], version: str, problems: Problems) -> tuple[Retired, ...]:
    if INTERACTIONS.name not in objects:
        return ()
    raw, path = objects[INTERACTIONS.name]
    return read_retired(raw, path, columns=columns, version=version, problems=problems)


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
    refuse_readings(raw.get("properties"), (*path, "properties"), problems)
    columns = read_columns(raw.get("properties"), (*path, "properties"), OUTCOMES, problems)
    return with_forms(columns, raw.get("properties"), (*path, "properties"), problems=problems)


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
