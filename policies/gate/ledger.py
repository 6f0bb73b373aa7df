"""The ledger of looks: which rows decided what. Append-only and hash-chained; there is no free peek."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from data_contracts.amendments.erased_folder import kept_file, read_erased
from data_contracts.errors import Busy, IntegrityError
from data_contracts.home import Home
from data_contracts.storage import append_chain, canonical_json, read_chain, sha256_bytes
from policies.gate.records import GateRows, Verdict
from policies.gate.row_file import interaction_ids


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
    when another run has taken this look with other evidence, or the looks before it are not all there.
    """
    entry = {
        "challenger": challenger,
        "champion": champion,
        "look": look,
        "evidence_id": evidence_id,
        "n_rows": rows.n,
        "first_interaction_id": str(rows.interaction_id[0]) if rows.n else None,
        "last_interaction_id": str(rows.interaction_id[-1]) if rows.n else None,
        "row_ids_sha256": row_ids_sha256(rows.interaction_id),
        "verdict": verdict,
        "actor": actor,
        "run_id": run_id,
        "at": now,
    }

    known = [e for e in looks_of(home, task, challenger) if e.look == look and e.evidence_id == evidence_id]
    if known:
        return known[0]

    def build(entries: list[dict[str, Any]]) -> dict[str, Any]:
        n_taken = sum(e["challenger"] == challenger for e in entries)
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


def all_looks(home: Home, task: str) -> list[LookEntry]:
    """Every look of the task, oldest first; raises IntegrityError when the chain is broken."""
    return [LookEntry.model_validate(entry) for entry in read_chain(home.ledger(task))]


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
