"""A contract against those that rows were accepted under, and against the policy that serves: problems with lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from data_contracts.contract import Contract, LogicalType
from data_contracts.home import Home
from data_contracts.interactions import LOGICAL_TYPES, RESERVED
from data_contracts.language.contract_archive import archived_contracts, archived_hashes
from data_contracts.language.contract_changes import Change, breaking_changes, missing_readings
from data_contracts.language.contract_version import version_of
from data_contracts.language.expression_values import fits, kind_of
from data_contracts.language.expressions import ExpressionError
from data_contracts.language.older_columns import older_column
from data_contracts.language.problems import KeyPath, Problem, Problems, as_list, as_mapping
from data_contracts.language.reading_values import node_of, type_in_store
from data_contracts.language.yaml_strict import YamlFile, read_yaml

PLACES: Final[dict[str, KeyPath]] = {
    "minimum": ("logicalTypeOptions", "minimum"),
    "maximum": ("logicalTypeOptions", "maximum"),
    "reads": ("customProperties",),
}


def history_problems(home: Home, task: str, contract: Contract) -> list[Problem]:
    """What of `contract` breaks the task's rows to date, in order of lines; empty where no row was accepted yet."""
    if archived_hashes(home, task) <= {contract.sha256}:
        return []  # the only one so far: nothing to read, nothing to compare
    return evolution_problems(contract, archived_contracts(home, task), document=read_yaml(Path(contract.path)))


def evolution_problems(contract: Contract, archive: Sequence[Contract], *, document: YamlFile) -> list[Problem]:
    """Breaking changes without a new major version, readings that a new one lacks or that do not fit, and a step back.

    `archive`: contracts that rows were accepted under, oldest first; `document`: the contract's own file.
    """
    problems = Problems(document.file, document.index)
    newer = [old for old in archive if old.major > contract.major]
    if newer:
        _report_step_back(contract, newer[-1], problems)
    found: dict[tuple[str | None, str], tuple[Contract, Change]] = {}
    for old in reversed(archive):
        if old.major == contract.major and old.sha256 != contract.sha256:
            for change in breaking_changes(old, contract):
                found.setdefault((change.column, change.key), (old, change))
    for old, change in found.values():
        _report_change(contract, old, change, document, problems)
    for old in {old.major: old for old in archive if old.major < contract.major}.values():  # the newest of each
        for change in missing_readings(old, contract):
            _report_missing(contract, old, change, document, problems)
        for column, wrong in _misfits(old, contract):
            what, path = f"reads of column {column} for rows of version {old.version}", _path(document, column, "reads")
            got = "what the contract declares"
            problems.add(path, what, expected=wrong, got=got, then="Correct the reading.")
    return sorted(problems.found)


def needed_columns_problems(
    contract: Contract, *, document: YamlFile, policy: str, version: str, columns: Mapping[str, LogicalType]
) -> list[Problem]:
    """Columns that a policy reads and that `contract` no longer gives, neither by name nor renamed nor retired.

    `policy` names it in messages, e.g. champion v12; `version` is that of the contract it was trained under, `columns`
    are the names and types of its observation.
    """
    problems = Problems(document.file, document.index)
    types = {column.name: type_in_store(column) for column in contract.columns}
    for name, logical_type in columns.items():
        node = older_column(contract, name, version_of(version).major)
        kind = kind_of(node, types) if node is not None else None
        if kind is None or not fits(kind, logical_type):
            got = "none" if kind is None else f"type {kind}"
            entry = f"{{name: {name}, logicalType: {logical_type}, until: {contract.major}.0.0, expression: …}}"
            then = (
                "Keep it, or write in object interactions: "
                f"customProperties: [{{property: retired, value: [{entry}]}}]."
            )
            what, expected = f"column {name}, which {policy} reads", f"a {logical_type} that it can be read from"
            problems.add(_path(document, name, "name"), what, expected=expected, got=got, then=then)
    return sorted(problems.found)


def _report_step_back(contract: Contract, newest: Contract, problems: Problems) -> None:
    expected, next_one = f"{newest.version} or later, as rows were accepted under it", version_of(newest.version)
    then = f"Take the newer contract, or make this one {next_one.next_major} and say how older rows read."
    problems.add(("version",), "version of the contract", expected=expected, got=contract.version, then=then)


def _report_change(contract: Contract, old: Contract, change: Change, document: YamlFile, problems: Problems) -> None:
    next_one = version_of(contract.version).next_major
    what = f"breaking change of {_subject(change)} since version {old.version}"
    then = f"Raise version to {next_one} and say how older rows read."
    if change.needs_name:
        then = f"Give it another name (physicalName keeps the log's word). {then}"
    expected, got = f"version {next_one} ({change.why})", f"{change.what} in version {contract.version}"
    problems.add(_path(document, change.column, change.key), what, expected=expected, got=got, then=then)


def _report_missing(contract: Contract, old: Contract, change: Change, document: YamlFile, problems: Problems) -> None:
    what = f"{_subject(change)} in rows of version {old.version}"
    expected, got = f"a declared reading ({change.why})", f"none for {change.what}"
    then = (
        f"Write customProperties: [{{property: reads, value: {{before: {contract.major}.0.0, default: VALUE}}}}], or "
        f"rename: NAME, or expression: …; rename: {change.column} reads them as they are."
    )
    if change.needs_name:
        expected, got = f"another name ({change.why})", change.what
        then = "Name it anew (physicalName keeps the log's word) and read older rows by an expression."
    problems.add(_path(document, change.column, change.key), what, expected=expected, got=got, then=then)


def _misfits(old: Contract, new: Contract) -> Iterator[tuple[str, str]]:
    """(column, what was expected) of readings of `old`'s rows that name columns they lack, or mix up types."""
    words = {type_: word for word, type_ in LOGICAL_TYPES.items()}
    types: dict[str, LogicalType] = {name: words[type_] for name, type_ in RESERVED.items()}  # type: ignore[misc]
    types |= {column.name: type_in_store(column) for column in old.columns}
    for column in new.columns:
        reading = column.reading(old.major)
        if reading is None:
            continue
        try:
            kind = kind_of(node_of(reading), types)
        except ExpressionError as error:
            yield column.name, str(error)
        else:
            if not fits(kind, type_in_store(column)):
                yield column.name, f"values of type {type_in_store(column)}, which {kind} is not"


def _subject(change: Change) -> str:
    return f"column {change.column}" if change.column is not None else "the contract"


def _path(document: YamlFile, column: str | None, key: str) -> KeyPath:
    """Path of `key` of a column, else of its object's properties; of the contract where there is no column."""
    data = document.data or {}
    objects = [(i, as_mapping(raw)) for i, raw in enumerate(as_list(data.get("schema")))]
    at = next((i for i, raw in objects if raw.get("name") == "interactions"), 0)
    if column is None:
        return ("schema", at, "customProperties") if key == "retired" else (key,)
    for i, raw in objects:
        for k, prop in enumerate(as_list(raw.get("properties"))):
            if as_mapping(prop).get("name") == column:
                return ("schema", i, "properties", k, *PLACES.get(key, (key,)))
    return ("schema", at, "properties")
