"""What one batch was: the lines that came in, what became of them, and the files they left."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass as checked_dataclass

from data_contracts.log_columns import Kind


@checked_dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a batch; `sha256` is of its bytes on disk."""

    name: str
    sha256: str
    n_read: int


class BatchRecord(BaseModel):
    """What one ingest, or one readmission, did; it never changes (see corrections for what happened to it later).

    `table_files` maps table -> path in the table -> SHA-256 of the Parquet file.
    """

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
    n_erased: int = 0  # lines of an erased unit: refused, and kept nowhere
    supersedes: str | None = None  # the batch that this one replaced
    readmits: str | None = None  # the batch whose quarantined lines these are
