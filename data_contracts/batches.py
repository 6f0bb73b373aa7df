"""One JSON record per ingested batch, written last: what came in, what became of it, and the bytes it left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from data_contracts.errors import IntegrityError
from data_contracts.home import Home
from data_contracts.log_columns import Kind
from data_contracts.storage import canonical_json, read_json, sha256_bytes, write_atomic


@checked_dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a batch; `sha256` is of its bytes on disk."""

    name: str
    sha256: str
    n_read: int


class BatchRecord(BaseModel):
    """What one ingest did. `table_files` maps table -> path in the table -> SHA-256 of the Parquet file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_id: str
    kind: Kind
    contract_version: str
    contract_sha256: str
    n_read: int
    n_accepted: int
    n_quarantined: int
    n_duplicate: int
    table_version: int | None
    files: tuple[FileRecord, ...]
    reasons: dict[str, int]
    table_files: dict[str, dict[str, str]]
    ingested_at: datetime


@dataclass(frozen=True, slots=True)
class Accounting:
    """Lines of all batches of a task; P1: n_read = n_accepted + n_quarantined + n_duplicate."""

    n_batches: int
    n_read: int
    n_accepted: int
    n_quarantined: int
    n_duplicate: int

    @property
    def balanced(self) -> bool:
        return self.n_read == self.n_accepted + self.n_quarantined + self.n_duplicate


def batch_id_of(kind: Kind, file_hashes: list[str]) -> str:
    """The same files of the same kind are the same batch, in whatever order they come."""
    return sha256_bytes("\n".join([kind, *sorted(file_hashes)]).encode())


def write_batch(home: Home, task: str, record: BatchRecord) -> None:
    write_atomic(_path(home, task, record.batch_id), canonical_json(record.model_dump(mode="json")))


def read_batch(home: Home, task: str, batch_id: str) -> BatchRecord | None:
    path = _path(home, task, batch_id)
    return _parse(path) if path.exists() else None


def read_batches(home: Home, task: str) -> list[BatchRecord]:
    """All batches of a task, oldest first. Raises IntegrityError that names a damaged record."""
    records = [_parse(path) for path in home.batches(task).glob("*.json")]
    return sorted(records, key=lambda record: (record.ingested_at, record.batch_id))


def count_accounting(home: Home, task: str, kind: Kind | None = None) -> Accounting:
    """Totals over the batches of a task, of one kind or of both."""
    records = [r for r in read_batches(home, task) if kind in (None, r.kind)]
    return Accounting(
        n_batches=len(records),
        n_read=sum(r.n_read for r in records),
        n_accepted=sum(r.n_accepted for r in records),
        n_quarantined=sum(r.n_quarantined for r in records),
        n_duplicate=sum(r.n_duplicate for r in records),
    )


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
