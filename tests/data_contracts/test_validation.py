"""Contract and drift together: level, evidence, and pages that open without a network."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.checks import CheckResult
from data_contracts.contract import Column, Contract, TableRule
from data_contracts.data_docs import external_references
from data_contracts.drift.source import TableChunks
from data_contracts.errors import ContractViolation
from data_contracts.expectations import Expectation
from data_contracts.findings import Finding
from data_contracts.interactions import interaction_schema
from data_contracts.judgement import judge
from data_contracts.row_source import TableRows
from data_contracts.table_limits import Limit, at_least, none_of_the_rows
from data_contracts.validation import ValidationResult, validate_rows

START = datetime(2026, 1, 1, tzinfo=UTC)
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
ACTIONS = ("a", "b")
CONTRACT = Contract(
    id="urn:small/../contract",  # a name must not become a path
    version="1.0.0",
    path="small.odcs.yaml",
    sha256="0" * 64,
    columns=(
        Column("propensity", "p", "number", ("reserved",), required=True),
        Column("reward", "r", "number", ("reserved",), required=True, minimum=0, maximum=1),
        Column("x", "x", "number", ("observation",), required=True, minimum=-10, maximum=10),
        Column("y", "y", "number", ("observation",)),
    ),
    outcome_columns=(),
    table_rules=(
        TableRule("rowCount", "block", {"mustBeGreaterThan": 0}, "rows are there"),
        TableRule("known_policy_version", "block", {}, "declared versions only"),
        TableRule("expected_weight", "block", {}, "weights average to 1"),
        TableRule("null_share", "warn", {"column": "y", "mustBeLessOrEqualTo": 0.1}, "y is mostly there"),
    ),
    owner="owners",
    support="#support",
    runbook="infra/RUNBOOK.md",
    freshness_hours=None,
)


def rows(n: int, *, seed: int = 0, batch: str = "first", day: int = 0, **changed: object) -> pa.Table:
    """`n` rows over ten days from `day`."""
    rng = np.random.default_rng(seed)
    columns: dict[str, object] = {
        "interaction_id": [f"{batch}-{i}" for i in range(n)],
        "unit_id": ["u"] * n,
        "occurred_at": [START + timedelta(days=day + 10 * i / n) for i in range(n)],
        "action": [ACTIONS[i] for i in rng.integers(0, 2, n)],
        "policy_version": ["1"] * n,
        "propensity": [0.5] * n,
        "reward": rng.integers(0, 2, n).astype(float),
        "x": rng.normal(size=n).clip(-5, 5),
        "y": rng.normal(size=n),
        "batch_id": [batch] * n,
        **changed,
    }
    schema = interaction_schema({"x": pa.float64(), "y": pa.float64()})
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(n, f.type) for f in schema]
    return pa.table(arrays, schema=schema)


def validate(
    table: pa.Table,
    *,
    contract: Contract = CONTRACT,
    reference: pa.Table | None = None,
    newest: str | None = None,
    docs: Path | None = None,
) -> ValidationResult:
    return validate_rows(
        TableRows(table),
        contract=contract,
        actions=ACTIONS,
        known_versions=frozenset({"1"}),
        reference=TableChunks(reference) if reference is not None else None,
        reference_name="training snapshot of version 2" if reference is not None else None,
        newest_batch=newest,
        docs_folder=docs,
        as_of=AS_OF,
    )


def broken(result: ValidationResult) -> dict[tuple[str, str | None], CheckResult]:
    return {(c.rule, c.column): c for c in result.checks if not c.passed}


def test_clean_rows_are_ok_and_every_check_says_what_it_saw() -> None:
    result = validate(rows(2000))
    assert result.level == "ok"
    assert broken(result) == {}
    assert result.n_interactions == 2000
    assert all(c.observed and c.limit and c.description for c in result.checks)
    assert result.drift is not None
    assert "no reference" in result.drift.detail
    weight = next(c for c in result.checks if c.rule == "expected_weight")
    assert (weight.column, weight.n_rows) == ("propensity of policy_version 1", 2000)
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["as_of"] == "2026-06-01T00:00:00+00:00"


def test_empty_table_blocks() -> None:
    result = validate(rows(0))
    assert result.level == "block"
    assert ("rowCount", None) in broken(result)


def test_empty_table_blocks_also_without_a_rule() -> None:
    assert validate(rows(0), contract=replace(CONTRACT, table_rules=())).level == "block"


def test_missing_column_blocks_and_the_rest_is_still_judged() -> None:
    table = rows(200, policy_version=["9"] * 200).drop_columns(["x", "propensity"])
    result = validate(table)
    assert result.level == "block"
    assert result.drift is None
    failed = broken(result)
    assert set(failed) == {("schema", None), ("known_policy_version", "policy_version")}
    assert failed["schema", None].observed == "propensity is missing; x is missing"


def test_nan_rewards_block_and_unknown_ones_are_counted() -> None:
    reward = [math.nan, math.inf, None, *[1.0] * 97]
    failed = broken(validate(rows(100, reward=reward)))
    assert failed["finite", "reward"].observed == "2 rows"
    assert failed["required", "reward"].observed == "1 row"


def test_a_broken_warning_only_warns() -> None:
    y = [None if i % 5 == 0 else 0.0 for i in range(100)]
    result = validate(rows(100, y=y))
    assert result.level == "warn"
    assert broken(result)["null_share", "y"].observed == "0.2"
    assert broken(result)["null_share", "y"].limit == "at most 0.1"


def test_wrong_propensities_of_one_version_block() -> None:
    versions = ["1"] * 4000 + ["2"] * 4000
    table = rows(8000, policy_version=versions, propensity=[0.5] * 4000 + [0.45] * 4000)
    failed = broken(validate(table))
    assert ("expected_weight", "propensity of policy_version 2") in failed
    assert ("expected_weight", "propensity of policy_version 1") not in failed
    assert failed["known_policy_version", "policy_version"].observed == "4,000 rows"


def test_planted_shift_blocks_and_the_clean_batch_after_it_is_ok() -> None:
    reference = rows(5000, seed=1, batch="old")
    shifted = rows(2000, seed=2, batch="shifted", day=10, x=np.random.default_rng(2).normal(1.0, 1, 2000))
    clean = rows(2000, seed=3, batch="clean", day=20)
    blocked = validate(pa.concat_tables([reference, shifted]), reference=reference, newest="shifted")
    assert blocked.level == "block"
    assert blocked.drift is not None
    assert blocked.drift.top[0].name == "mean x"
    assert broken(blocked) == {}
    after = validate(pa.concat_tables([clean, shifted, reference]), reference=reference, newest="clean")
    assert after.level == "ok"
    assert after.drift is not None
    assert after.drift.reference == "training snapshot of version 2"


def test_data_docs_open_without_a_network(tmp_path: Path) -> None:
    hostile = "<script src='https://example.org/x.js'></script><iframe src='https://example.org'></iframe>$where"
    table = rows(500, policy_version=["1"] * 250 + [hostile] * 250)
    rules = (*CONTRACT.table_rules, TableRule("nullValues", "warn", {"column": "y"}, hostile))
    result = validate(table, contract=replace(CONTRACT, table_rules=rules), docs=tmp_path / "docs")
    assert result.data_docs == str(tmp_path / "docs" / "index.html")
    pages = sorted((tmp_path / "docs").rglob("*.html"))
    assert len(pages) >= 4  # ours, the validation, the suite, and the way back
    for page in pages:
        browser = Browser()
        browser.feed(page.read_text())
        assert browser.scripts == 0, page
        assert [a for a in browser.assets if not a.startswith("data:")] == [], page
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", page.read_text()) == [], page
        for target in browser.links:
            if not re.match(r"https?:|#", target):
                assert (page.parent / target.split("#")[0]).exists(), (page, target)
    everything = "".join(page.read_text() for page in pages)
    assert "declared versions only" in everything
    assert "observed 250 rows, limit 0 rows, of 500 rows" in everything
    assert "100% of 1 total rows" not in everything


def test_data_docs_are_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    validate(rows(100), docs=folder)
    first = {p.name for p in folder.iterdir()}
    assert "unknown" not in (folder / "index.html").read_text()
    validate(rows(100, action=["unknown"] * 100), docs=folder)
    second = {p.name for p in folder.iterdir()}
    assert len(first) == len(second) == 2
    assert first & second == {"index.html"}
    assert "100 rows" in (folder / "index.html").read_text()


def test_external_references_are_recognised() -> None:
    loaded = '<img src="//cdn/x.png"><link href="https://a/b.css"><style>p {background: url(http://c/d)}</style>'
    assert len(external_references(loaded)) == 3
    assert external_references('<a href="https://a">read</a><img src="own.png"><p style="background: none">') == []


def finding(value: float | None, limit: Limit) -> Finding:
    return Finding(Expectation("rule", "column", "block", limit, "says", "sql"), value, "seen", 1)


def test_nothing_passes_without_a_number() -> None:
    judged = judge(
        [
            finding(None, none_of_the_rows()),
            finding(math.nan, none_of_the_rows()),
            finding(0.0, none_of_the_rows()),
            finding(7.0, at_least(1)),
            finding(0.0, at_least(1)),
        ],
        name="small",
    )
    assert judged.passed == (False, False, True, True, False)


def test_no_findings_are_no_success() -> None:
    with pytest.raises(ContractViolation, match="expected 0 judged"):
        judge([], name="small")


class Browser(HTMLParser):
    """What a browser would load, run and offer to follow."""

    def __init__(self) -> None:
        super().__init__()
        self.assets: list[str] = []
        self.links: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attributes:
            self.scripts += name.startswith("on")
            if name in ("src", "srcset", "poster", "data") or (name == "href" and tag != "a"):
                self.assets.append(value or "")
            elif name == "href":
                self.links.append(value or "")
