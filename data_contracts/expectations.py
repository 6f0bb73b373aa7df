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
from data_contracts.witnesses import Need


@dataclass(frozen=True, slots=True)
class Expectation:
    """`sql` is an aggregate over table `interactions` with `?` for `values`; `shown_sql` says more to a reader.

    The table has the columns of interaction_schema and `matured` (see outcomes.attach_rewards). `condition`, with the
    same values, picks the rows that break it. A broken limit counts only if `exact_sql`, where there is one, breaks
    it too: then `sql` is a cheap bound that never hides a broken row. With `decided_by`, `sql` is 0 over the rows if
    it is over the witnesses of `column` for that need (see witnesses). With `in_parts`, it may be added up over parts
    of the rows of which no two share a value of `column`.
    """

    rule: str
    column: str | None
    level: Severity
    limit: Limit
    description: str
    sql: str
    values: tuple[object, ...] = ()
    shown_sql: str = ""
    condition: str = ""
    exact_sql: str = ""
    stands_alone: bool = False  # `sql` is a query of its own over the table, not an aggregate of one pass
    decided_by: Need | None = None
    in_parts: bool = False


def schema_problems(schema: pa.Schema, contract: Contract) -> dict[str, str]:
    """Contract columns that `schema` lacks or holds with another type than the store's, and what is wrong."""
    problems = {}
    own = {c.name: LOGICAL_TYPES[c.logical_type] for c in contract.own_columns}
    for name, wanted in {**RESERVED, **own, "batch_id": ADDED["batch_id"]}.items():
        if name not in schema.names:
            problems[name] = "is missing"
        elif schema.field(name).type != wanted:
            problems[name] = f"is {schema.field(name).type}, not {wanted}"
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
    if column.name == "reward" and column.required:
        # rewards of rows that have not matured are withheld by attach_rewards
        missing, text = f"{name} IS NULL AND matured", "reward is present in every matured row"
        yield _rows_that("required", column.name, missing, text, need="presence")
    elif column.required or column.name in REQUIRED:
        text = f"{column.name} is present in every row"
        count = f"count(*) - count({name})"
        yield _rows_that("required", column.name, f"{name} IS NULL", text, count=count, need="presence")
    if pa.types.is_floating(stored):
        bound = _unless(f"isfinite(min({name})) AND isfinite(max({name}))")
        text = f"{column.name} is a finite number"
        yield _rows_that("finite", column.name, f"NOT isfinite({name})", text, bound=bound, need="extremes")
    if number and (column.minimum is not None or column.maximum is not None):
        yield _range(column)
    if column.valid_values is not None:
        allowed: list[object] = [float(v) for v in column.valid_values] if number else list(column.valid_values)
        value = f"{name}::DOUBLE" if number else f"{name}::VARCHAR"
        text = f"{column.name} is one of {len(allowed)} declared values"
        yield _rows_that(
            "valid_values",
            column.name,
            f"NOT list_contains(?, {value})",
            text,
            allowed,
            need=None if number else "values",
        )
    if column.unique and column.name != "interaction_id":
        yield _unique(column.name)


def _range(column: Column) -> Expectation:
    name = quote(column.name)
    low = -math.inf if column.minimum is None else column.minimum
    high = math.inf if column.maximum is None else column.maximum
    return _rows_that(
        "range",
        column.name,
        f"NOT {name} BETWEEN ?::DOUBLE AND ?::DOUBLE",
        f"{column.name} is {Limit(column.minimum, column.maximum, '')}",
        low,
        high,
        bound=_unless(f"min({name}) >= ?::DOUBLE AND max({name}) <= ?::DOUBLE"),
        shown_sql=f"concat('from ', min({name}), ' to ', max({name}))",
        need="extremes",
    )


def _of_record(actions: tuple[str, ...], as_of: datetime) -> Iterator[Expectation]:
    """What the interaction record demands, whatever the contract says."""
    yield _unique("interaction_id")
    condition, text = "NOT list_contains(?, action)", f"action is one of the {len(actions)} declared actions"
    yield _rows_that("known_action", "action", condition, text, list(actions), need="values")
    condition = "NOT (propensity > 0 AND propensity <= 1)"  # true of NaN, which DuckDB sorts above all numbers
    text = "propensity lies in (0, 1] where it is logged"
    bound = _unless("min(propensity) > 0 AND max(propensity) <= 1")
    yield _rows_that("propensity", "propensity", condition, text, bound=bound, need="extremes")
    text = "action_probabilities, where logged, holds one probability per declared action, and they sum to 1"
    condition = (
        "list_count(action_probabilities) <> ? OR NOT (list_min(action_probabilities) >= 0) "
        "OR NOT (abs(list_sum(action_probabilities) - 1) <= ?::DOUBLE)"
    )
    name = "action_probabilities"
    yield _rows_that(name, name, condition, text, len(actions), TOLERANCE, need="values")
    text = f"occurred_at is not after {as_of.isoformat()}"
    bound = _unless("max(occurred_at) <= ?")
    yield _rows_that("as_of", "occurred_at", "occurred_at > ?", text, as_of, bound=bound, need="extremes")


def _rows_that(
    rule: str,
    column: str,
    condition: str,
    text: str,
    *values: object,
    count: str = "",
    bound: str = "",
    shown_sql: str = "",
    need: Need | None = None,
) -> Expectation:
    """No row may meet `condition`. `count` is a cheaper way to the same number, `bound` one to 0 or something else."""
    exact = count or f"count(*) FILTER (WHERE {condition})"
    return Expectation(
        rule,
        column,
        "block",
        none_of_the_rows(),
        text,
        sql=bound or exact,
        values=values,
        shown_sql=shown_sql,
        condition=condition,
        exact_sql=exact,
        decided_by=need,
    )


def _unless(good: str) -> str:
    """0 where the aggregate `good` is true of all rows (or there are none), else 1: the extremes see every bad row."""
    return f"CASE WHEN coalesce({good}, true) THEN 0 ELSE 1 END"


def _unique(column: str) -> Expectation:
    """Hashes of 64 bits take half the time; equal values have equal hashes, so no repetition stays unseen.

    A null has a hash too, which is taken off again: cheaper than to leave it out row by row.
    """
    name = quote(column)
    return Expectation(
        rule="unique",
        column=column,
        level="block",
        limit=none_of_the_rows(),
        description=f"no value of {column} occurs twice",
        sql=f"count({name}) - count(DISTINCT hash({name})) + (count(*) > count({name}))::INTEGER",
        exact_sql=f"count({name}) - count(DISTINCT {name})",
        in_parts=column == "interaction_id",
    )
