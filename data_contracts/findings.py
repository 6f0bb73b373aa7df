"""Measuring all expectations of a contract in one exact pass over the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract, TableRule
from data_contracts.drift.rows import MATURED
from data_contracts.expectations import Expectation
from data_contracts.propensity_health import log_e_above, log_e_below, weight_e_value
from data_contracts.table_limits import Limit
from data_contracts.table_rules import EXPECTED_WEIGHT

THRESHOLD = 1000.0  # e-value against E[w] = 1; a true log exceeds it, ever, with probability <= 1/1000
MARGIN = 2.0  # times the largest weight seen: the bound where the contract declares no smallest propensity


@dataclass(frozen=True, slots=True)
class Finding:
    """What an expectation measured: `value` is None when nothing could be measured, which never passes."""

    expectation: Expectation
    value: float | None
    observed: str
    n_rows: int


def measure_expectations(rows: pa.Table, expectations: tuple[Expectation, ...]) -> tuple[Finding, ...]:
    """One aggregate query over `rows` for all `expectations`; without column `matured`, all rows are matured."""
    import duckdb

    if MATURED not in rows.column_names:
        rows = rows.append_column(MATURED, pa.array(np.ones(rows.num_rows, np.bool_)))
    selected: list[str] = []
    values: list[object] = []
    for expectation in expectations:
        selected += [expectation.sql, expectation.shown_sql or "''"]
        values += expectation.values
    with duckdb.connect(":memory:", config=_settings()) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("interactions", rows)
        measured = connection.execute(f"SELECT {', '.join(selected)} FROM interactions", values).fetchone()  # noqa: S608
    return tuple(
        _finding(expectation, measured[2 * i], measured[2 * i + 1], rows.num_rows)
        for i, expectation in enumerate(expectations)
    )


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
    """E[w] = 1 for the weights 1 / (K p) of the uniform policy, per policy version; e-value >= 1000 breaks the rule.

    Against a mean above 1, K is the number of declared actions. Against a mean below 1, it is the number of actions
    that the version has ever logged: an action it was never allowed to take does not make its propensities wrong.
    The bound on a weight is 1 / (K minimum) where the contract declares the propensity's minimum, else twice the
    largest weight seen, which is a guess: see weight_e_value.
    """
    propensity = pc.fill_null(rows["propensity"], 0.0)
    usable = rows.filter(pc.and_(pc.greater(propensity, 0.0), pc.less_equal(propensity, 1.0)))
    column = contract.column("propensity")
    smallest = column.minimum if column is not None else None
    findings = []
    for version in sorted(v for v in pc.unique(rows["policy_version"]).to_pylist() if v is not None):
        mine = usable.filter(pc.equal(usable["policy_version"], version))
        expectation = Expectation(
            rule=EXPECTED_WEIGHT,
            column=f"propensity of policy_version {version}",
            level=rule.severity,
            limit=Limit(None, math.log10(THRESHOLD), ""),
            description=rule.description,
            sql="",
        )
        findings.append(_weight_finding(expectation, mine, len(actions), smallest))
    return tuple(findings)


def _weight_finding(expectation: Expectation, rows: pa.Table, n_actions: int, smallest: float | None) -> Finding:
    if rows.num_rows == 0:
        return Finding(expectation, 0.0, "no propensity logged: nothing to test", 0)
    weights = 1 / (n_actions * rows["propensity"].to_numpy())
    n_logged = len(pc.unique(rows["action"]))
    maximum = MARGIN * float(weights.max()) if not smallest else max(1 / (n_actions * smallest), float(weights.max()))
    health = weight_e_value(weights, maximum=maximum)
    values, counts = np.unique(weights, return_counts=True)
    scale = n_actions / n_logged
    below = log_e_below(values * scale, counts, maximum=maximum * scale)
    log_e = float(np.logaddexp(log_e_above(values, counts), below)) - math.log(2)
    log10_e = round(log_e / math.log(10), 6)
    shown = f"mean {health.mean:.4g} [{health.lower:.4g}, {health.upper:.4g}], log10 e {log10_e:.2f}"
    return Finding(expectation, log10_e, shown, rows.num_rows)


def _finding(expectation: Expectation, value: object, shown: object, n_rows: int) -> Finding:
    number = float(value) if isinstance(value, (int, float)) else math.nan
    if not math.isfinite(number):
        return Finding(expectation, None, "not measurable", n_rows)
    text = expectation.limit.show(number)
    return Finding(expectation, number, f"{text} ({shown})" if shown else text, n_rows)


def _settings() -> dict[str, str | bool]:
    """Rows of others: no file or network access, no extension."""
    return {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_access": False,
    }
