"""What the steps of a run hand to one another: references and counts, JSON-ready, never frames or models."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from policies.gate.records import Verdict


class Step(BaseModel):
    """Base of all step results: stored in the run's record, so that a rerun repeats no committed step."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ingested(Step):
    batch_id: str | None
    n_read: int = 0
    n_accepted: int = 0
    n_quarantined: int = 0
    n_duplicate: int = 0
    n_erased: int = 0
    table_version: int | None = None
    reasons: dict[str, int] = {}


class Validated(Step):
    level: Literal["ok", "warn", "block"]
    checks: list[dict[str, Any]]
    drift: dict[str, Any] | None
    data_docs: str | None
    sections: list[dict[str, Any]] = []  # data_contracts.checks.Section as plain values

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Every check that failed: the contract's, then those of the sections; the blocking ones first."""
        every = [*self.checks, *(check for section in self.sections for check in section["checks"])]
        return sorted((c for c in every if not c["passed"]), key=lambda c: str(c["level"]) != "block")


class Slot(Step):
    """Who serves, and which challenger was open at that moment."""

    champion: int
    challenger: int | None


class Snapshotted(Step):
    snapshot_id: str
    as_of: datetime
    n_interactions: int
    n_matured: int
    n_episodes: int
    table_version: int | None


class Triggered(Step):
    """Which triggers fired, or why nothing is trained."""

    fired: list[str]
    detail: str
    train: bool
    why_not: str | None = None


class Trained(Step):
    version: int
    snapshot_id: str
    algorithm: str
    seed: int
    seeds: list[int]


class Looked(Step):
    version: int
    champion: int
    verdict: Verdict
    reasons: list[str]
    evidence_id: str
    look: int
    n_looks: int
    final: bool  # the slot closes: promote, block, refuse, or the last planned look


class Waits(Step):
    """Why the next look at the open challenger was not taken in this run."""

    version: int
    look: int
    n_looks: int
    why: str
    ready_at: datetime | None  # about when it will be; None: not by waiting alone

    @property
    def sentence(self) -> str:
        when = f" (about {self.ready_at:%Y-%m-%d %H:%M} UTC)" if self.ready_at else ""
        return f"version {self.version} waits for look {self.look} of {self.n_looks}: {self.why}{when}"


class Moved(Step):
    """What became of the challenger."""

    champion: int
    previous: int
    history_id: int | None
    promoted: bool
    note: str


class Reported(Step):
    html: str
    json_path: str


class Alerted(Step):
    opened: list[str]
    resolved: list[str]
    open: list[str]
