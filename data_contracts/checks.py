"""What a validation is made of: one record for every check, and sections of checks with the tables people read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data_contracts.contract import Severity

SectionName = Literal["sla", "propensities", "outcomes", "feedback_loop", "influence", "first_day"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One expectation: what was seen, what was allowed. `rule` is also the alert's rule, with a runbook entry."""

    rule: str
    column: str | None
    level: Severity  # what a failure means
    passed: bool
    observed: str
    limit: str
    n_rows: int
    description: str
    examples: tuple[str, ...] = ()  # interaction_ids of at most five rows that break it


@dataclass(frozen=True, slots=True)
class FactTable:
    """A small table for people: every row has one text per column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of every validation beside the contract's own expectations.

    `checks` decide the level as the contract's do; `tables` and `notes` are for people only.
    """

    name: SectionName
    title: str
    checks: tuple[CheckResult, ...]
    tables: tuple[FactTable, ...] = ()
    notes: tuple[str, ...] = ()
