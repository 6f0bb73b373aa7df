"""Findings and reports of a task `shop`, for the tests of the alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from data_contracts.home import Home
from flows.alerts.findings import Finding
from flows.alerts.incidents import AlertResult, report_findings
from flows.alerts.route import AlertRoute

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES_CHECKED = (
    "contract",
    "expected_weight",
    "drift",
    "run_failed",
    "range",
    "required",
    "schema",
    "unique",
    "finite",
)


def finding(rule: str = "expected_weight", **changes: Any) -> Finding:
    found = Finding.of_rule(
        rule,
        summary=f"{rule} is broken",
        observed="0.33",
        limit="1",
        scope="task shop",
        owner="shop-data, #shop",
        next_command="sluice validate shop",
        links=("/srv/data_docs/index.html", "https://sluice.example.org/runs/1"),
    )
    return found.model_copy(update=changes)


def report(
    home: Home,
    *findings: Finding,
    hour: float = 0,
    task: str = "shop",
    contract: str = "shop_log",
    environment: str = "prod",
    route: AlertRoute | None = None,
    rules: Sequence[str] = RULES_CHECKED,
    **more: Any,
) -> AlertResult:
    return report_findings(
        home,
        task=task,
        contract=contract,
        environment=environment,
        findings=findings,
        rules_checked=rules,
        route=route or AlertRoute(),
        now=NOW + hour * HOUR,
        run_id=f"run{hour:g}",
        **{"pauses": (), **more},
    )
