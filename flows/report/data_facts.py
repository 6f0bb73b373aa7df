"""The part of a Reward Report's facts that speaks of data: rows, checks, drift, lineage, incidents."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

Level = Literal["ok", "warn", "block"]


class Part(BaseModel):
    """Base of all parts: frozen, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class QuarantineReason(Part):
    reason: str
    n: int


class VersionRows(Part):
    policy_version: str
    n: int


class Check(Part):
    rule: str
    column: str | None = None
    level: Level
    passed: bool
    observed: str
    limit: str
    n_rows: int | None = None
    description: str = ""
    examples: tuple[str, ...] = ()


class FactTable(Part):
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()


class HealthSection(Part):
    """What was judged beside the contract: propensities, outcomes, influence, …"""

    name: str
    title: str
    checks: tuple[Check, ...] = ()
    tables: tuple[FactTable, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def level(self) -> Level:
        """The worst of the failed checks."""
        failed = {check.level for check in self.checks if not check.passed}
        return "block" if "block" in failed else "warn" if failed else "ok"


class Validation(Part):
    level: Level
    checks: tuple[Check, ...] = ()
    data_docs: str | None = None  # path of index.html


class Monitor(Part):
    name: str
    kind: str
    observed: float
    expected: float
    z: float
    e: float | None = None


class DriftAlarm(Part):
    """A group of monitors that passed a threshold: one root cause."""

    group: str
    threshold: Literal["warn", "block"]  # the highest it passed
    level: Level  # what follows from it
    statistic: float
    since: str
    monitors: tuple[str, ...] = ()
    reason: str = ""
    relevance_needed: bool = False


class DriftBudget(Part):
    """The chance of one false alarm or more of a group in 30 cells of a (batch, day)."""

    group: str
    threshold: Literal["warn", "block"]
    at_most: float


class ChannelMean(Part):
    channel: str
    n_interactions: int
    mean: float | None = None


class Drift(Part):
    level: Level
    reference: str
    statistic: float
    top: tuple[Monitor, ...] = ()
    false_alarm_budget: str
    n_cells: int | None = None
    detail: str = ""
    possible_causes: tuple[str, ...] = ()
    alarms: tuple[DriftAlarm, ...] = ()
    budgets: tuple[DriftBudget, ...] = ()


class Data(Part):
    """Rows in, rows kept, rows used; None where the run did not count."""

    n_read: int | None = None
    n_accepted: int | None = None
    n_quarantined: int | None = None
    n_duplicate: int | None = None
    n_erased: int = 0
    n_superseded: int = 0  # rows of batches that another took the place of; they left the account
    quarantine_reasons: tuple[QuarantineReason, ...] = ()
    n_interactions: int | None = None
    n_matured: int | None = None
    n_late: int | None = None
    n_train: int | None = None
    n_validation: int | None = None
    n_gate: int | None = None
    n_excluded: int | None = None
    n_without_distribution: int | None = None
    rows_by_version: tuple[VersionRows, ...] = ()
    channels: tuple[ChannelMean, ...] = ()
    n_clipped: int | None = None  # matured rewards outside the declared bounds
    n_guardrail: int | None = None  # outcomes of channels that are watched and not rewarded
    validation: Validation | None = None
    drift: Drift | None = None
    sections: tuple[HealthSection, ...] = ()
    clustering: Literal["by unit", "unknown (no unit in the log)"] = "by unit"


class Lineage(Part):
    snapshot_id: str | None = None
    table_version: int | None = None
    contract_id: str | None = None
    contract_version: str | None = None
    contract_sha256: str | None = None
    settings_sha256: str | None = None
    code_version: str | None = None
    lock_sha256: str | None = None
    batches: tuple[str, ...] = ()
    n_files: int | None = None


class Incident(Part):
    rule: str
    urgency: str
    summary: str
    since: AwareDatetime | None = None
