"""What happened to batches after they had entered the store: readmissions, supersessions, erasures, as one chain.

A batch's record never changes. A correction says which lines leave whose account, and which files take
the place of which; it is decided as a whole before anything is committed and written down as `pending`.
That one file is the commit: readers count it as done from then on, and the next writer finishes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from data_contracts.batch_record import BatchRecord
from data_contracts.delta import DataFile
from data_contracts.errors import IntegrityError
from data_contracts.home import Home
from data_contracts.storage import CHAIN_FIELDS, canonical_json, read_chain, read_json, write_atomic


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Account(_Stored):
    """Lines of a batch by what became of them, or a change of them; P1: read = accepted + quarantined + duplicate
    + erased."""

    n_read: int = 0
    n_accepted: int = 0
    n_quarantined: int = 0
    n_duplicate: int = 0
    n_erased: int = 0

    @property
    def balanced(self) -> bool:
        return self.n_read == self.n_accepted + self.n_quarantined + self.n_duplicate + self.n_erased

    def plus(self, other: Account) -> Account:
        return Account(**{name: getattr(self, name) + getattr(other, name) for name in Account.model_fields})

    def negative(self) -> Account:
        return Account(**{name: -getattr(self, name) for name in Account.model_fields})


class TableChange(_Stored):
    """One commit to a table: files that leave it, and files that enter."""

    table: str
    removed: tuple[DataFile, ...]
    added: tuple[DataFile, ...]


class Correction(_Stored):
    """One correction. `moves` maps batch id -> what is added to its account."""

    correction_id: str
    action: Literal["readmission", "supersession", "erasure"]
    batch_id: str | None  # whose lines were readmitted, or which was superseded
    reason: str | None
    actor: str
    at: datetime
    moves: dict[str, Account]
    removed_files: dict[str, tuple[str, ...]]  # table -> paths
    added_files: dict[str, dict[str, str]]  # table -> path -> SHA-256
    batch: BatchRecord | None = None  # that came of it
    n_superseded: int = 0  # accepted rows that were taken out for it


class Pending(_Stored):
    """A correction that is decided, with the commits it needs, in their order."""

    correction: Correction
    changes: tuple[TableChange, ...]

    def applied(self, table: str, live: list[DataFile]) -> list[DataFile]:
        """The table's files once it is done, in order of path, whether its commit has happened or not."""
        files = {file.path: file for file in live}
        for change in self.changes:
            if change.table == table:
                for gone in change.removed:
                    files.pop(gone.path, None)
                files |= {file.path: file for file in change.added}
        return [files[path] for path in sorted(files)]


def read_corrections(home: Home, task: str) -> list[Correction]:
    """Every correction, oldest first, a pending one included. Raises IntegrityError when the chain is broken."""
    folder = home.corrections(task)
    # Before the chain: a correction that is finished meanwhile is then in both, and counted once.
    pending = read_pending(home, task)
    try:
        found = [
            Correction.model_validate({name: value for name, value in entry.items() if name not in CHAIN_FIELDS})
            for entry in read_chain(folder)
        ]
    except ValidationError as error:
        raise _damaged(folder, error) from error
    if pending is not None and all(c.correction_id != pending.correction.correction_id for c in found):
        found.append(pending.correction)
    return found


def read_pending(home: Home, task: str) -> Pending | None:
    """The correction that is under way, or that a crash cut off."""
    path = pending_path(home, task)
    try:
        return Pending.model_validate(read_json(path))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise _damaged(path, error) from error


def write_pending(home: Home, task: str, pending: Pending) -> None:
    write_atomic(pending_path(home, task), canonical_json(pending.model_dump(mode="json")))


def pending_path(home: Home, task: str) -> Path:
    return home.corrections(task) / "pending.json"


def account_of(record: BatchRecord, corrections: Iterable[Correction]) -> Account:
    """Where the lines of a batch are after `corrections`."""
    account = Account(**{name: getattr(record, name) for name in Account.model_fields})
    for correction in corrections:
        if record.batch_id in correction.moves:
            account = account.plus(correction.moves[record.batch_id])
    return account


def superseded(corrections: Iterable[Correction]) -> dict[str, str]:
    """Batch id -> id of the batch that replaced it."""
    return {
        c.batch_id: c.batch.batch_id
        for c in corrections
        if c.action == "supersession" and c.batch_id is not None and c.batch is not None
    }


def _damaged(path: Path, error: ValidationError) -> IntegrityError:
    return IntegrityError(
        f"damaged correction in {path}: expected the fields of a correction, got {error.error_count()} mistakes. "
        "Restore it from a backup.",
        path=str(path),
    )
