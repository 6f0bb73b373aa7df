"""Corrections of the tables: prepared file by file, committed by one file, finished by whoever comes next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa

from data_contracts.amendments.corrections import (
    Account,
    Correction,
    Pending,
    TableChange,
    pending_path,
    read_pending,
    write_pending,
)
from data_contracts.batch_record import BatchRecord
from data_contracts.delta import DataFile, commit_files, open_table, write_files
from data_contracts.home import Home
from data_contracts.storage import append_chain, read_chain, sha256_file
from data_contracts.store import PARTITION, prepare_table


def write_rows(home: Home, task: str, table: str, chunks: Iterable[pa.Table], *, stem: str) -> tuple[DataFile, ...]:
    """Files of `chunks`, on disk but not yet in the table; the table is made, or widened, for them."""
    files: list[DataFile] = []
    for number, chunk in enumerate(chunks):
        if number == 0:
            prepare_table(home, task, table, chunk.schema)
        files += write_files(home.table(task, table), chunk, partition_by=PARTITION[table], stem=f"{stem}-{number}")
    return tuple(files)


def commit_correction(
    home: Home,
    task: str,
    *,
    correction_id: str,
    action: Literal["readmission", "supersession", "erasure"],
    batch_id: str | None,
    batch: BatchRecord | None,
    moves: dict[str, Account],
    changes: Sequence[TableChange],
    n_superseded: int = 0,
    reason: str | None,
    actor: str,
    now: datetime,
) -> Correction:
    """Commit the correction and finish it; a crash at any point leaves either nothing of it, or all of it to readers
    of the store."""
    correction = Correction(
        correction_id=correction_id,
        action=action,
        batch_id=batch_id,
        reason=reason,
        actor=actor,
        at=now,
        moves=moves,
        removed_files={c.table: tuple(f.path for f in c.removed) for c in changes if c.removed},
        added_files={c.table: file_hashes(home.table(task, c.table), c.added) for c in changes if c.added},
        batch=batch,
        n_superseded=n_superseded,
    )
    write_pending(home, task, Pending(correction=correction, changes=tuple(changes)))
    finish_correction(home, task)
    return correction


def finish_correction(home: Home, task: str) -> None:
    """Do what is left of the pending correction, each commit once. The caller holds the task's ingest lock."""
    pending = read_pending(home, task)
    if pending is None:
        return
    for change in pending.changes:
        _commit(home, task, change, pending.correction.correction_id)
    folder = home.corrections(task)
    entry = pending.correction.model_dump(mode="json")
    if all(e["correction_id"] != entry["correction_id"] for e in read_chain(folder)):
        append_chain(folder, lambda entries: entry)
    pending_path(home, task).unlink()


def file_hashes(root: Path, files: Iterable[DataFile]) -> dict[str, str]:
    """Path in the table -> SHA-256."""
    return {file.path: sha256_file(root / file.path) for file in files}


def next_version(home: Home, task: str, table: str, *, changes: bool) -> int | None:
    """The table's version after a correction that changes it, or leaves it as it is."""
    dt = open_table(home.table(task, table))
    return None if dt is None else int(dt.version()) + int(changes)


def _commit(home: Home, task: str, change: TableChange, correction_id: str) -> None:
    dt = open_table(home.table(task, change.table))
    if dt is None or dt.transaction_version(correction_id) is not None:
        return
    partition_by = PARTITION[change.table]
    commit_files(dt, change.added, partition_by=partition_by, batch_id=correction_id, gone=change.removed)
