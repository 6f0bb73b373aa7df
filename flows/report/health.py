"""Data health as the page shows it: accounting, three numbers, and the checks of the contract in few lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flows.report.data_facts import Check, Data, Drift
from flows.report.facts import ExpectedWeight, RunFacts
from flows.report.numbers import format_count, format_to

TWO_DECIMALS = 1.0  # as the width of an interval
SMALLEST_WIDTH = 0.02  # of a shown interval; more decimals of an expected weight say nothing
ROUNDING = 1e-9  # of weights that are 1 by construction
FEW_UNITS = 30  # effective sample size below which no normal approximation is worth reading


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of data health; `level` is ok, warn, block or none (not measured)."""

    name: str
    value: str
    note: str
    level: str


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One failed check, or all that passed under one rule."""

    rule: str
    level: str
    passed: bool
    columns: tuple[str, ...]
    observed: str
    limit: str
    description: str
    n: int


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """Chances of a false alarm at most; None where the group has no such budget."""

    group: str
    warn: float | None
    block: float | None


def balances(data: Data) -> bool:
    """Lines read = accepted + quarantined + duplicate + erased."""
    kept = (data.n_accepted or 0) + (data.n_quarantined or 0) + (data.n_duplicate or 0)
    return data.n_read == kept + data.n_erased


def health_tiles(facts: RunFacts) -> list[Tile]:
    """Whether propensities are true, rewards are final, and rows inform the estimate."""
    return [_expected_weight(facts), _maturity(facts.data), _sample_size(facts)]


def check_lines(checks: Iterable[Check]) -> list[CheckLine]:
    """Failed checks one by one; those that passed together by rule, since a contract has a check for every column."""
    lines: list[CheckLine] = []
    passed: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.passed:
            passed.setdefault((check.rule, check.level), []).append(check)
        else:
            lines.append(_check_line([check]))
    return lines + [_check_line(group) for group in passed.values()]


def budget_lines(drift: Drift) -> list[BudgetLine]:
    """One line per group of monitors, and their sums, which bound an alarm of any group."""
    stated = {(budget.group, budget.threshold): budget.at_most for budget in drift.budgets}
    groups = list(dict.fromkeys(budget.group for budget in drift.budgets))
    lines = [BudgetLine(group, stated.get((group, "warn")), stated.get((group, "block"))) for group in groups]
    warn, block = (sum(b.at_most for b in drift.budgets if b.threshold == t) for t in ("warn", "block"))
    return [*lines, BudgetLine("all together", warn, block)] if len(lines) > 1 else lines


def _expected_weight(facts: RunFacts) -> Tile:
    found = facts.weights.expected_weight if facts.weights else ()
    if not found:
        return Tile("Expected weight", "–", "Not measured in this run.", "none")
    worst = max(found, key=lambda w: (not _holds(w), w.policy == "challenger", w.log_e))
    width = max(worst.upper - worst.lower, SMALLEST_WIDTH)
    interval = f"{format_to(worst.lower, width)} to {format_to(worst.upper, width)}"
    note = f"Should be 1; the interval is {interval} ({worst.policy} on rows of version {worst.policy_version})."
    note += (
        " Nothing speaks against the logged propensities." if _holds(worst) else " The logged propensities do not hold."
    )
    return Tile("Expected weight", format_to(worst.mean, width), note, "ok" if _holds(worst) else "block")


def _holds(weight: ExpectedWeight) -> bool:
    return weight.lower <= 1 + ROUNDING and weight.upper >= 1 - ROUNDING


def _maturity(data: Data) -> Tile:
    if not data.n_interactions or data.n_matured is None:
        return Tile("Matured rows", "–", "Not counted in this run.", "none")
    share = data.n_matured / data.n_interactions
    waiting = data.n_interactions - data.n_matured
    note = f"{format_count(data.n_matured)} of {format_count(data.n_interactions)} interactions have their final reward"
    note += f"; {format_count(waiting)} are still inside the attribution window." if waiting else "."
    return Tile("Matured rows", format_to(share, TWO_DECIMALS), note, "ok" if data.n_matured else "block")


def _sample_size(facts: RunFacts) -> Tile:
    if facts.weights is None or facts.gate is None:
        return Tile("Effective sample size", "–", "Not measured in this run.", "none")
    size, units = facts.weights.effective_sample_size, facts.gate.n_units
    note = f"The {format_count(units)} units of the gate rows say as much about the challenger's value as "
    note += f"{format_count(round(size))} that it had served itself."
    return Tile("Effective sample size", format_count(round(size)), note, "ok" if size >= FEW_UNITS else "warn")


def _check_line(group: list[Check]) -> CheckLine:
    first, alone = group[0], len(group) == 1
    return CheckLine(
        rule=first.rule,
        level=first.level,
        passed=first.passed,
        columns=tuple(check.column for check in group if check.column),
        observed=first.observed if alone else f"all {len(group)} within the limit",
        limit=_common([check.limit for check in group]),
        description=_common([check.description for check in group]),
        n=len(group),
    )


def _common(texts: list[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else ""
