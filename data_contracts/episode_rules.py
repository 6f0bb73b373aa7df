"""The contract's rules that no aggregate of single rows can measure: episodes in their order, and the rarest action.

Each `sql` is a scalar subquery that reads table `interactions` once, so it also stands alone: `SELECT <sql>`.
"""

from __future__ import annotations

from importlib.resources import files

from data_contracts.contract import TableRule
from data_contracts.expectations import Expectation
from data_contracts.table_limits import Limit, limit_of, none_of_the_rows


def episode_continuity(rule: TableRule) -> Expectation:
    """Rows, or % of the rows in episodes, that do not follow the one before them.

    In order of (step, occurred_at, interaction_id), a row breaks the rule when it has no step, when its step is not
    that of the row before plus 1 (so also a repeated one), when its time is earlier, or its unit another.
    """
    return _broken_rows(rule, "step", "episode_continuity.sql")


def one_terminal(rule: TableRule) -> Expectation:
    """Rows, or % of the rows in episodes, that are terminated or truncated although another step follows."""
    return _broken_rows(rule, "terminated, truncated", "one_terminal.sql")


def rare_action(rule: TableRule, *, actions: tuple[str, ...]) -> Expectation:
    """Rows of the declared action that has the fewest, or their % of all rows; an action without any has 0."""
    unit, amount = ("%", "100 * min(n) / nullif(sum(n), 0)") if _is_share(rule) else ("rows", "min(n)")
    limit = limit_of(rule, Limit(0, None, unit))
    return _expectation(rule, "action", limit, amount, "rare_action.sql", list(actions))


def _broken_rows(rule: TableRule, column: str, query: str) -> Expectation:
    count = "count(*) FILTER (WHERE broken)"
    if not _is_share(rule):
        return _expectation(rule, column, limit_of(rule, none_of_the_rows()), count, query)
    share = f"coalesce(100 * {count} / nullif(count(*), 0), 0)"  # no episode is broken where there is none
    return _expectation(rule, column, limit_of(rule, Limit(0, 0, "%")), share, query)


def _is_share(rule: TableRule) -> bool:
    return rule.arguments.get("unit") == "percent"


def _expectation(rule: TableRule, column: str, limit: Limit, amount: str, query: str, *values: object) -> Expectation:
    text = files("data_contracts").joinpath(query).read_text()
    sql = f"(SELECT {amount} FROM ({text}))"  # noqa: S608
    return Expectation(rule.rule, column, rule.severity, limit, rule.description, sql, values, stands_alone=True)
