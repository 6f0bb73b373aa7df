"""The contract proven on the accepted rows, and drift against the champion's reference: evidence, not consequence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_contracts.checks import CheckResult, Section
from data_contracts.contract import Contract
from data_contracts.data_docs import publish_data_docs
from data_contracts.drift.check import check_drift
from data_contracts.drift.records import DriftResult, Level
from data_contracts.expectations import row_expectations, schema_problems
from data_contracts.findings import Finding, measure_expectations, measure_schema, measure_weights
from data_contracts.judgement import judge
from data_contracts.table_rules import EXPECTED_WEIGHT, table_expectations


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """`level` is the worst of the failed checks, those of the sections included, and of drift.

    `drift` is None where the schema does not allow it.
    """

    level: Level
    checks: tuple[CheckResult, ...]
    drift: DriftResult | None
    data_docs: str | None  # path of index.html
    as_of: datetime
    n_interactions: int
    sections: tuple[Section, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; times as ISO 8601."""
        return {**asdict(self), "as_of": self.as_of.isoformat()}


def validate_rows(
    rows: pa.Table,
    *,
    contract: Contract,
    actions: tuple[str, ...],
    known_versions: frozenset[str],
    reference: pa.Table | None,
    reference_name: str | None,
    newest_batch: str | None,
    docs_folder: Path | None,
    as_of: datetime,
    batch_order: tuple[str, ...] = (),
    sections: tuple[Section, ...] = (),
) -> ValidationResult:
    """Judge all accepted `rows` up to `as_of` by the contract, and those beyond `reference` for drift.

    Args:
        rows: (n,) columns of interaction_schema, `reward` null where unknown, and `matured` (else all rows count as
            matured).
        actions: the declared action names.
        known_versions: policy versions that may have logged.
        reference: the champion's training rows, or None when it was declared.
        newest_batch: the batch whose drift is reported.
        docs_folder: where Data Docs are published; None for none.
        batch_order: batches in order of ingestion; those not named come first, by their earliest interaction.
        sections: what else was judged; their failed checks count as the contract's do.

    Raises ConfigurationError when the contract names a rule that cannot be judged.
    """
    problems = schema_problems(rows, contract)
    findings = _measure(rows, contract, problems=problems, actions=actions, known_versions=known_versions, as_of=as_of)
    judgement = judge(findings, name=contract.id)
    checks = tuple(_check(f, passed) for f, passed in zip(findings, judgement.passed, strict=True))
    drift = None
    if not problems:
        drift = check_drift(
            rows,
            reference,
            reference_name=reference_name,
            contract=contract,
            actions=actions,
            batch_order=_complete_order(rows, batch_order, newest_batch),
            newest_batch=newest_batch,
        )
    every = (*checks, *(check for section in sections for check in section.checks))
    failed: list[Level] = [check.level for check in every if not check.passed]
    level = _worst([*failed, drift.level] if drift is not None else failed)
    docs = None
    if docs_folder is not None:
        docs = publish_data_docs(
            judgement, findings, docs_folder, contract=contract, drift=drift, level=level, as_of=as_of
        )
    return ValidationResult(level, checks, drift, docs, as_of, rows.num_rows, sections)


def _measure(
    rows: pa.Table,
    contract: Contract,
    *,
    problems: dict[str, str],
    actions: tuple[str, ...],
    known_versions: frozenset[str],
    as_of: datetime,
) -> tuple[Finding, ...]:
    """All findings; a column that is missing or mistyped breaks `schema` and is not measured further."""
    expectations = (
        *row_expectations(contract, actions=actions, as_of=as_of),
        *table_expectations(contract, known_versions=known_versions),
    )
    measurable = tuple(e for e in expectations if not problems.keys() & set((e.column or "").split(", ")))
    findings = [
        measure_schema(problems, n_rows=rows.num_rows, n_columns=rows.num_columns),
        *measure_expectations(rows, measurable),
    ]
    for rule in contract.table_rules:
        if rule.rule == EXPECTED_WEIGHT and not problems.keys() & {"propensity", "policy_version", "action"}:
            findings += measure_weights(rows, rule, contract=contract, actions=actions)
    return tuple(findings)


def _check(finding: Finding, passed: bool) -> CheckResult:
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
    )


def _worst(levels: list[Level]) -> Level:
    return "block" if "block" in levels else "warn" if "warn" in levels else "ok"


def _complete_order(rows: pa.Table, named: tuple[str, ...], newest: str | None) -> tuple[str, ...]:
    """`named`, behind the batches it leaves out in order of their earliest interaction; without it, newest last."""
    earliest = rows.group_by("batch_id").aggregate([("occurred_at", "min")])
    earliest = earliest.sort_by([("occurred_at_min", "ascending"), ("batch_id", "ascending")])
    known = (*named, newest) if newest is not None and newest not in named else named
    others = [b for b in earliest["batch_id"].to_pylist() if b is not None and b not in known]
    return (*others, *known)
