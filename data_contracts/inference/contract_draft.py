"""A sample and its roles become the text of a first contract; `DECIDE` marks what only a person can know."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Final

from data_contracts.inference.roles import Roles
from data_contracts.inference.sample import Sample, SampleColumn
from data_contracts.interactions import REQUIRED, RESERVED, TAKEN

TEXT_ROLES: Final = ("interaction_id", "unit_id", "action", "policy_version", "arm", "episode_id", "contract_version")
FEW_VALUES: Final = 12  # of a text column, named in a comment
IDENTIFIER_SHARE: Final = 0.5  # a text column with more distinct values than this share of its rows tells rows apart
FORMATS: Final = {".parquet": "parquet", ".csv": "csv"}

# How a required column that the log lacks can be made up, and what that costs.
FILLS: Final = {
    "interaction_id": ("{digest: row}", "made of the row's content: equal rows count once; log an id of each decision"),
    "unit_id": ("{copy: interaction_id}", "every decision its own unit: statistics cannot tell users apart; log one"),
    "policy_version": ("{constant: logged}", "one name for whatever decided; log which policy version did"),
}

HEAD: Final = """\
# What one logged decision of `{name}` means. Drafted from {n:,} rows of {file}; DECIDE marks what only you can know.
# `name` is the word in the store, `physicalName` the word in the log. Tags give a column its role: observation (a
# policy may look at it), segment (a group that results are shown for), extra (kept, never looked at).
apiVersion: v3.1.0
kind: DataContract
id: {name}
name: {name}
version: 1.0.0
status: draft
description:
  purpose: {purpose}
servers:
  - {{server: log, type: local, path: {path}, format: {format}}}
team:
  name: unknown # DECIDE: who is called when the log breaks
support:
  - {{channel: unknown, url: "https://example.org"}} # DECIDE: where they are reached
slaProperties:
  - {{property: freshness, value: 48, unit: h}} # DECIDE: how old the newest row may be
customProperties:
  - {{property: runbook, value: infra/RUNBOOK.md}}
schema:
  - name: interactions
    logicalType: object
    quality:
"""


COLUMNS: Final = """\
    # DECIDE: extra instead of observation for whatever is only known after the decision; a policy must not look at it.
    properties:
"""


def draft_contract(name: str, sample: Sample, roles: Roles) -> str:
    """The YAML text of a contract under which the rows of `sample` would be accepted.

    `roles.missing` may hold what FILLS can make up; other required columns must have been found.
    """
    parts = [
        HEAD.format(
            name=name,
            n=sample.n,
            file=json.dumps(sample.path.name, ensure_ascii=False),
            purpose=json.dumps(f"decisions logged in {sample.path.name}", ensure_ascii=False),
            path=json.dumps(str(sample.path), ensure_ascii=False),
            format=FORMATS.get(sample.path.suffixes[0] if sample.path.suffixes else "", "json"),
        ),
        *(f"      - {rule}\n" for rule in _rules(sample, roles)),
        COLUMNS,
        *(f"      - {line}\n" for line in _properties(sample, roles)),
    ]
    if "reward" not in roles.found:
        parts.append(_OUTCOMES)
    return "".join(parts)


def store_name(column: SampleColumn, roles: Roles) -> str:
    """The word in the store: its role, else the log's own word unless that is taken."""
    role = roles.role_of(column.name)
    if role is not None:
        return role
    taken = column.name.casefold() in {*RESERVED, *TAKEN}
    return f"log_{column.name}" if taken else column.name


def is_identifier(column: SampleColumn) -> bool:
    """Whether a column names single rows rather than describing them."""
    if column.kind == "integer":
        return column.is_unique and column.n > FEW_VALUES
    return column.kind == "string" and column.n_distinct > max(FEW_VALUES, IDENTIFIER_SHARE * column.n)


def _rules(sample: Sample, roles: Roles) -> Iterator[str]:
    def custom(rule: str, severity: str, text: str) -> str:
        return (
            f"{{name: {rule}, type: custom, engine: sluice, severity: {severity}, "
            f"implementation: {{rule: {rule}}}, description: {text}}}"
        )

    yield (
        "{name: row_count, type: library, metric: rowCount, mustBeGreaterThan: 0, severity: block, "
        "description: there is something to learn from}"
    )
    yield custom("known_policy_version", "block", "every row names a declared behavior policy")
    if "propensity" in roles.found:
        yield custom("expected_weight", "block", "importance weights average to 1 for every policy version")


