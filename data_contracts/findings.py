"""Measuring all expectations of a contract in one exact pass over the rows."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from data_contracts.checks import CheckResult
from data_contracts.contract import Contract, TableRule
from data_contracts.expectations import Expectation
from data_contracts.propensities.propensity_evidence import expected_weight, show_weight
from data_contracts.propensities.propensity_tally import PropensityTally, VersionPropensities
from data_contracts.row_source import RELATION, Rows
from data_contracts.table_limits import Limit
from data_contracts.table_rules import EXPECTED_WEIGHT

if TYPE_CHECKING:
    import duckdb

THRESHOLD = 1000.0  # e-value against E[w] = 1; a true log exceeds it, ever, with probability <= 1/1000
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What an expectation measured: `value` is None when nothing could be measured, which never passes."""

    expectation: Expectation
    value: float | None
    observed: str
    n_rows: int
    examples: tuple[str, ...] = ()  # interaction_ids of rows that break it


def check_result(finding: Finding, *, passed: bool) -> CheckResult:
    """The finding as everybody else reads it."""
    expectation = finding.expectation
    return CheckResult(
        rule=expectation.rule,
        column=expectation.column,
        level=expectation.level,
        passed=passed,
        observed=finding.observed,
        limit=str(expectation.limit),
        n_rows=finding.n_rows,
        description=expectation.description,
        examples=finding.examples,
    )


def measure_expectations(rows: Rows, expectations: tuple[Expectation, ...]) -> tuple[int, tuple[Finding, ...]]:
    """The number of rows, and what each of `expectations` says of them: one aggregate query for all, and a second for
    those that look broken: the exact value where the first was a bound, and up to five of the rows that break it."""
    with rows.connect() as connection:
        n_rows, found = _measure(connection, rows, expectations)
        broken = [i for i, f in enumerate(found) if f.value is not None and not f.expectation.limit.holds(f.value)]
        if broken:
            closer = _look_closer(connection, rows, tuple(expectations[i] for i in broken))
            for i, finding in zip(broken, closer, strict=True):
                found[i] = finding
    return n_rows, tuple(found)


def _measure(
    connection: duckdb.DuckDBPyConnection, rows: Rows, expectations: Sequence[Expectation]
) -> tuple[int, list[Finding]]:
    """All aggregates in one query; those that stand alone each in its own."""
    together = [e for e in expectations if not e.stands_alone]
    selected = [("count(*)", "''", ()), *((e.sql, e.shown_sql or "''", e.values) for e in together)]
    (counted, _), *measured = _select(connection, rows, selected)
    n_rows = int(str(counted))
    pairs = iter(measured)
    values = [(_select_alone(connection, rows, e), "") if e.stands_alone else next(pairs) for e in expectations]
    return n_rows, [_finding(e, *pair, n_rows) for e, pair in zip(expectations, values, strict=True)]


def _look_closer(
    connection: duckdb.DuckDBPyConnection, rows: Rows, broken: tuple[Expectation, ...]
) -> tuple[Finding, ...]:
    _, exact = _measure(connection, rows, tuple(replace(e, sql=e.exact_sql or e.sql) for e in broken))
    ids = f"to_json(min(interaction_id, {EXAMPLES}) FILTER (WHERE %s))"
    selected = [(ids % (e.condition or "false"), "''", e.values if e.condition else ()) for e in broken]
    examples = _select(connection, rows, selected)
    return tuple(
        replace(finding, expectation=expectation, examples=tuple(json.loads(str(found or "[]"))))
        for finding, expectation, (found, _) in zip(exact, broken, examples, strict=True)
    )


def _select(
    connection: duckdb.DuckDBPyConnection, rows: Rows, selected: Sequence[tuple[str, str, tuple[object, ...]]]
) -> list[tuple[object, object]]:
    """Two values for each (sql, more sql, values of the first)."""
    text = ", ".join(part for sql, more, _ in selected for part in (sql, more))
    rows.register(connection, [name for name in rows.schema.names if name in text])
    query = f"SELECT {text} FROM {RELATION}"  # noqa: S608
    row = connection.execute(query, [value for *_, values in selected for value in values]).fetchall()[0]
    return [(row[2 * i], row[2 * i + 1]) for i in range(len(selected))]


def _select_alone(connection: duckdb.DuckDBPyConnection, rows: Rows, expectation: Expectation) -> object:
    rows.register(connection, [name for name in rows.schema.names if name in expectation.sql])
    return connection.execute(f"SELECT {expectation.sql}", list(expectation.values)).fetchall()[0][0]


def measure_schema(problems: dict[str, str], *, n_rows: int, n_columns: int) -> Finding:
    """The columns are there, with the store's types."""
    expectation = Expectation(
        rule="schema",
        column=None,
        level="block",
        limit=Limit(0, 0, "columns"),
        description="every column of the contract is there, with its type",
        sql="",
    )
    wrong = [f"{name} {problem}" for name, problem in problems.items()]
    shown = "; ".join(wrong[:5]) if wrong else f"{n_columns} columns as declared"
    return Finding(expectation, float(len(problems)), shown, n_rows)


def measure_weights(
    rows: pa.Table, rule: TableRule, *, contract: Contract, actions: tuple[str, ...]
) -> tuple[Finding, ...]:
    """`judge_weights` of rows that are in memory, with columns policy_version, action, propensity (sampling_rate)."""
    return judge_weights(PropensityTally.empty(actions).add(rows), rule, contract=contract)


def judge_weights(
    tally: PropensityTally, rule: TableRule, *, contract: Contract, partial_support: Collection[str] = ()
) -> tuple[Finding, ...]:
    """E[w] = 1 per policy version; an e-value >= 1000 breaks the rule. See propensity_evidence.expected_weight."""
    column = contract.column("propensity")
    smallest = column.minimum if column is not None else None
    return tuple(
        _weight_finding(
            found,
            rule,
            n_actions=len(tally.actions),
            smallest=smallest,
            partial_support=found.lacks_support or found.version in partial_support,
        )
        for found in tally.versions()
    )


def _weight_finding(
    found: VersionPropensities, rule: TableRule, *, n_actions: int, smallest: float | None, partial_support: bool
) -> Finding:
    expectation = Expectation(
        rule=EXPECTED_WEIGHT,
        column=f"propensity of policy_version {found.version}",
        level=rule.severity,
        limit=Limit(None, math.log10(THRESHOLD), ""),
        description=rule.description,
        sql="",
    )
    if not found.n_known:
        return Finding(expectation, 0.0, "no propensity logged: nothing to test", 0)
    health = expected_weight(found, n_actions=n_actions, smallest=smallest, partial_support=partial_support)
    log10_e = round(health.log_e / math.log(10), 6)
    return Finding(expectation, log10_e, show_weight(health), found.n_known)


def _finding(expectation: Expectation, value: object, shown: object, n_rows: int) -> Finding:
    number = float(value) if isinstance(value, (int, float)) else math.nan
    if not math.isfinite(number):
        return Finding(expectation, None, "not measurable", n_rows)
    text = expectation.limit.show(number)
    return Finding(expectation, number, f"{text} ({shown})" if shown else text, n_rows)
