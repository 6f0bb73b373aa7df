"""Propensity health: the part of every validation that asks, per policy version, whether the propensities are true.

Blocking: `expected_weight` and `propensity_calibration`, because a policy judged by wrong propensities is judged
wrongly, and a true log is blocked with a chance of at most 1 / 1000 a check, however often it is looked at; and
`silent_propensity`, because such rows say that nothing was ever explored. Warning: `constant_propensity` (suspicious,
but E[w] = 1 decides whether it is wrong) and `propensity_missing` (such rows may train and never gate).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from data_contracts.checks import CheckResult, FactTable, Section
from data_contracts.contract import Contract, Severity
from data_contracts.propensities.propensity_evidence import calibration_log_e, expected_weight, show_weight
from data_contracts.propensities.propensity_health import WeightHealth
from data_contracts.propensities.propensity_settings import PropensitySettings
from data_contracts.propensities.propensity_tables import detail_tables, versions_table
from data_contracts.propensities.propensity_tally import PropensityTally, VersionPropensities
from data_contracts.table_rules import EXPECTED_WEIGHT

TITLE: Final = "Propensities"
THRESHOLD: Final = math.log(1000)  # of the evidence; a true log reaches it, ever, with probability <= 1/1000
MINIMUM_ROWS: Final = 30  # fewer say nothing about a constant
SILENT_SHARE: Final = 0.99
CONSTANT_TOLERANCE: Final = 0.005  # of propensity x number of actions = 1, as rounded as 0.333
MAX_VERSIONS: Final = 50  # judged; a log with more has lost its versions


def propensity_section(
    tally: PropensityTally,
    *,
    contract: Contract,
    settings: PropensitySettings,
    served: tuple[CheckResult, ...] = (),
    tables: tuple[FactTable, ...] = (),
    notes: tuple[str, ...] = (),
) -> Section:
    """Judge every policy version of `tally`; `served`, `tables` and `notes` of serving skew are put beside.

    `expected_weight` has the severity that the contract gives that rule, else it blocks.
    """
    versions = sorted(tally.versions(), key=lambda found: (-found.n, found.version))
    judged = sorted(versions[:MAX_VERSIONS], key=lambda found: found.version)
    results = [_judge(found, len(tally.actions), contract, settings) for found in judged]
    left_out = len(versions) - len(judged)
    if left_out:
        notes = (*notes, f"{left_out} policy versions with fewer rows are not judged.")
    return Section(
        name="propensities",
        title=TITLE,
        checks=(*(check for result in results for check in result[1]), *served),
        tables=(
            versions_table([(found, health) for found, (health, _) in zip(judged, results, strict=True)]),
            *detail_tables(judged),
            *tables,
        ),
        notes=(*(note for found in judged for note in _notes(found, settings)), *notes),
    )


def _judge(
    found: VersionPropensities, n_actions: int, contract: Contract, settings: PropensitySettings
) -> tuple[WeightHealth | None, list[CheckResult]]:
    missing = _missing(found, settings)
    if not found.n_known or not found.actions:
        return None, [missing]
    column = contract.column("propensity")
    smallest = column.minimum if column is not None else None
    partial = _partial(found, settings)
    health = expected_weight(found, n_actions=n_actions, smallest=smallest, partial_support=partial)
    log_e = calibration_log_e(found, smallest=smallest, partial_support=partial)
    declared = [rule.severity for rule in contract.table_rules if rule.rule == EXPECTED_WEIGHT]
    level: Severity = declared[0] if declared else "block"
    checks = [
        _check(
            found,
            EXPECTED_WEIGHT,
            level,
            passed=health.log_e < THRESHOLD,
            observed=show_weight(health),
            limit="log10 e below 3",
            description="importance weights of the uniform policy average to 1",
        ),
        _check(
            found,
            "propensity_calibration",
            "block",
            passed=log_e < THRESHOLD,
            observed=f"log10 e {log_e / math.log(10):.2f}",
            limit="log10 e below 3",
            description="every action is taken as often as its propensities say",
        ),
        _silent(found, partial=partial),
        _constant(found, n_actions),
        missing,
    ]
    return health, checks


def _silent(found: VersionPropensities, *, partial: bool) -> CheckResult:
    ones = int(found.counts[found.least == 1].sum())
    silent = ones >= SILENT_SHARE * found.n_known and len(found.actions) > 1 and found.n_known >= MINIMUM_ROWS
    return _check(
        found,
        "silent_propensity",
        "block",
        passed=partial or not silent,
        observed=f"{ones:,} of {found.n_known:,} propensities are 1, {len(found.actions)} actions taken",
        limit=f"less than {SILENT_SHARE:.0%}",
        description="propensities are not silently 1 while several actions are taken",
    )


def _constant(found: VersionPropensities, n_actions: int) -> CheckResult:
    """A constant below 1 is a uniform choice among 1 / constant actions, or none at all."""
    least, largest = float(found.least.min()), float(found.largest.max())
    constant = least == largest < 1 and len(found.actions) > 1 and found.n_known >= MINIMUM_ROWS
    among = round(1 / largest)
    uniform = abs(among * largest - 1) <= CONSTANT_TOLERANCE and len(found.actions) <= among <= n_actions
    shown = f"always {largest:.4g}" if least == largest else f"from {least:.4g} to {largest:.4g}"
    return _check(
        found,
        "constant_propensity",
        "warn",
        passed=not constant or uniform,
        observed=f"{shown}, {len(found.actions)} actions taken",
        limit="not constant, unless 1 / number of actions",
        description="propensities vary, or the choice is uniform",
    )


def _missing(found: VersionPropensities, settings: PropensitySettings) -> CheckResult:
    share = found.n_missing / found.n
    return _check(
        found,
        "propensity_missing",
        "warn",
        passed=share <= settings.max_missing_share,
        observed=f"{share:.2%} of {found.n:,} rows have neither a propensity nor a declared source",
        limit=f"at most {settings.max_missing_share:.2%}",
        description="rows without a propensity may train and never gate",
        n_rows=found.n,
    )


def _check(
    found: VersionPropensities,
    rule: str,
    level: Severity,
    *,
    passed: bool,
    observed: str,
    limit: str,
    description: str,
    n_rows: int | None = None,
) -> CheckResult:
    return CheckResult(
        rule=rule,
        column=f"propensity of policy_version {found.version}",
        level=level,
        passed=passed,
        observed=observed,
        limit=limit,
        n_rows=found.n_known if n_rows is None else n_rows,
        description=description,
    )


def _partial(found: VersionPropensities, settings: PropensitySettings) -> bool:
    """Declared so, or seen in a whole distribution."""
    return found.lacks_support or found.version in settings.partial_support


def _notes(found: VersionPropensities, settings: PropensitySettings) -> Iterator[str]:
    if found.n_known and _partial(found, settings):
        yield f"Version {found.version} cannot take every action everywhere: weights below 1 are not held against it."
    if found.downsampled:
        yield f"Rows of version {found.version} are weighted by 1 / sampling_rate."
