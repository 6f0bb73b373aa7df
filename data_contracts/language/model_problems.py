"""A YAML file against a pydantic model: unknown keys with a hint, wrong values with their line, all at once."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from data_contracts.language.problems import KeyPath, Problems, dotted, hint, show

# pydantic's kind of error -> what was expected, where its own words would not help a reader of YAML
EXPECTED: Final = {
    "model_type": "keys and values",
    "dict_type": "keys and values",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "time_delta_type": "an ISO 8601 duration, e.g. P7D",
    "time_delta_parsing": "an ISO 8601 duration, e.g. P7D",
}

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Read(Generic[Model]):
    """What could be read: `model` when every value fits, and the top-level fields that could be read for themselves.

    A value that does not fit is left out of its field (its default stands in), so that the rest can still be judged.
    """

    model: Model | None
    parts: dict[str, Any]
    wrong: frozenset[KeyPath]  # values that do not fit


def read_model(data: dict[str, Any], model: type[Model], problems: Problems) -> Read[Model]:
    """Validate `data` strictly (no text for a number, no 1 for true) and report every mistake."""
    known, unknown = remove_unknown_keys(data, model, problems)
    try:
        found = model.model_validate_json(json.dumps(known), strict=True)
    except ValidationError as error:
        paths = report_values(error, known, problems, misspelt={path[:-1] for path in unknown})
        return Read(None, dict(_readable_fields(_without(known, paths), model)), frozenset(paths))
    return Read(found, {name: getattr(found, name) for name in model.model_fields}, frozenset())


def remove_unknown_keys(
    data: dict[str, Any],
    model: type[BaseModel],
    problems: Problems,
    *,
    refused: Mapping[str, Mapping[str, str]] | None = None,
) -> tuple[dict[str, Any], list[KeyPath]]:
    """A copy of `data` without the keys that no model reads, and where they were; each is reported with a hint.

    `refused`: name of a model -> keys it has that are not accepted all the same -> what to do instead.
    """
    known, paths = deepcopy(data), []
    for path, accepted, advice in _unknown(data, (model,), (), refused or {}):
        paths.append(path)
        problems.unknown(path, kind="key", where=dotted(path[:-1]), accepted=accepted, then=advice)
        _delete(known, path)
    return known, paths


def report_values(
    error: ValidationError, data: dict[str, Any], problems: Problems, *, misspelt: Collection[KeyPath] = ()
) -> list[KeyPath]:
    """Report pydantic's errors at their lines; several about one value (a union) become one. Returns their paths.

    `misspelt`: mappings with an unknown key, whose other keys may be missing for that reason alone.
    """
    by_path: dict[KeyPath, list[Any]] = {}
    for detail in error.errors(include_url=False):
        by_path.setdefault(_data_path(detail["loc"], data), []).append(detail)
    for path, details in by_path.items():
        if not (details[0]["type"] == "value_error" and path in misspelt):
            _report(path, details, problems)
    return list(by_path)


def _report(path: KeyPath, details: list[Any], problems: Problems) -> None:
    first, rule = details[0], " or ".join(dict.fromkeys(_rule(detail) for detail in details))
    if first["type"] == "missing":
        what = f"missing key {path[-1]!r} in {dotted(path[:-1])}"
        problems.add(path, what, expected="it to be there", got="nothing", then="Add it.")
        return
    words = re.findall(r"'([^']*)'", rule)
    then = hint(str(first["input"]), words) or "Correct it."
    problems.add(path, f"wrong value in {dotted(path)}", expected=rule, got=show(first["input"]), then=then)


def _rule(detail: Any) -> str:
    if detail["type"] in EXPECTED:
        return EXPECTED[detail["type"]]
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    message = str(detail["msg"])
    return re.sub(r"^Input should be (?:a valid )?", "", message)


def _data_path(loc: tuple[int | str, ...], data: Any) -> KeyPath:
    """`loc` without the names of union members, which are no keys of the file."""
    path: list[int | str] = []
    for i, part in enumerate(loc):
        is_key = isinstance(data, dict) and part in data
        if is_key or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            path.append(part)
            data = data[part]
        elif isinstance(data, dict) and i == len(loc) - 1 and part != "[key]":
            path.append(part)  # the key that is missing
    return tuple(path)


def _unknown(
    data: Any, annotations: tuple[Any, ...], path: KeyPath, refused: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[KeyPath, list[str], str]]:
    """(path, accepted words, advice) of every key that no model in `annotations` has."""
    members = [member for annotation in annotations for member in _members(annotation)]
    if isinstance(data, list):
        of_items = tuple(get_args(m)[0] for m in members if get_origin(m) in (list, tuple))
        for i, item in enumerate(data):
            yield from _unknown(item, of_items, (*path, i), refused)
    elif isinstance(data, dict):
        models = [m for m in members if isinstance(m, type) and issubclass(m, BaseModel)]
        not_accepted = {key: advice for m in models for key, advice in refused.get(m.__name__, {}).items()}
        fields = {k: v for m in models for k, v in _fields(m).items() if k not in not_accepted}
        of_values = tuple(get_args(m)[1] for m in members if get_origin(m) is dict)
        for key, value in data.items():
            if key in fields:
                yield from _unknown(value, (fields[key].annotation,), (*path, key), refused)
            elif models and not of_values:
                yield (*path, key), list(fields), not_accepted.get(key, "")
            else:
                yield from _unknown(value, of_values, (*path, key), refused)


def _members(annotation: Any) -> list[Any]:
    """The members of a union, else the annotation itself."""
    if get_origin(annotation) in (None, list, tuple, dict) or isinstance(annotation, type):
        return [annotation]
    return [part for arg in get_args(annotation) if arg is not NoneType for part in _members(arg)]


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Word in the file -> field; fields that never come from a file (`exclude`) are left out."""
    return {f.alias or name: f for name, f in model.model_fields.items() if not f.exclude}


def _without(data: dict[str, Any], paths: list[KeyPath]) -> dict[str, Any]:
    """A copy without the keys at `paths`; an item of a list takes its whole list away, so no index shifts."""
    kept = deepcopy(data)
    for path in paths:
        while path and isinstance(path[-1], int):
            path = path[:-1]
        _delete(kept, path)
    return kept


def _delete(data: Any, path: KeyPath) -> None:
    if not path:
        return
    try:
        for part in path[:-1]:
            data = data[part]
        data.pop(path[-1], None)
    except (KeyError, IndexError):
        return  # a parent is gone already


def _readable_fields(data: dict[str, Any], model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, found in _fields(model).items():
        if name not in data:
            if not found.is_required():
                yield name, found.get_default(call_default_factory=True)
            continue
        annotation: Any = found.annotation
        try:
            yield name, TypeAdapter(annotation).validate_json(json.dumps(data[name]), strict=True)
        except ValidationError:
            continue  # reported with the whole
