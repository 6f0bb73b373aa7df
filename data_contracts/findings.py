"""Measuring all expectations of a contract in one exact pass over the rows."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from data_contracts.checks import CheckResult
from data_contracts.contract import Contract, TableRule
from data_contracts.expectations import Expectation
from data_contracts.propensities.propensity_evidence import expected_weight, show_weight
from data_contracts.propensities.propensity_tally import PropensityTally, VersionPropensities
from data_contracts.row_source import RELATION, Rows
from data_contracts.table_limits import Limit
from data_contracts.table_rules import EXPECTED_WEIGHT
from data_contracts.witnesses import Need, stronger

if TYPE_CHECKING:
    import duckdb

THRESHOLD = 1000.0  # e-value against E[w] = 1; a true log exceeds it, ever, with probability <= 1/1000
EXAMPLES = 5
WITNESSES = "witnesses"  # a relation beside the rows

Selected = tuple[str, str, tuple[object, ...]]  # SQL, more SQL, values of the first


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
    """The number of rows, and what each of `expectations` says of them.

    What witnesses of the rows settle costs no reading; one aggregate query measures the rest, and a second those that
    look broken: the exact value where the first was a bound, and up to five of the rows that break it.
    """
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
    """What witnesses do not settle: aggregates in one query; those that stand alone, or in parts, each in its own."""
    found = _settled(connection, rows, expectations)
    found |= {i: (_select_alone(connection, rows, e), "") for i, e in enumerate(expectations) if e.stands_alone}
    found |= {i: (_select_in_parts(connection, rows, e), "") for i, e in enumerate(expectations) if e.in_parts}
    together = [i for i in range(len(expectations)) if i not in found]
    selected = [("count(*)", "''", ()), *(_aggregate(expectations[i]) for i in together)]
    (counted, _), *measured = _select(connection, rows, selected)
    found |= dict(zip(together, measured, strict=True))
    n_rows = int(str(counted))
    return n_rows, [_finding(e, *found[i], n_rows) for i, e in enumerate(expectations)]


def _settled(
    connection: duckdb.DuckDBPyConnection, rows: Rows, expectations: Sequence[Expectation]
) -> dict[int, tuple[object, object]]:
    """Those that no witness breaks; what is measured of the others on a few witnesses says nothing of the rows."""
    needs: dict[str, Need] = {}
    for e in expectations:
        if e.decided_by is not None and e.column is not None:
            needs[e.column] = stronger(e.decided_by, needs.get(e.column, e.decided_by))
    table = rows.witnesses(needs)
    asked = [i for i, e in enumerate(expectations) if e.decided_by is not None and e.column in table.column_names]
    if not asked:
        return {}
    connection.register(WITNESSES, table)
    measured = _ask(connection, [_aggregate(expectations[i]) for i in asked], relation=WITNESSES)
    return {i: pair for i, pair in zip(asked, measured, strict=True) if pair[0] == 0}


def _aggregate(expectation: Expectation) -> Selected:
    return expectation.sql, expectation.shown_sql or "''", expectation.values


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
    connection: duckdb.DuckDBPyConnection, rows: Rows, selected: Sequence[Selected]
) -> list[tuple[object, object]]:
    """Two values of the rows for each of `selected`."""
    text = " ".join(part for sql, more, _ in selected for part in (sql, more))
    rows.register(connection, [name for name in rows.schema.names if name in text])
    return _ask(connection, selected)


def _ask(
    connection: duckdb.DuckDBPyConnection, selected: Sequence[Selected], *, relation: str = RELATION
) -> list[tuple[object, object]]:
    """Two values for each of `selected`, of what is registered now."""
    text = ", ".join(part for sql, more, _ in selected for part in (sql, more))
    query = f"SELECT {text} FROM {relation}"  # noqa: S608
    row = connection.execute(query, [value for *_, values in selected for value in values]).fetchall()[0]
    return [(row[2 * i], row[2 * i + 1]) for i in range(len(selected))]


def _select_alone(connection: duckdb.DuckDBPyConnection, rows: Rows, expectation: Expectation) -> object:
    rows.register(connection, [name for name in rows.schema.names if name in expectation.sql])
    return connection.execute(f"SELECT {expectation.sql}", list(expectation.values)).fetchall()[0][0]


def _select_in_parts(connection: duckdb.DuckDBPyConnection, rows: Rows, expectation: Expectation) -> object:
    parts = rows.register_parts(connection, str(expectation.column))
    return sum(int(str(_ask(connection, [_aggregate(expectation)], relation=part)[0][0])) for part in parts)


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
