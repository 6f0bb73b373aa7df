"""Each expectation measured on rows that break it, with counts by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Column, Contract, TableRule
from data_contracts.errors import ConfigurationError
from data_contracts.expectations import row_expectations, schema_problems
from data_contracts.findings import Finding, judge_weights, measure_expectations
from data_contracts.interactions import interaction_schema
from data_contracts.language import contract_rules
from data_contracts.propensities.propensity_tally import PropensityTally
from data_contracts.row_source import TableRows
from data_contracts.table_limits import Limit, at_least, limit_of
from data_contracts.table_rules import table_expectations

AS_OF = datetime(2026, 5, 1, tzinfo=UTC)
ACTIONS = ("a", "b")
OWN = {"x": pa.float64(), 'od"d': pa.int64(), "city": pa.string(), "member": pa.bool_()}
CONTRACT = Contract(
    id="small",
    version="1",
    path="small.odcs.yaml",
    sha256="0" * 64,
    columns=(
        Column("propensity", "p", "number", ("reserved",)),
        Column("x", "x", "number", ("observation",), required=True, minimum=0, maximum=1),
        Column('od"d', "odd", "integer", ("extra",), minimum=0, valid_values=("1", "2")),
        Column("city", "city", "string", ("segment",), valid_values=("here", "it's")),
        Column("member", "member", "boolean", ("observation",), valid_values=("true",)),
    ),
    outcome_columns=(),
    table_rules=(),
    owner="o",
    support="s",
    runbook="r",
    freshness_hours=None,
)


def rows(n: int = 10, **changed: list[object]) -> pa.Table:
    columns: dict[str, list[object]] = {
        "interaction_id": [f"i{i}" for i in range(n)],
        "unit_id": ["u"] * n,
        "occurred_at": [AS_OF] * n,
        "action": [ACTIONS[i % 2] for i in range(n)],
        "policy_version": ["1"] * n,
        "propensity": [0.5] * n,
        "x": [0.5] * n,
        'od"d': [1] * n,
        "city": ["it's"] * n,
        "member": [True] * n,
        "batch_id": ["b"] * n,
        **changed,
    }
    schema = interaction_schema(OWN)
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(n, f.type) for f in schema]
    return pa.table(arrays, schema=schema)


def measured(table: pa.Table, *rules: TableRule) -> dict[tuple[str, str | None], Finding]:
    contract = replace(CONTRACT, table_rules=rules)
    expectations = (
        *row_expectations(contract, actions=ACTIONS, as_of=AS_OF),
        *table_expectations(contract, known_versions=frozenset({"1"}), actions=ACTIONS),
    )
    return {
        (f.expectation.rule, f.expectation.column): f for f in measure_expectations(TableRows(table), expectations)[1]
    }


def holds(finding: Finding) -> bool:
    return finding.value is not None and finding.expectation.limit.holds(finding.value)


def rule(name: str, **arguments: float | str | list[str]) -> TableRule:
    return TableRule(name, "warn", arguments, "said by the contract")


def test_good_rows_break_nothing() -> None:
    found = measured(rows())
    assert len(found) == len({*found}) >= 15
    assert all(holds(f) for f in found.values())


@pytest.mark.parametrize(
    ("key", "changed", "count"),
    [
        (("required", "x"), {"x": [None, None, *[0.5] * 8]}, 2),
        (("required", "unit_id"), {"unit_id": [None, *["u"] * 9]}, 1),
        (("finite", "x"), {"x": [math.nan, math.inf, -math.inf, *[0.5] * 7]}, 3),
        (("range", "x"), {"x": [-0.1, 1.1, 0.0, 1.0, math.nan, None, *[0.5] * 4]}, 3),
        (("range", 'od"d'), {'od"d': [-1, None, *[1] * 8]}, 1),
        (("valid_values", 'od"d'), {'od"d': [3, 2, None, *[1] * 7]}, 1),
        (("valid_values", "city"), {"city": ["there", None, *["here"] * 8]}, 1),
        (("valid_values", "member"), {"member": [False, None, *[True] * 8]}, 1),
        (("unique", "interaction_id"), {"interaction_id": ["same"] * 3 + [f"i{i}" for i in range(7)]}, 2),
        (("known_action", "action"), {"action": ["c", *["a"] * 9]}, 1),
        (("propensity", "propensity"), {"propensity": [0.0, -0.5, 1.7, math.nan, 1.0, None, *[0.5] * 4]}, 4),
        (("finite", "propensity"), {"propensity": [math.nan, *[0.5] * 9]}, 1),
        (("as_of", "occurred_at"), {"occurred_at": [datetime(2026, 5, 2, tzinfo=UTC), *[AS_OF] * 9]}, 1),
        (
            ("action_probabilities", "action_probabilities"),
            {
                "action_probabilities": [
                    None,
                    [0.5, 0.5],
                    [1.0],
                    [0.6, 0.5],
                    [-0.5, 1.5],
                    [math.nan, 0.5],
                    [None, 1.0],
                    [0.5 + 5e-7, 0.5],
                    [1.0, 0.0],
                    None,
                ]
            },
            5,
        ),
    ],
)
def test_broken_rows_are_counted(key: tuple[str, str], changed: dict[str, list[object]], count: int) -> None:
    finding = measured(rows(**changed))[key]
    assert finding.value == count
    assert not holds(finding)
    assert finding.observed.startswith(f"{count} row")


def test_a_required_reward_is_due_when_the_row_has_matured() -> None:
    reward = Column("reward", "r", "number", ("reserved",), required=True, minimum=0, maximum=1)
    table = rows(reward=[None, None, *[1.0] * 8])
    expectations = row_expectations(replace(CONTRACT, columns=(reward,)), actions=ACTIONS, as_of=AS_OF)
    for matured, count in [([True, False, *[True] * 8], 1), ([False] * 10, 0)]:
        _, found = measure_expectations(TableRows(table.append_column("matured", pa.array(matured))), expectations)
        (due,) = (f.value for f in found if (f.expectation.rule, f.expectation.column) == ("required", "reward"))
        assert due == count


def test_table_rules() -> None:
    table = rows(
        policy_version=["1"] * 8 + ["9", "9"],
        propensity=[None, None, *[0.5] * 8],
        action_probabilities=[[0.5, 0.6], *[None] * 9],
        city=[None, *["here"] * 9],
    )
    found = measured(
        table,
        rule("rowCount", mustBeGreaterThan=9),
        rule("known_policy_version"),
        rule("logged_propensity_missing", mustBeLessThan=0.25),
        rule("action_probabilities_sum"),
        rule("null_share", column="city", mustBeLessOrEqualTo=0.05),
    )
    assert holds(found["rowCount", None])
    assert found["rowCount", None].expectation.level == "warn"
    assert found["known_policy_version", "policy_version"].value == 2
    assert found["logged_propensity_missing", "propensity"].value == pytest.approx(0.2)
    assert holds(found["logged_propensity_missing", "propensity"])
    assert found["action_probabilities_sum", "action_probabilities"].value == pytest.approx(0.1)
    assert found["null_share", "city"].value == pytest.approx(0.1)
    assert not holds(found["null_share", "city"])


@pytest.mark.parametrize(
    ("name", "arguments", "value", "observed"),
    [
        ("nullValues", {"column": "city"}, 2, "2 rows"),
        ("nullValues", {"column": "city", "unit": "percent"}, 20, "20 %"),
        ("missingValues", {"column": "city", "missing_values": ["n/a", "-"]}, 5, "5 rows"),
        ("missingValues", {"column": 'od"d', "missing_values": ["-1"]}, 1, "1 row"),
        ("duplicateValues", {"columns": ["city"]}, 5, "5 rows"),
        ("duplicateValues", {"columns": ["city", "action"], "unit": "percent"}, 30, "30 %"),
    ],
)
def test_library_metrics(name: str, arguments: dict[str, str | list[str]], value: float, observed: str) -> None:
    city = [None, None, "n/a", "n/a", "-", "x", "x", "x", "x", "x"]  # 8 known values, 3 distinct
    action = ["a", "a", "a", "b", "a", "a", "a", "a", "b", "b"]  # (n/a, a) (n/a, b) (-, a) (x, a) (x, b): 5 of 8
    table = rows(**{"city": city, "action": action, 'od"d': [-1, *[1] * 9]})
    finding = next(f for (rule_name, _), f in measured(table, rule(name, **arguments)).items() if rule_name == name)
    assert finding.value == value
    assert finding.observed == observed
    assert not holds(finding)


def test_every_rule_a_contract_may_name_can_be_judged() -> None:
    for name, kind in contract_rules.RULES.items():
        if name == "expected_weight":
            continue
        columns: dict[str, str | list[str]] = {"one": {"column": "x"}, "many": {"columns": ["x", "city"]}}.get(
            kind.columns, {}
        )
        found = measured(rows(), rule(name, mustBeGreaterOrEqualTo=0, **columns))
        assert any(holds(f) for (rule_name, _), f in found.items() if rule_name == name), name


def test_no_rows_hold_no_count_and_no_share() -> None:
    found = measured(rows(0), rule("null_share", column="city", mustBeLessOrEqualTo=0.5))
    assert not holds(found["rowCount", None])  # implied where the contract is silent
    assert found["rowCount", None].expectation.level == "block"
    assert not holds(found["null_share", "city"])


@pytest.mark.parametrize(
    "unusable", [rule("nulshare"), rule("null_share", column="nowhere", mustBe=0), rule("null_share", column="city")]
)
def test_a_rule_that_cannot_be_judged_is_an_error(unusable: TableRule) -> None:
    with pytest.raises(ConfigurationError, match=r"null?_?share"):
        measured(rows(), unusable)


def test_limits() -> None:
    assert limit_of(rule("row_count", mustBeGreaterThan=0), at_least(5)) == Limit(1, None, "rows")
    assert limit_of(rule("row_count", mustBeBetween=["2", "9"]), at_least(5)) == Limit(2, 9, "rows")
    assert limit_of(rule("row_count"), at_least(5)) == Limit(5, None, "rows")
    strict = limit_of(rule("null_share", mustBeLessThan=0.1), None)
    assert strict.holds(0.0999)
    assert not strict.holds(0.1)
    with pytest.raises(ConfigurationError):
        limit_of(rule("row_count", mustBe="many"), at_least(1))
    with pytest.raises(ConfigurationError):
        limit_of(rule("row_count", mustBeBetween=["1"]), at_least(1))


def test_schema_problems_name_missing_and_mistyped_columns() -> None:
    table = rows().drop_columns(["x", "propensity"])
    table = table.set_column(table.column_names.index("city"), "city", pa.array(range(10)))
    assert schema_problems(table.schema, CONTRACT) == {
        "propensity": "is missing",
        "x": "is missing",
        "city": "is int64, not string",
    }
    assert schema_problems(rows().schema, CONTRACT) == {}


def weights(table: pa.Table, *, actions: tuple[str, ...] = ACTIONS, minimum: float | None = None) -> list[Finding]:
    columns = (replace(CONTRACT.columns[0], minimum=minimum), *CONTRACT.columns[1:])
    contract = replace(CONTRACT, columns=columns)
    tally = PropensityTally.empty(actions).add(table)
    return list(judge_weights(tally, rule("expected_weight"), contract=contract))


def test_expected_weight_is_judged_per_version() -> None:
    # version 1 logs the truth; version 2 says 0.9 of it: mean weight 1 / 0.9
    n = 4000
    table = rows(2 * n, policy_version=["1"] * n + ["2"] * n, propensity=[0.5] * n + [0.45] * n)
    first, second = weights(table)
    assert holds(first)
    assert not holds(second)
    assert second.expectation.column == "propensity of policy_version 2"
    assert second.observed.startswith("mean 1.111")
    assert second.n_rows == n


def test_propensities_that_are_too_large_are_found_too() -> None:
    n = 4000
    (finding,) = weights(rows(n, propensity=[0.55] * n), minimum=0.25)
    assert not holds(finding)


def test_an_action_that_a_version_never_takes_is_no_wrong_propensity() -> None:
    # a third action was declared later: the mean weight of a true log over two actions is 2/3
    (finding,) = weights(rows(4000), actions=("a", "b", "c"))
    assert finding.observed.startswith("mean 0.6667")
    assert holds(finding)


def test_a_short_uniform_log_over_many_actions_is_not_accused() -> None:
    # 10 rows cannot show all of 34 actions
    actions = tuple(str(i) for i in range(34))
    (finding,) = weights(rows(10, action=list(actions[:10]), propensity=[1 / 34] * 10), actions=actions)
    assert holds(finding)


def test_a_version_without_propensities_is_said_so() -> None:
    (finding,) = weights(rows(3, propensity=[None] * 3))
    assert finding.n_rows == 0
    assert "no propensity logged" in finding.observed


def test_weights_of_numpy_and_arrow_agree() -> None:
    rng = np.random.default_rng(0)
    explores = rng.random(5000) < 0.4
    (finding,) = weights(rows(5000, propensity=np.where(explores, 0.4, 0.6).tolist()))
    mean = np.mean(np.where(explores, 1 / 0.8, 1 / 1.2))
    assert finding.observed.startswith(f"mean {mean:.4g}")