def _properties(sample: Sample, roles: Roles) -> Iterator[str]:
    """In the order of the log, which CSV needs; columns that are made up last."""
    for column in sample.columns:
        role = roles.role_of(column.name)
        yield _reserved(role, column) if role is not None else _own(column, roles)
    if "propensity" not in roles.found:
        yield "{name: propensity, logicalType: number} # not logged yet: the logged action's probability, in (0, 1]"
    for role in roles.missing:
        value, cost = FILLS[role]
        yield (
            f"{{name: {role}, logicalType: string, required: true, customProperties: "
            f"[{{property: fill, value: {value}}}]}} # {cost}"
        )


def _reserved(role: str, column: SampleColumn) -> str:
    options, note = "", ""
    if role == "reward":
        options, note = _reward_bounds(column)
    elif role == "occurred_at" and not column.has_offset:
        options, note = "{defaultTimezone: UTC}", "DECIDE: the log's times have no offset; in which zone are they?"
    return _property(
        role,
        column,
        type_=_reserved_type(role, column),
        required=role in REQUIRED or (column.n_missing == 0 and role == "propensity"),
        options=options,
        extra="unique: true, primaryKey: true" if role == "interaction_id" else "",
        note=note,
    )


def _own(column: SampleColumn, roles: Roles) -> str:
    useless = is_identifier(column) or column.n_distinct < 2 or column.kind == "timestamp"
    note = _seen(column)
    if useless:
        note = f"{note}; " + ("an identifier" if is_identifier(column) else "nothing to learn from")
    options = "{defaultTimezone: UTC}" if not column.has_offset else ""
    tags = "tags: [extra]" if useless else "tags: [observation]"
    required = column.n_missing == 0 and not useless
    return _property(
        store_name(column, roles), column, type_=column.kind, required=required, options=options, extra=tags, note=note
    )


def _property(
    name: str, column: SampleColumn, *, type_: str, required: bool, options: str, extra: str, note: str
) -> str:
    words = [f"name: {_scalar(name)}"]
    words += [f"physicalName: {_scalar(column.name)}"] if name != column.name else []
    words += [f"logicalType: {type_}"]
    words += ["required: true"] if required else []
    words += [extra] if extra else []
    words += [f"logicalTypeOptions: {options}"] if options else []
    return f"{{{', '.join(words)}}}" + (f" # {note}" if note else "")


def _reserved_type(role: str, column: SampleColumn) -> str:
    if role in TEXT_ROLES:
        return "integer" if column.kind == "integer" and column.written_as_number else "string"
    if role == "reward":
        return "boolean" if column.kind == "boolean" else "number"
    return {"action_probabilities": "array", "occurred_at": "timestamp", "step": "integer"}.get(
        role, "boolean" if role in ("terminated", "truncated") else "number"
    )


def _reward_bounds(column: SampleColumn) -> tuple[str, str]:
    if column.kind == "boolean":
        return "", "true is 1"
    if (column.minimum, column.maximum) == (0, 1):
        return "{minimum: 0, maximum: 1}", ""
    low, high = math.floor(column.minimum or 0), math.ceil(column.maximum or 0)
    bounds = f"{{minimum: {low}, maximum: {high if high > low else low + 1}}}"
    return bounds, f"DECIDE: the least and the most that one reward can be; {_seen(column)}"


def _seen(column: SampleColumn) -> str:
    """What the sample holds, for the comment behind a property."""
    missing = f", {column.n_missing / column.n:.1%} missing" if column.n_missing else ""
    if column.minimum is not None:
        return f"seen {column.minimum:g} to {column.maximum:g}{missing}"
    if column.n_distinct <= FEW_VALUES:
        shown = ", ".join(_comment(value) for value in column.values) or "nothing"
        return f"seen {shown}{missing}"
    return f"{column.n_distinct:,} different values{missing}"


def _comment(value: str) -> str:
    """A value of the log that cannot end the comment's line."""
    return "".join(c if c.isprintable() else " " for c in value)[:30]


def _scalar(word: str) -> str:
    """A word as YAML: plain where that is safe, else quoted (JSON's strings are YAML's)."""
    plain = word.replace("_", "").isalnum() and word.isascii() and word[:1].isalpha()
    reserved = word.casefold() in ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
    return word if plain and not reserved else json.dumps(word, ensure_ascii=False)


_OUTCOMES: Final = """\
  # No reward in the log: it arrives later, in a file of outcomes.
  - name: outcomes
    logicalType: object
    properties:
      - {name: interaction_id, logicalType: string, required: true}
      - {name: channel, logicalType: string}
      - {name: value, logicalType: number, required: true, logicalTypeOptions: {minimum: 0, maximum: 1}} # DECIDE
      - {name: observed_at, logicalType: timestamp, required: true}
"""
