"""What the ledger can hold: looks, slots, and every other use of rows. Entries without a `kind` are looks."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from policies.gate.looks.alpha import Mode, PastSlot, SlotAlpha
from policies.gate.records import Verdict

Claim = Literal["lift", "refresh"]
OtherPurpose = Literal["holdback", "canary", "relevance"]
Purpose = Literal["look"] | OtherPurpose
KIND: Final = "kind"


class LookEntry(BaseModel):
    """One look, as the ledger holds it; `index`, `previous` and `seal` are the chain's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    challenger: int
    champion: int
    look: int
    evidence_id: str
    n_rows: int  # new in this look
    first_interaction_id: str | None
    last_interaction_id: str | None
    row_ids_sha256: str
    verdict: Verdict
    actor: str
    run_id: str
    at: datetime
    index: int
    previous: str
    seal: str


class SlotEntry(BaseModel):
    """A challenger's slot: frozen by hash, with its alpha, before its first gate row is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["slot"]
    challenger: int
    artifact_sha256: str  # of the challenger: what is judged is what was frozen
    settings_sha256: str  # of the gate's settings: nobody lowers a threshold under its looks
    claim: Claim
    margin: float | None  # of a refresh: loss it may not exceed, relative to the champion's value
    planned: float
    anytime: float
    slot_number: int
    n_slots: int
    n_promoted_before: int
    mode: Mode
    alpha: float
    period_days: int
    period_started_at: datetime
    period_ends_at: datetime
    actor: str
    at: datetime
    index: int
    previous: str
    seal: str

    @property
    def allocated(self) -> SlotAlpha:
        """The alpha of this slot, as it was allocated."""
        return SlotAlpha(
            planned=self.planned,
            anytime=self.anytime,
            slot_number=self.slot_number,
            n_slots=self.n_slots,
            n_promoted_before=self.n_promoted_before,
            mode=self.mode,
            alpha=self.alpha,
            period_days=self.period_days,
            period_started_at=self.period_started_at,
            period_ends_at=self.period_ends_at,
        )


class UseEntry(BaseModel):
    """Rows that a decision other than a look used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["use"]
    purpose: OtherPurpose
    challenger: int  # the version that the decision is about
    decision: str  # what was decided: an evidence id, or another name by which the decision is found
    n_rows: int
    first_interaction_id: str | None
    last_interaction_id: str | None
    row_ids_sha256: str
    actor: str
    at: datetime
    index: int
    previous: str
    seal: str


class RowsUsed(BaseModel):
    """One use of rows in a decision, of whatever purpose."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: Purpose
    challenger: int
    decision: str
    n_rows: int
    row_ids_sha256: str
    at: datetime
    index: int  # of the entry in the chain


Entry = LookEntry | SlotEntry | UseEntry
_KINDS: Final[dict[str, type[SlotEntry] | type[UseEntry]]] = {"slot": SlotEntry, "use": UseEntry}


def parse_entry(stored: dict[str, Any]) -> Entry:
    """The entry of a chain as a record; raises pydantic's ValidationError for what is none."""
    return _KINDS[stored[KIND]].model_validate(stored) if KIND in stored else LookEntry.model_validate(stored)


def as_use(entry: LookEntry | UseEntry) -> RowsUsed:
    """A look uses the rows that are new in it (and again all those of its challenger's earlier looks)."""
    purpose: Purpose = entry.purpose if isinstance(entry, UseEntry) else "look"
    return RowsUsed(
        purpose=purpose,
        challenger=entry.challenger,
        decision=entry.decision if isinstance(entry, UseEntry) else entry.evidence_id,
        n_rows=entry.n_rows,
        row_ids_sha256=entry.row_ids_sha256,
        at=entry.at,
        index=entry.index,
    )


def past_slots(entries: list[Entry]) -> list[PastSlot]:
    """The slots among `entries`, oldest first, with whether a look among `entries` promoted their challenger."""
    promoted = {e.challenger for e in entries if isinstance(e, LookEntry) and e.verdict == "promote"}
    return [
        PastSlot(e.at, 1.0 / e.n_slots, e.period_days, e.challenger in promoted)
        for e in entries
        if isinstance(e, SlotEntry)
    ]
