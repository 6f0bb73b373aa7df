"""Log files become accepted rows, quarantined lines and duplicates; the three add up to the lines read.

A batch is a set of files. All of it is parsed and judged before anything is committed, so a file
that cannot be read leaves nothing behind.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp

from data_contracts.acceptance import judge, standard_of
from data_contracts.amendments.quarantined_lines import csv_header
from data_contracts.amendments.supersession import Replacement, find_batch, replace_batch, require_in_force
from data_contracts.amendments.table_changes import finish_correction
from data_contracts.amendments.tombstones import read_tombstones
from data_contracts.batch_commit import Batch, SourceFile, commit_batch
from data_contracts.batches import (
    Accounting,
    BatchRecord,
    FileRecord,
    batch_id_of,
    count_accounting,
    read_batch,
    read_batches,
)
from data_contracts.contract import Contract
from data_contracts.errors import Busy, InputError, UsageError
from data_contracts.home import Home
from data_contracts.log_columns import Kind
from data_contracts.readers.log_file import read_blocks
from data_contracts.staging import Staging, position
from data_contracts.storage import sha256_file
from data_contracts.store import table_version

__all__ = ["Accounting", "BatchRecord", "FileRecord", "IngestResult", "count_accounting", "ingest", "read_batches"]

SCRATCH = ".ingest-"
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of the lines of one batch. `table_version` is None while the table has no accepted row."""

    batch_id: str
    n_read: int
    n_accepted: int
    n_quarantined: int
    n_duplicate: int
    table_version: int | None
    already_ingested: bool
    files: tuple[FileRecord, ...]
    reasons: dict[str, int]
    n_erased: int = 0  # lines of erased units: refused, and kept nowhere
    supersedes: str | None = None  # the batch that this one replaced


def ingest(
    home: Home,
    *,
    task: str,
    contract: Contract,
    actions: tuple[str, ...],
    paths: Sequence[Path],
    kind: Kind = "interactions",
    channels: tuple[str, ...] = ("reward",),
    now: datetime,
    progress: Progress | None = None,
    replacement: Replacement | None = None,
) -> IngestResult:
    """Ingest the files `paths` as one batch, exactly once; `progress` is told each number of lines just read.

    `channels`: those an outcome may name; the first is the channel of outcomes that name none.

    A file that an earlier batch of the same kind held is not parsed again: its lines are duplicates. With
    `replacement` every file is parsed, and its rows take the place of those of another batch.
    Raises InputError when a file cannot be read as a whole (nothing of the batch is kept), Busy when another ingest
    of the task is under way, StoreError when the batch was begun under another contract, UsageError when the batch
    that is to be replaced is not there.
    """
    if not paths:
        raise UsageError(
            "no files to ingest: expected one path or more, got none. Name a file, or a glob that matches."
        )
    with ingest_lock(home, task) as scratch:
        files = tuple(_source_file(Path(path)) for path in paths)
        replaced = None if replacement is None else find_batch(home, task, replacement.batch_id, kind=kind)
        supersedes = None if replaced is None else replaced.batch_id
        batch_id = batch_id_of(kind, [file.sha256 for file in files], supersedes=supersedes)
        record = read_batch(home, task, batch_id)
        if record is not None:
            return _again(record, table_version(home, task, kind))
        standard = standard_of(contract, kind, actions=actions, channels=channels, batch_id=batch_id)
        standard = replace(standard, erased=read_tombstones(home, task))
        batch = Batch(home, task, contract, kind, now, files, batch_id, standard, supersedes)
        if replaced is not None:
            require_in_force(home, task, replaced)
        with Staging(scratch, standard.schema) as staging:
            read, n_skipped = _stage(batch, staging, progress or (lambda n: None))
        if replacement is None or replaced is None:
            return _result(commit_batch(batch, staging, files=read, n_skipped=n_skipped, scratch=scratch))
        why = replace(replacement, batch_id=replaced.batch_id)
        return _result(replace_batch(batch, staging, why, files=read, scratch=scratch))


