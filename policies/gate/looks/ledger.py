"""The ledger: which rows decided what. Append-only and hash-chained; there is no free peek.

It holds slots (policies/gate/looks/slots.py), looks, and every other use of rows in a decision: a canary's arms, a
holdback's, a drift weighed against a verdict. Stores from before slots hold looks alone; they stay readable, and
their open challenger may take the looks that are left to it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.amendments.erased_folder import kept_file, read_erased
from data_contracts.errors import Busy, IntegrityError, UsageError
from data_contracts.home import Home, mark_format
from data_contracts.storage import append_chain, canonical_json, read_chain, sha256_bytes
from policies.gate.looks.ledger_entries import (
    Entry,
    LookEntry,
    OtherPurpose,
    RowsUsed,
    SlotEntry,
    UseEntry,
    as_use,
    parse_entry,
)
from policies.gate.records import GateRows, Verdict
from policies.gate.row_file import interaction_ids

__all__ = [
    "LookEntry",
    "RowsUsed",
    "UseEntry",
    "all_looks",
    "looks_of",
    "read_entries",
    "read_row_ids",
    "record_look",
    "record_use",
    "row_ids_sha256",
    "uses_of",
    "without_slot",
]


def record_look(
    home: Home,
    task: str,
    *,
    challenger: int,
    champion: int,
    look: int,
    evidence_id: str,
    rows: GateRows,
    verdict: Verdict,
    actor: str,
    run_id: str,
    now: datetime,
) -> LookEntry:
    """Enter a look whose evidence is stored; `rows` are the rows new in it.

    A look that is in the ledger with the same evidence is returned as it is (a rerun after a crash). Raises Busy
    when another run has taken this look with other evidence, or the looks before it are not all there; UsageError
    when the ledger knows slots and the challenger has none.
    """
    entry = {
        "challenger": challenger,
        "champion": champion,
        "look": look,
        "evidence_id": evidence_id,
        **_names(rows.interaction_id),
        "verdict": verdict,
        "actor": actor,
        "run_id": run_id,
        "at": now,
    }

    known = [e for e in looks_of(home, task, challenger) if e.look == look and e.evidence_id == evidence_id]
    if known:
        return known[0]

    def build(stored: list[dict[str, Any]]) -> dict[str, Any]:
        entries = [parse_entry(e) for e in stored]
        slots = [e.challenger for e in entries if isinstance(e, SlotEntry)]
        if slots and challenger not in slots:
            raise without_slot(task, challenger)
        n_taken = sum(isinstance(e, LookEntry) and e.challenger == challenger for e in entries)
        if n_taken != look - 1:
            raise Busy(
                f"look {look} at version {challenger} of {task} is not the next one: expected {look - 1} looks before "
                f"it, got {n_taken}. Another run looked meanwhile; run again.",
                task=task,
                challenger=challenger,
                look=look,
            )
        return entry

    return LookEntry.model_validate(append_chain(home.ledger(task), build))


def record_use(
    home: Home,
    task: str,
    *,
    purpose: OtherPurpose,
    challenger: int,
    decision: str,
    interaction_id: NDArray[np.str_],
    actor: str,
    now: datetime,
) -> UseEntry:
    """Enter rows (n,) that a decision about `challenger` used otherwise than by a look, in the order of their use.

    `decision` names what was decided (an evidence id, an incident). The same use again is the entry that is there.
    """
    use = {
        "kind": "use",
        "purpose": purpose,
        "challenger": challenger,
        "decision": decision,
        **_names(interaction_id),
    }

    def same(entry: Entry) -> bool:
        return isinstance(entry, UseEntry) and all(getattr(entry, name) == value for name, value in use.items())

    known = next((entry for entry in read_entries(home, task) if same(entry)), None)
    if isinstance(known, UseEntry):
        return known
    mark_format(home)
    return UseEntry.model_validate(append_chain(home.ledger(task), lambda _: {**use, "actor": actor, "at": now}))


def uses_of(home: Home, task: str, challenger: int | None = None) -> list[RowsUsed]:
    """Every use of rows in a decision about a challenger (None: about any), looks among them, oldest first."""
    uses = [as_use(entry) for entry in read_entries(home, task) if not isinstance(entry, SlotEntry)]
    return [use for use in uses if challenger is None or use.challenger == challenger]


def read_entries(home: Home, task: str) -> list[Entry]:
    """Everything in the ledger, oldest first; raises IntegrityError when the chain is broken."""
    return [parse_entry(entry) for entry in read_chain(home.ledger(task))]


def all_looks(home: Home, task: str) -> list[LookEntry]:
    """Every look of the task, oldest first; raises IntegrityError when the chain is broken."""
    return [entry for entry in read_entries(home, task) if isinstance(entry, LookEntry)]


def looks_of(home: Home, task: str, challenger: int) -> list[LookEntry]:
    """The looks at one challenger, oldest first."""
    return [entry for entry in all_looks(home, task) if entry.challenger == challenger]


def read_row_ids(home: Home, task: str, challenger: int) -> set[str]:
    """Interactions that looks at this challenger have read. Raises IntegrityError when a look's rows are not those
    that the ledger names."""
    read: set[str] = set()
    for entry in looks_of(home, task, challenger):
        folder = home.looks(task) / entry.evidence_id
        erased = read_erased(folder)
        path = kept_file(folder, "rows.parquet", "").path
        ids = interaction_ids(path.read_bytes()) if path.exists() else np.array([], np.str_)
        if erased is None and row_ids_sha256(ids) != entry.row_ids_sha256:
            raise IntegrityError(
                f"other rows in {path}: expected those of look {entry.look} at version {challenger} in the ledger "
                f"({entry.row_ids_sha256[:12]}), got {row_ids_sha256(ids)[:12]}. Restore the folder from a backup.",
                path=str(path),
            )
        read.update(ids.tolist())
    return read


def row_ids_sha256(ids: NDArray[np.str_]) -> str:
    """Hash of interaction ids (n,) in the order in which they were read."""
    return sha256_bytes(canonical_json(ids.tolist()))


def _entries(home: Home, task: str) -> list[Entry]:
    return [parse_entry(entry) for entry in read_chain(home.ledger(task))]


def without_slot(task: str, challenger: int) -> UsageError:
    """The error of a look that no slot was opened for."""
    return UsageError(
        f"no look at version {challenger} of {task}: expected a slot in the ledger, opened before its first gate row "
        "is read, got none. `sluice train` opens one.",
        challenger=challenger,
    )


def _names(ids: NDArray[np.str_]) -> dict[str, Any]:
    """How an entry names the rows (n,) that it used."""
    return {
        "n_rows": len(ids),
        "first_interaction_id": str(ids[0]) if len(ids) else None,
        "last_interaction_id": str(ids[-1]) if len(ids) else None,
        "row_ids_sha256": row_ids_sha256(ids),
    }
