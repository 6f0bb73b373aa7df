"""Properties of a contract's schema -> columns, with everything that must hold of a column's declaration.

That a value has the right type is the standard's matter; what it means is judged here, and a value of a wrong type is
passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast, get_args

import pyarrow as pa

from data_contracts.contract import Column, LogicalType, Role
from data_contracts.interactions import LOGICAL_TYPES, OUTCOME, REQUIRED, RESERVED, TAKEN
from data_contracts.language.contract_form import ZONE
from data_contracts.language.contract_values import read_valid_values
from data_contracts.language.problems import KeyPath, Problems, as_list, as_mapping, hint, one_of, show

ROLES: Final = tuple(role for role in get_args(Role) if role != "reserved")
OWN_TYPES: Final = tuple(name for name in LOGICAL_TYPES if name != "array")
BOUNDS: Final = ("minimum", "maximum")
ZONED_TYPE: Final = "timestamp"
INTEGERS: Final = ("interaction_id", "unit_id", "action", "policy_version", "episode_id", "arm")
BOOLEANS: Final = ("reward", "value")
BOUNDED_TYPES: Final = ("number", "integer")


@dataclass(frozen=True, slots=True)
class Record:
    """What tells the columns of object `interactions` from those of `outcomes`."""

    name: str
    reserved: dict[str, pa.DataType]
    required: tuple[str, ...]
    has_own: bool  # may there be columns beside the reserved ones?


INTERACTIONS: Final = Record("interactions", RESERVED, REQUIRED, True)
OUTCOMES: Final = Record("outcomes", OUTCOME, ("interaction_id", "value", "observed_at"), False)


def read_columns(properties: object, path: KeyPath, record: Record, problems: Problems) -> tuple[Column, ...]:
    """Columns of one object, in file order; `path` leads to its `properties`."""
    raws = [(raw, (*path, i)) for i, raw in enumerate(as_list(properties)) if isinstance(raw, dict)]
    columns = [_column(raw, at, record, problems) for raw, at in raws]
    names = [raw.get("name") for raw, _ in raws]
    for name in record.required:
        if name not in names:
            what = f"missing column {name!r} in object {record.name}"
            then = "Declare it; physicalName says what the log calls it."
            problems.add(path, what, expected=f"{', '.join(record.required)}", got=f"no {name}", then=then)
    _check_unique(raws, problems)
    if record.has_own and not any("observation" in as_list(raw.get("tags")) for raw, _ in raws):
        what, then = f"no observation in object {record.name}", "Tag what a policy may look at."
        problems.add(path, what, expected="a column with tags: [observation]", got="none", then=then)
    return tuple(column for column in columns if column is not None)


def _column(raw: dict[str, Any], path: KeyPath, record: Record, problems: Problems) -> Column | None:
    name = raw.get("name")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        then = "Give it the word that the store shall use."
        problems.add((*path, "name"), "column without a name", expected="a word", got=show(name), then=then)
        return None
    _check_name(name, (*path, "name"), record, problems)
    logical_type = _logical_type(raw, name, path, record, problems)
    minimum, maximum = _bounds(raw, name, path, problems)
    if logical_type == "boolean" and name in record.reserved and name in BOOLEANS:
        minimum, maximum = 0.0, 1.0
    if name in record.required and raw.get("required") is not True:
        what = f"column {name} that may be absent"
        problems.add(
            (*path, "required"), what, expected="required: true", got=show(raw.get("required")), then="Correct it."
        )
    return Column(
        name=name,
        source_name=str(raw.get("physicalName") or name),
        logical_type=logical_type,
        roles=_roles(raw, name, path, record, problems),
        required=raw.get("required") is True,
        unique=raw.get("unique") is True,
        minimum=minimum,
        maximum=maximum,
        valid_values=read_valid_values(raw, name, logical_type, path, problems),
    )


def _check_name(name: str, path: KeyPath, record: Record, problems: Problems) -> None:
    if name in record.reserved:
        return
    if not record.has_own:
        problems.unknown(path, kind="column", where=f"object {record.name}", accepted=list(record.reserved), word=name)
    elif name.casefold() in TAKEN:
        then = "Rename it (physicalName keeps the log's word)."
        what = f"name {name!r} in object {record.name}"
        problems.add(path, what, expected="none that Sluice adds itself", got=show(name), then=then)
    elif name.casefold() in RESERVED:
        what, then = f"name {name!r} in object {record.name}", f"Did you mean {name.casefold()!r}?"
        problems.add(path, what, expected="no reserved name in other letters", got=show(name), then=then)


def _logical_type(raw: dict[str, Any], name: str, path: KeyPath, record: Record, problems: Problems) -> LogicalType:
    """The declared type; `string` stands in for one that is refused."""
    found = raw.get("logicalType")
    accepted = _accepted_types(name, record)
    if found in accepted:
        items = as_mapping(raw.get("items")).get("logicalType", "number")
        if found == "array" and items != "number":
            here = (*path, "items", "logicalType")
            problems.add(here, f"items of column {name}", expected="number", got=show(items), then="Correct it.")
        return cast(LogicalType, found)
    then = hint(str(found), accepted) or "Correct it."
    here = (*path, "logicalType")
    problems.add(here, f"logicalType of column {name}", expected=one_of(accepted), got=show(found), then=then)
    return "string"


def _accepted_types(name: str, record: Record) -> tuple[str, ...]:
    if name in record.reserved and name in INTEGERS:
        return ("string", "integer")  # text in the store, whatever the log has
    if name in record.reserved and name in BOOLEANS:
        return ("number", "boolean")  # true is 1 in the store
    if name in record.reserved:
        return tuple(word for word, type_ in LOGICAL_TYPES.items() if type_ == record.reserved[name])
    return OWN_TYPES


def _bounds(raw: dict[str, Any], name: str, path: KeyPath, problems: Problems) -> tuple[float | None, float | None]:
    options, path = as_mapping(raw.get("logicalTypeOptions")), (*path, "logicalTypeOptions")
    type_ = raw.get("logicalType")
    accepted: tuple[str, ...] = BOUNDS if type_ in BOUNDED_TYPES else (ZONE,) if type_ == ZONED_TYPE else ()
    for word in options:
        if word not in accepted:
            where = f"logicalTypeOptions of column {name} ({raw.get('logicalType')})"
            then = "" if accepted else "Remove it: nothing would check it."
            problems.unknown((*path, word), kind="option", where=where, accepted=accepted, then=then)
    low, high = (_number(options, word, name, path, problems) for word in BOUNDS)
    if low is not None and high is not None and low > high:
        what = f"bounds of column {name}"
        problems.add((*path, "maximum"), what, expected=f"at least {low:g}", got=f"{high:g}", then="Swap them?")
    return low, high


def _number(options: dict[str, Any], word: str, name: str, path: KeyPath, problems: Problems) -> float | None:
    value = options.get(word)
    if word not in options or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    problems.add((*path, word), f"{word} of column {name}", expected="a number", got=show(value), then="Correct it.")
    return None


def _roles(raw: dict[str, Any], name: str, path: KeyPath, record: Record, problems: Problems) -> tuple[Role, ...]:
    tags, here = as_list(raw.get("tags")), (*path, "tags")
    if name in record.reserved or not record.has_own:
        for i, tag in enumerate(tags):
            if tag in ROLES:
                what, then = f"tag {tag} of column {name}", "Remove it, or log the value in a column of its own."
                problems.add((*here, i), what, expected="no role: the name is reserved", got=show(tag), then=then)
        return ("reserved",)
    if not tags:
        what, then = f"column {name} without a role", "Add tags: [observation], say, or tags: [extra]."
        problems.add(here, what, expected=f"tags from {', '.join(ROLES)}", got="none", then=then)
    for i, tag in enumerate(tags):
        if tag not in ROLES:
            problems.unknown((*here, i), kind="tag", where=f"column {name}", accepted=ROLES, word=str(tag))
    return tuple(role for role in ROLES if role in tags)


def _check_unique(raws: list[tuple[dict[str, Any], KeyPath]], problems: Problems) -> None:
    """No two columns share a name (identifiers of DuckDB ignore case), or the word for them in the log."""
    names: dict[str, KeyPath] = {}
    words: dict[str, KeyPath] = {}
    for raw, path in raws:
        name, word = str(raw.get("name")), str(raw.get("physicalName") or raw.get("name"))
        earlier, key, shown = names.setdefault(name.casefold(), path), "name", name
        if earlier == path:
            earlier, key, shown = words.setdefault(word, path), "physicalName", word
        if earlier != path:
            what, line = f"{key} {shown!r} of two columns", problems.lines.line_of(earlier)
            problems.add((*path, key), what, expected="each once", got=f"it again (line {line})", then="Rename one.")
