"""The contract's rules about the whole table: the aggregate that measures each, and where it must lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from data_contracts.contract import Contract, TableRule
from data_contracts.episode_rules import episode_continuity, one_terminal, rare_action
from data_contracts.errors import ConfigurationError
from data_contracts.expectations import Expectation, quote
from data_contracts.interactions import RESERVED
from data_contracts.row_rules import TOLERANCE
from data_contracts.table_limits import Limit, at_least, limit_of, none_of_the_rows
from data_contracts.witnesses import Need

ROW_COUNT: Final = "rowCount"
EXPECTED_WEIGHT: Final = "expected_weight"  # judged version by version, outside the aggregate query
RARE_ACTION: Final = "rare_action"
IMPLIED: Final = TableRule(ROW_COUNT, "block", {}, "there is at least one row")


def table_expectations(
    contract: Contract, *, known_versions: frozenset[str], actions: tuple[str, ...]
) -> tuple[Expectation, ...]:
    """All table rules but expected_weight; no rows at all break every contract, also one that does not say so.

    Raises ConfigurationError for a rule that nobody knows, or that names no column or no limit where it needs one.
    """
    rules = contract.table_rules
    if all(rule.rule != ROW_COUNT for rule in rules):
        rules = (IMPLIED, *rules)
    return tuple(
        _expectation(rule, contract, known_versions, actions) for rule in rules if rule.rule != EXPECTED_WEIGHT
    )


def _expectation(
    rule: TableRule, contract: Contract, known_versions: frozenset[str], actions: tuple[str, ...]
) -> Expectation:
    if rule.rule == "known_policy_version":
        sql = "count(*) FILTER (WHERE NOT list_contains(?::VARCHAR[], policy_version))"
        limit = limit_of(rule, none_of_the_rows())
        return _decided(_of(rule, "policy_version", limit, sql, sorted(known_versions)), "values")
    if rule.rule == RARE_ACTION:
        return rare_action(rule, actions=actions)
    if rule.rule not in RULES:
        known = (*RULES, "known_policy_version", RARE_ACTION, EXPECTED_WEIGHT)
        raise _unusable(rule, contract, f"one of {', '.join(known)}")
    columns = _columns(rule)
    unknown = [name for name in columns if contract.column(name) is None and name not in RESERVED]
    if unknown or (rule.rule in NEEDS_COLUMNS and not columns):
        raise _unusable(rule, contract, f"columns of the contract, got {', '.join(unknown) or 'none'}")
    return RULES[rule.rule](rule)


def _row_count(rule: TableRule) -> Expectation:
    return _of(rule, None, limit_of(rule, at_least(1)), "count(*)")


def _null_share(rule: TableRule) -> Expectation:
    name = _columns(rule)[0]
    count = f"count(*) FILTER (WHERE {quote(name)} IS NULL)"
    return _decided(_of(rule, name, limit_of(rule, None), _share(count)), "presence")


def _null_values(rule: TableRule) -> Expectation:
    name = _columns(rule)[0]
    return _decided(_counted(rule, name, f"count(*) FILTER (WHERE {quote(name)} IS NULL)"), "presence")


def _missing_values(rule: TableRule) -> Expectation:
    """Null, or one of the values that the contract says stand for none."""
    name = _columns(rule)[0]
    given = rule.arguments.get("missing_values", [])
    stand_ins: list[object] = list(given) if isinstance(given, list) else [given]
    condition = f"{quote(name)} IS NULL OR list_contains(?::VARCHAR[], {quote(name)}::VARCHAR)"
    return _counted(rule, name, f"count(*) FILTER (WHERE {condition})", stand_ins)


def _duplicate_values(rule: TableRule) -> Expectation:
    """Rows beyond the first of each combination; a row without one of the values repeats nothing."""
    names = [quote(name) for name in _columns(rule)]
    whole = " AND ".join(f"{name} IS NOT NULL" for name in names)
    key = f"row({', '.join(names)})"
    sql = f"count(*) FILTER (WHERE {whole}) - count(DISTINCT {key}) FILTER (WHERE {whole})"
    return _counted(rule, ", ".join(_columns(rule)), sql)


def _logged_propensity_missing(rule: TableRule) -> Expectation:
    limit = limit_of(rule, Limit(0, 0, ""))
    return _decided(_of(rule, "propensity", limit, _share("count(*) FILTER (WHERE propensity IS NULL)")), "presence")


def _action_probabilities_sum(rule: TableRule) -> Expectation:
    limit = limit_of(rule, Limit(None, TOLERANCE, ""))
    sql = "coalesce(max(abs(list_sum(action_probabilities) - 1)), 0)"  # 0: no distribution is logged
    return _decided(_of(rule, "action_probabilities", limit, sql), "values")


def _counted(rule: TableRule, column: str, sql: str, *values: object) -> Expectation:
    """A count of rows, or its percentage where the rule says so; 0 where it names no limit."""
    if rule.arguments.get("unit") == "percent":
        return _of(rule, column, limit_of(rule, Limit(0, 0, "%")), f"100 * {_share(sql)}", *values)
    return _of(rule, column, limit_of(rule, none_of_the_rows()), sql, *values)


def _share(count: str) -> str:
    return f"({count}) / nullif(count(*), 0)"  # without rows there is no share, and nothing passes


def _of(rule: TableRule, column: str | None, limit: Limit, sql: str, *values: object) -> Expectation:
    return Expectation(rule.rule, column, rule.severity, limit, rule.description, sql, values)


def _decided(expectation: Expectation, need: Need) -> Expectation:
    return replace(expectation, decided_by=need)


def _columns(rule: TableRule) -> list[str]:
    several = rule.arguments.get("columns", [])
    if isinstance(several, list) and several:
        return several
    one = rule.arguments.get("column")
    return [str(one)] if one else []


def _unusable(rule: TableRule, contract: Contract, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"unusable quality rule {rule.rule} in {contract.path}: expected {expected}. Correct the contract.",
        check=rule.rule,
    )


RULES: Final[dict[str, Callable[[TableRule], Expectation]]] = {
    ROW_COUNT: _row_count,
    "null_share": _null_share,
    "nullValues": _null_values,
    "missingValues": _missing_values,
    "duplicateValues": _duplicate_values,
    "logged_propensity_missing": _logged_propensity_missing,
    "action_probabilities_sum": _action_probabilities_sum,
    "episode_continuity": episode_continuity,
    "one_terminal": one_terminal,
}
NEEDS_COLUMNS: Final = ("null_share", "nullValues", "missingValues", "duplicateValues")
