"""What a change of a contract breaks: rows that were accepted before read otherwise or not at all, or a policy that
was trained before can no longer decide.

| change | breaking? | why |
|---|---|---|
| id | yes | another thing is described |
| column removed | yes | who reads it finds nothing |
| column added | if required, or an observation | older rows have none |
| type of the values | yes, and the column needs another name | the store keeps one type per name |
| required | once demanded; for an observation also once not | older rows may lack it; no policy decides on null |
| unique | once demanded | older rows may repeat |
| bounds, values allowed | when fewer values are allowed | older rows may have others |
| bounds of the reward | in any direction | the gate scales rewards by them |
| role observation | given or taken | the input of every policy is another |
| physicalName | when it was another column's | values would change places (a new word only concerns new files) |
| reads, retired | in any direction | the same rows, or policies, would read otherwise |
| object outcomes | removed | stored outcomes mean nothing any more |

Quality rules, service levels and people may change freely: they judge rows, and change no meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from data_contracts.contract import Column, Contract
from data_contracts.language.reading_values import type_in_store

REWARDS: Final = ("reward", "value")


@dataclass(frozen=True, slots=True)
class Change:
    """One breaking change. `key` is the word in the file that shows it, of `column` or of the contract itself.

    `needs_reading`: a new major version must say how older rows read. `needs_name`: no version may do it in place.
    """

    column: str | None
    what: str  # e.g. minimum 5 (was 0)
    why: str
    key: str
    needs_reading: bool = False
    needs_name: bool = False


def breaking_changes(old: Contract, new: Contract) -> list[Change]:
    """What of `new` breaks rows that were accepted under `old`, or policies trained under it; in order of columns."""
    return [
        *_of_identity(old, new),
        *_of_columns(old.columns, new.columns),
        *_of_outcomes(old, new),
        *_of_readings(old, new),
    ]


def missing_readings(old: Contract, new: Contract) -> list[Change]:
    """What a new major version must say of rows of `old`'s, and does not; and what no version may change in place."""
    found = []
    for change in breaking_changes(old, new):
        column = new.column(change.column or "")
        said = column is not None and column.reading(old.major) is not None
        if change.needs_name or (change.needs_reading and not said):
            found.append(change)
    return found


def _of_identity(old: Contract, new: Contract) -> Iterator[Change]:
    if old.id != new.id:
        yield Change(None, f"id {new.id} (was {old.id})", "another contract is another task's", "id")


def _of_columns(old: tuple[Column, ...], new: tuple[Column, ...]) -> Iterator[Change]:
    before = {column.name: column for column in old}
    words = {column.source_name: column.name for column in old}
    for column in new:
        if column.name in before:
            yield from _of_column(before[column.name], column)
        else:
            yield from _of_added(column)
        owner = words.get(column.source_name, column.name)
        if owner != column.name:
            what = f"physicalName {column.source_name} (was that of {owner})"
            yield Change(column.name, what, "values of another column would come under this name", "physicalName")
    kept = {column.name for column in new}
    for column in old:
        if column.name not in kept:
            yield Change(column.name, "is gone", "who reads it finds nothing", "properties")


def _of_added(column: Column) -> Iterator[Change]:
    if column.required:
        yield Change(column.name, "is new and required", "older rows have none", "name", needs_reading=True)
    elif "observation" in column.roles:
        why = "policies would learn from a column that older rows do not have"
        yield Change(column.name, "is a new observation", why, "name", needs_reading=True)


def _of_column(old: Column, new: Column) -> Iterator[Change]:
    if type_in_store(old) != type_in_store(new):
        what = f"logicalType {new.logical_type} (was {old.logical_type})"
        yield Change(new.name, what, "the store keeps one type under a name", "logicalType", needs_name=True)
        return
    if (old.logical_type, new.logical_type) == ("string", "integer"):  # of column action, which the store has as text
        what = "logicalType integer (was string)"
        yield Change(new.name, what, "older rows may have other words", "logicalType", needs_reading=True)
    if new.required != old.required:
        yield from _of_required(new)
    if new.unique and not old.unique:
        yield Change(new.name, "unique: true (was false)", "older rows may repeat a value", "unique")
    yield from _of_bounds(old, new)
    yield from _of_values(old, new)
    if ("observation" in old.roles) != ("observation" in new.roles):
        what = "is an observation now" if "observation" in new.roles else "is no observation any more"
        yield Change(new.name, what, "the input of every policy is another", "tags")


def _of_required(new: Column) -> Iterator[Change]:
    if new.required:
        yield Change(new.name, "required: true (was false)", "older rows may lack it", "required", needs_reading=True)
    elif "observation" in new.roles:
        yield Change(new.name, "required: false (was true)", "policies cannot decide on null", "required")


def _of_bounds(old: Column, new: Column) -> Iterator[Change]:
    for word, before, after, sign in (
        ("minimum", old.minimum, new.minimum, 1),
        ("maximum", old.maximum, new.maximum, -1),
    ):
        if before == after:
            continue
        narrower = after is not None and (before is None or sign * after > sign * before)
        what = f"{word} {_shown(after)} (was {_shown(before)})"
        if old.name in REWARDS:
            yield Change(new.name, what, "the gate scales rewards by their bounds", word, needs_reading=True)
        elif narrower:
            yield Change(new.name, what, "older rows may have values outside", word, needs_reading=True)


def _of_values(old: Column, new: Column) -> Iterator[Change]:
    if new.valid_values is None:
        return
    gone = None if old.valid_values is None else [v for v in old.valid_values if v not in new.valid_values]
    if gone is None:
        yield Change(new.name, "validValues (were none)", "older rows may have others", "quality", needs_reading=True)
    elif gone:
        what = f"validValues without {', '.join(gone[:5])}"
        yield Change(new.name, what, "older rows may have them", "quality", needs_reading=True)


def _of_outcomes(old: Contract, new: Contract) -> Iterator[Change]:
    if old.outcome_columns and not new.outcome_columns:
        yield Change(None, "object outcomes is gone", "stored outcomes would mean nothing", "schema")
    elif old.outcome_columns:
        for change in _of_columns(old.outcome_columns, new.outcome_columns):
            yield Change(change.column, f"{change.what} in object outcomes", change.why, change.key)


def _of_readings(old: Contract, new: Contract) -> Iterator[Change]:
    """Within a version the same rows read the same way; readings of the version's own major are new with it."""
    if old.major != new.major:
        return
    for column in new.columns:
        before = old.column(column.name)
        if before is not None and set(column.reads) != set(before.reads):
            yield Change(column.name, "reads that differ", "the same older rows would read otherwise", "reads")
    if not set(old.retired) <= set(new.retired):
        names = ", ".join(sorted({r.name for r in set(old.retired) - set(new.retired)}))
        yield Change(None, f"retired {names} is gone or differs", "older policies would read otherwise", "retired")


def _shown(bound: float | None) -> str:
    return "none" if bound is None else f"{bound:g}"
