"""One record per batch, written last: what came in, what became of it, and the bytes it left; and their account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from data_contracts.amendments.corrections import Account, Correction, account_of, read_corrections, superseded
from data_contracts.batch_record import BatchRecord, FileRecord
from data_contracts.errors import IntegrityError
from data_contracts.home import Home
from data_contracts.log_columns import Kind
from data_contracts.storage import canonical_json, read_json, sha256_bytes, write_atomic

__all__ = [
    "Accounting",
    "BatchRecord",
    "FileRecord",
    "batch_id_of",
    "count_accounting",
    "read_batch",
    "read_batches",
    "write_batch",
]


@dataclass(frozen=True, slots=True)
class Accounting:
    """Lines of all batches in force; P1: n_read = n_accepted + n_quarantined + n_duplicate + n_erased.

    A superseded batch is out of the account with all its lines; `n_superseded` counts the rows it had in the tables.
    """

    n_batches: int
    n_read: int
    n_accepted: int
    n_quarantined: int
    n_duplicate: int
    n_erased: int = 0
    n_superseded: int = 0

    @property
    def balanced(self) -> bool:
        return self.n_read == self.n_accepted + self.n_quarantined + self.n_duplicate + self.n_erased


def batch_id_of(kind: Kind, file_hashes: list[str], *, supersedes: str | None = None) -> str:
    """The same files of the same kind are the same batch, in whatever order they come; as the replacement of
    another batch they are a batch of their own."""
    parts = [kind, *sorted(file_hashes), *([f"supersedes {supersedes}"] if supersedes else [])]
    return sha256_bytes("\n".join(parts).encode())


def write_batch(home: Home, task: str, record: BatchRecord) -> None:
    write_atomic(_path(home, task, record.batch_id), canonical_json(record.model_dump(mode="json")))


def read_batch(home: Home, task: str, batch_id: str) -> BatchRecord | None:
    path = _path(home, task, batch_id)
    if path.exists():
        return _parse(path)
    made = (c.batch for c in read_corrections(home, task) if c.batch is not None)
    return next((record for record in made if record.batch_id == batch_id), None)


def read_batches(home: Home, task: str) -> list[BatchRecord]:
    """All batches of a task, superseded ones too, in the order of what they deliver: oldest first, a replacement
    where the batch stood that it replaces, a readmission just before the batch whose lines it took.

    So a correction of old rows is never the newest batch. Raises IntegrityError that names a damaged record.
    """
    made = [c.batch for c in read_corrections(home, task) if c.batch is not None]
    records = [*(_parse(path) for path in home.batches(task).glob("*.json")), *made]
    by_id = {record.batch_id: record for record in records}
    return sorted(records, key=lambda record: _place(record, by_id))


def count_accounting(home: Home, task: str, kind: Kind | None = None) -> Accounting:
    """Totals over the batches of a task, of one kind or of both."""
    corrections = read_corrections(home, task)
    records = [r for r in read_batches(home, task) if kind in (None, r.kind)]
    replaced = superseded(corrections)
    total = Account()
    for record in records:
        total = total.plus(account_of(record, corrections))
    return Accounting(
        n_batches=sum(record.batch_id not in replaced for record in records),
        **total.model_dump(),
        n_superseded=sum(c.n_superseded for c in corrections if _is_of(c, kind)),
    )


def _is_of(correction: Correction, kind: Kind | None) -> bool:
    return kind is None or (correction.batch is not None and correction.batch.kind == kind)


def _place(record: BatchRecord, by_id: dict[str, BatchRecord]) -> tuple[datetime, str, int, datetime, str]:
    """Moment and id of the first batch in the line of replacements, 0 before and 1 at its place, own moment and id."""
    root, at_place = record, 1
    while (before := by_id.get(root.supersedes or root.readmits or "")) is not None:
        at_place = 0 if root.readmits else at_place
        root = before
    return root.ingested_at, root.batch_id, at_place, record.ingested_at, record.batch_id


def _path(home: Home, task: str, batch_id: str) -> Path:
    return home.batches(task) / f"{batch_id}.json"


def _parse(path: Path) -> BatchRecord:
    try:
        return BatchRecord.model_validate(read_json(path))
    except ValidationError as error:
        raise IntegrityError(
            f"damaged batch record {path}: expected the fields of a batch, got {error.error_count()} mistakes. "
            "Restore it from a backup.",
            path=str(path),
        ) from error