def _source_file(path: Path) -> SourceFile:
    try:
        status = path.stat()
        return SourceFile(path, sha256_file(path), status.st_mtime_ns, status.st_size, csv_header(path))
    except OSError as error:
        raise InputError(
            f"unreadable file {path}: expected a log file, got {error}. Check the path and its permissions.",
            path=str(path),
        ) from error


def _stage(batch: Batch, staging: Staging, progress: Progress) -> tuple[tuple[FileRecord, ...], int]:
    """Parse and judge every file that is new; returns what was read, and how many lines of it were skipped."""
    known = _known_files(batch)
    read: list[FileRecord] = []
    n_skipped = 0
    for number, file in enumerate(batch.files):
        if file.sha256 in known:
            n_skipped += known[file.sha256]
            progress(known[file.sha256])
        else:
            known[file.sha256] = _stage_file(batch, number, staging, progress)
        read.append(FileRecord(file.path.name, file.sha256, known[file.sha256]))
    return tuple(read), n_skipped


def _known_files(batch: Batch) -> dict[str, int]:
    """SHA-256 -> lines of files that need not be parsed again; a replacement is judged without regard to others."""
    if batch.supersedes is not None:
        return {}
    records = [r for r in read_batches(batch.home, batch.task) if r.kind == batch.kind]
    return {file.sha256: file.n_read for record in records for file in record.files}


def _stage_file(batch: Batch, number: int, staging: Staging, progress: Progress) -> int:
    """Lines of one file."""
    n_read = 0
    for block in read_blocks(batch.files[number].path, batch.standard.columns):
        accepted, rows, rejected = judge(block, batch.standard)
        staging.accept(accepted, positions=position(number, block.line[rows]), offsets=block.offset[rows])
        staging.reject([batch.quarantined(number, line) for line in rejected])
        n_read += block.n_lines
        progress(block.n_lines)
    _require_unchanged(batch.files[number])
    return n_read


def _require_unchanged(file: SourceFile) -> None:
    status = file.path.stat()
    if (status.st_mtime_ns, status.st_size) != (file.changed_at, file.size):
        raise InputError(
            f"file {file.path} changed while it was read: expected {file.size} bytes, got {status.st_size}. "
            "Nothing of this batch was kept; ingest it when its writer is done.",
            path=str(file.path),
        )


def _result(record: BatchRecord) -> IngestResult:
    return IngestResult(
        batch_id=record.batch_id,
        n_read=record.n_read,
        n_accepted=record.n_accepted,
        n_quarantined=record.n_quarantined,
        n_duplicate=record.n_duplicate,
        table_version=record.table_version,
        already_ingested=False,
        files=record.files,
        reasons=record.reasons,
        n_erased=record.n_erased,
        supersedes=record.supersedes,
    )


def _again(record: BatchRecord, version: int | None) -> IngestResult:
    """A batch that is in the store already: all its lines are duplicates."""
    return IngestResult(
        batch_id=record.batch_id,
        n_read=record.n_read,
        n_accepted=0,
        n_quarantined=0,
        n_duplicate=record.n_read,
        table_version=version,
        already_ingested=True,
        files=record.files,
        reasons={},
        supersedes=record.supersedes,
    )


@contextmanager
def ingest_lock(home: Home, task: str) -> Iterator[Path]:
    """A working folder of the only writer of this task's tables; what a killed one left is removed, or finished."""
    folder = home.batches(task)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".ingest.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(
                f"task {task} is busy: expected no other ingest, got one that holds {stream.name}. Wait for it to end.",
                task=task,
            ) from error
        for left in folder.glob(f"{SCRATCH}*"):
            if left.is_dir():
                shutil.rmtree(left)
        finish_correction(home, task)
        scratch = Path(mkdtemp(prefix=SCRATCH, dir=folder))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch)
