"""The contract proven on the accepted rows, and drift against the champion's reference: evidence, not consequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_contracts.checks import CheckResult, Section
from data_contracts.contract import Contract
from data_contracts.data_docs import publish_data_docs
from data_contracts.drift.check import check_drift_in_chunks
from data_contracts.drift.records import DriftResult, Level
from data_contracts.drift.source import Chunks
from data_contracts.expectations import row_expectations, schema_problems
from data_contracts.findings import Finding, check_result, judge_weights, measure_expectations, measure_schema
from data_contracts.judgement import judge
from data_contracts.propensities.propensity_tally import PropensityTally
from data_contracts.row_source import Rows
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
    rows: Rows,
    *,
    contract: Contract,
    actions: tuple[str, ...],
    known_versions: frozenset[str],
    reference: Chunks | None,
    reference_name: str | None,
    newest_batch: str | None,
    docs_folder: Path | None,
    as_of: datetime,
    batch_order: tuple[str, ...] = (),
    sections: tuple[Section, ...] = (),
    reward_bounds: tuple[float, float] | None = None,
    attribution_window: timedelta = timedelta(0),
    review_drift: Callable[[DriftResult], DriftResult] | None = None,
) -> ValidationResult:
    """Judge all accepted `rows` up to `as_of` by the contract, and those beyond `reference` for drift.

    Args:
        rows: n rows, read in chunks where they come from the store; see row_source.
        actions: the declared action names.
        known_versions: policy versions that may have logged.
        reference: the champion's training rows, or None when it was declared.
        newest_batch: the batch whose drift is reported.
        docs_folder: where Data Docs are published; None for none.
        batch_order: batches in order of ingestion; those not named come first, by their earliest interaction.
        sections: what else was judged; their failed checks count as the contract's do.
        attribution_window: from an interaction to the moment at which its reward is final.
        review_drift: asked what an alarm means: whether it touches the gate's verdict, and what may have caused it.
        reward_bounds: of the reward as the channels combine; None: those that the contract gives one outcome.

    Raises ConfigurationError when the contract names a rule that cannot be judged.
    """
    problems = schema_problems(rows.schema, contract)
    contract = _with_bounds(contract, reward_bounds)
    findings = _measure(rows, contract, problems=problems, actions=actions, known_versions=known_versions, as_of=as_of)
    if not any(section.name == "propensities" for section in sections) and not problems:
        findings += _weights(rows, contract, actions=actions)
    judgement = judge(findings, name=contract.id)
    checks = tuple(check_result(f, passed=passed) for f, passed in zip(findings, judgement.passed, strict=True))
    drift = None
    if not problems:
        drift = check_drift_in_chunks(
            rows,
            reference,
            reference_name=reference_name,
            contract=contract,
            actions=actions,
            batch_order=_complete_order(rows, batch_order, newest_batch) if reference is not None else (),
            newest_batch=newest_batch,
            attribution_window=attribution_window,
        )
        if drift.alarms and review_drift is not None:
            drift = review_drift(drift)
    every = (*checks, *(check for section in sections for check in section.checks))
    failed: list[Level] = [check.level for check in every if not check.passed]
    level = _worst([*failed, drift.level] if drift is not None else failed)
    docs = None
    if docs_folder is not None:
        docs = publish_data_docs(
            judgement,
            findings,
            docs_folder,
            contract=contract,
            drift=drift,
            level=level,
            as_of=as_of,
            sections=sections,
        )
    return ValidationResult(level, checks, drift, docs, as_of, findings[0].n_rows, sections)


def _measure(
    rows: Rows,
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
        *table_expectations(contract, known_versions=known_versions, actions=actions),
    )
    measurable = tuple(e for e in expectations if not problems.keys() & set((e.column or "").split(", ")))
    n_rows, measured = measure_expectations(rows, measurable)
    return (measure_schema(problems, n_rows=n_rows, n_columns=len(rows.schema)), *measured)


def _weights(rows: Rows, contract: Contract, *, actions: tuple[str, ...]) -> tuple[Finding, ...]:
    """The contract's rule about E[w]; section `propensities`, where there is one, judges it with more knowledge."""
    rules = [rule for rule in contract.table_rules if rule.rule == EXPECTED_WEIGHT]
    if not rules:
        return ()
    columns = ("policy_version", "action", "propensity", "sampling_rate")
    tally = PropensityTally.of(rows.chunks(columns), actions=actions)
    return tuple(finding for rule in rules for finding in judge_weights(tally, rule, contract=contract))


def _with_bounds(contract: Contract, bounds: tuple[float, float] | None) -> Contract:
    """The contract for final rewards, which may lie outside what one outcome can be."""
    if bounds is None:
        return contract
    low, high = bounds
    columns = tuple(replace(c, minimum=low, maximum=high) if c.name == "reward" else c for c in contract.columns)
    return replace(contract, columns=columns)


def _worst(levels: list[Level]) -> Level:
    return "block" if "block" in levels else "warn" if "warn" in levels else "ok"


def _complete_order(rows: Rows, named: tuple[str, ...], newest: str | None) -> tuple[str, ...]:
    """`named`, behind the batches it leaves out in order of their earliest interaction; without it, newest last."""
    chunks = [
        c.group_by("batch_id").aggregate([("occurred_at", "min")]) for c in rows.chunks(["batch_id", "occurred_at"])
    ]
    moments = pa.concat_tables(chunks).rename_columns(["batch_id", "occurred_at"])
    earliest = moments.group_by("batch_id").aggregate([("occurred_at", "min")])
    earliest = earliest.sort_by([("occurred_at_min", "ascending"), ("batch_id", "ascending")])
    known = (*named, newest) if newest is not None and newest not in named else named
    others = [b for b in earliest["batch_id"].to_pylist() if b is not None and b not in known]
    return (*others, *known)
