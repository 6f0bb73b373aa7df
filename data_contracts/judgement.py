"""Great Expectations judges the findings: a table of one row, one column per measured number."""

from __future__ import annotations

import html
import logging
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from data_contracts.errors import ContractViolation
from data_contracts.findings import Finding

SITE: Final = "data_docs"
NAME: Final = "contract"  # of everything inside Great Expectations: becomes part of paths
SEVERITY: Final = {"block": "critical", "warn": "warning"}


@dataclass(frozen=True, slots=True, repr=False)
class Judgement:
    """`passed` in the order of the findings; `context` holds what Data Docs are rendered from."""

    passed: tuple[bool, ...]
    context: Any


def judge(findings: Sequence[Finding], *, name: str) -> Judgement:
    """Run one checkpoint over the findings; `name` of the contract is for messages.

    Great Expectations 1.24 passes an empty suite and counts NaN as missing, so a finding passes only if it was
    evaluated without an exception, its value is finite, and our own comparison agrees. Raises ContractViolation
    when the number of evaluated expectations is not the number of findings.
    """
    gx, pandas = _import_quietly()
    labels = _labels(findings)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_pandas("measured")
        .add_dataframe_asset(NAME)
        .add_batch_definition_whole_dataframe("all rows")
    )
    suite = context.suites.add(gx.ExpectationSuite(name=NAME, expectations=_expectations(gx, findings, labels)))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=NAME, data=batch, suite=suite))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name=NAME, validation_definitions=[definition], result_format="SUMMARY")
    )
    values = {label: _number(finding) for label, finding in zip(labels, findings, strict=True)}
    outcome = checkpoint.run(batch_parameters={"dataframe": pandas.DataFrame([values], dtype="float64")})
    (result,) = outcome.run_results.values()
    return Judgement(passed=_verdicts(findings, labels, result, name=name), context=context)


def render_data_docs(judgement: Judgement, folder: Path) -> None:
    """Write the pages as Great Expectations renders them into `folder`; they still point to external hosts."""
    site = {
        "class_name": "SiteBuilder",
        "site_name": SITE,
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    judgement.context.add_data_docs_site(SITE, site)
    judgement.context.build_data_docs(site_names=[SITE])


def _import_quietly() -> tuple[Any, Any]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import; no run may send anything anywhere
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside its own dependencies
        import great_expectations as gx
        import pandas
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    return gx, pandas


def _labels(findings: Sequence[Finding]) -> tuple[str, ...]:
    """One unique column name per finding, escaped: Data Docs print names, some of which come from the log, as HTML."""
    names = [f"{f.expectation.column or 'table'}: {f.expectation.rule}" for f in findings]
    repeated = [names[:i].count(name) for i, name in enumerate(names)]
    return tuple(html.escape(name if k == 0 else f"{name} ({k + 1})") for name, k in zip(names, repeated, strict=True))


def _expectations(gx: Any, findings: Sequence[Finding], labels: Sequence[str]) -> list[Any]:
    return [
        gx.expectations.ExpectColumnMaxToBeBetween(
            column=label,
            min_value=finding.expectation.limit.minimum,
            max_value=finding.expectation.limit.maximum,
            severity=SEVERITY[finding.expectation.level],
            # without it Data Docs would say "1 unexpected value, 100 % of 1 rows"
            description=html.escape(
                f"{finding.expectation.description} — observed {finding.observed}, "
                f"limit {finding.expectation.limit}, of {finding.n_rows:,} rows"
            ),
        )
        for finding, label in zip(findings, labels, strict=True)
    ]


def _verdicts(findings: Sequence[Finding], labels: Sequence[str], result: Any, *, name: str) -> tuple[bool, ...]:
    judged = {
        r.expectation_config.kwargs["column"]: bool(r.success) and not r.exception_info.get("raised_exception", True)
        for r in result.results
    }
    if len(judged) != len(findings) or set(judged) != set(labels) or not findings:
        raise ContractViolation(
            f"incomplete validation of {name}: expected {len(findings)} judged expectations, got {len(judged)}. "
            "Nothing may be trained on these rows; report this.",
            check="evaluated_expectations",
        )
    return tuple(
        judged[label] and finding.value is not None and finding.expectation.limit.holds(finding.value)
        for finding, label in zip(findings, labels, strict=True)
    )


def _number(finding: Finding) -> float:
    return math.nan if finding.value is None else finding.value
