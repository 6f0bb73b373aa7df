"""What must hold over all accepted rows: one record per expectation, with the aggregate that measures it.

Row rules ran at ingest and sent rows to quarantine; here the same rules are proven on what was accepted. The rules
about the whole table are in table_rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from data_contracts.contract import Column, Contract, Severity
from data_contracts.interactions import ADDED, LOGICAL_TYPES, REQUIRED, RESERVED
from data_contracts.row_rules import TOLERANCE
from data_contracts.table_limits import Limit, none_of_the_rows


@dataclass(frozen=True, slots=True)
class Expectation:
    """`sql` is an aggregate over table `interactions` with `?` for `values`; `shown_sql` says more to a reader.

    The table has the columns of interaction_schema and `matured` (see outcomes.attach_rewards).
    """

    rule: str
    column: str | None
    level: Severity
    limit: Limit
    description: str
    sql: str
    values: tuple[object, ...] = ()
    shown_sql: str = ""


def schema_problems(rows: pa.Table, contract: Contract) -> dict[str, str]:
    """Contract columns that `rows` lacks or holds with another type than the store's, and what is wrong."""
    problems = {}
    own = {c.name: LOGICAL_TYPES[c.logical_type] for c in contract.own_columns}
    for name, wanted in {**RESERVED, **own, "batch_id": ADDED["batch_id"]}.items():
        if name not in rows.column_names:
            problems[name] = "is missing"
        elif rows.schema.field(name).type != wanted:
            problems[name] = f"is {rows.schema.field(name).type}, not {wanted}"
    return problems


def row_expectations(contract: Contract, *, actions: tuple[str, ...], as_of: datetime) -> tuple[Expectation, ...]:
    """What must hold in every row: the contract's columns, and what the interaction record demands of any task."""
    declared = {c.name for c in contract.columns}
    implied = [Column(n, n, "string", ("reserved",), required=True) for n in REQUIRED if n not in declared]
    return (
        *(e for column in (*contract.columns, *implied) for e in _of_column(column)),
        *_of_record(actions, as_of),
    )


def quote(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _of_column(column: Column) -> Iterator[Expectation]:
    stored = RESERVED.get(column.name, LOGICAL_TYPES[column.logical_type])
    name, number = quote(column.name), pa.types.is_floating(stored) or pa.types.is_integer(stored)

    def rows_that(rule: str, condition: str, text: str, *values: object, shown_sql: str = "") -> Expectation:
        sql = f"count(*) FILTER (WHERE {condition})"
        return Expectation(rule, column.name, "block", none_of_the_rows(), text, sql, values, shown_sql)

    if column.name == "reward" and column.required:
        # rewards of rows that have not matured are withheld by attach_rewards
        yield rows_that("required", f"{name} IS NULL AND matured", "reward is present in every matured row")
    elif column.required or column.name in REQUIRED:
        yield rows_that("required", f"{name} IS NULL", f"{column.name} is present in every row")
    if pa.types.is_floating(stored):
        yield rows_that("finite", f"NOT isfinite({name})", f"{column.name} is a finite number")
    if number and (column.minimum is not None or column.maximum is not None):
        low = -math.inf if column.minimum is None else column.minimum
        high = math.inf if column.maximum is None else column.maximum
        inside = f"{name} BETWEEN ?::DOUBLE AND ?::DOUBLE"
        text = f"{column.name} is {Limit(column.minimum, column.maximum, '')}"
        shown = f"concat('from ', min({name}), ' to ', max({name}))"
        yield rows_that("range", f"NOT {inside}", text, low, high, shown_sql=shown)
    if column.valid_values is not None:
        allowed: list[object] = [float(v) for v in column.valid_values] if number else list(column.valid_values)
        value = f"{name}::DOUBLE" if number else f"{name}::VARCHAR"
        text = f"{column.name} is one of {len(allowed)} declared values"
        yield rows_that("valid_values", f"NOT list_contains(?, {value})", text, allowed)
    if column.unique and column.name != "interaction_id":
        yield Expectation(
            rule="unique",
            column=column.name,
            level="block",
            limit=none_of_the_rows(),
            description=f"no value of {column.name} occurs twice",
            sql=f"count({name}) - count(DISTINCT {name})",
        )


def _of_record(actions: tuple[str, ...], as_of: datetime) -> Iterator[Expectation]:
    """What the interaction record demands, whatever the contract says."""

    def rows_that(rule: str, column: str, condition: str, text: str, *values: object) -> Expectation:
        sql = f"count(*) FILTER (WHERE {condition})"
        return Expectation(rule, column, "block", none_of_the_rows(), text, sql, values)

    duplicates = "count(interaction_id) - count(DISTINCT interaction_id)"
    yield Expectation(
        "unique", "interaction_id", "block", none_of_the_rows(), "no interaction_id occurs twice", duplicates
    )
    condition, text = "NOT list_contains(?, action)", f"action is one of the {len(actions)} declared actions"
    yield rows_that("known_action", "action", condition, text, list(actions))
    condition = "NOT (propensity > 0 AND propensity <= 1)"  # true of NaN, which DuckDB sorts above all numbers
    yield rows_that("propensity", "propensity", condition, "propensity lies in (0, 1] where it is logged")
    text = "action_probabilities, where logged, holds one probability per declared action, and they sum to 1"
    condition = (
        "list_count(action_probabilities) <> ? OR NOT (list_min(action_probabilities) >= 0) "
        "OR NOT (abs(list_sum(action_probabilities) - 1) <= ?::DOUBLE)"
    )
    yield rows_that("action_probabilities", "action_probabilities", condition, text, len(actions), TOLERANCE)
    yield rows_that("as_of", "occurred_at", "occurred_at > ?", f"occurred_at is not after {as_of.isoformat()}", as_of)
