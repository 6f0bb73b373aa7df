"""One batch in place of another: the rows of the old one leave the live table in the commit that brings the new."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_contracts.amendments.corrections import Account, TableChange, account_of, read_corrections, superseded
from data_contracts.amendments.table_changes import commit_correction, file_hashes, next_version, write_rows
from data_contracts.batch_commit import Batch, Settled, batch_record, settle
from data_contracts.batches import BatchRecord, FileRecord, read_batches
from data_contracts.delta import DataFile
from data_contracts.errors import InputError, UsageError
from data_contracts.home import Home
from data_contracts.log_columns import Kind
from data_contracts.snapshot import Snapshot, list_snapshots, load_snapshot
from data_contracts.staging import Staging
from data_contracts.store import batch_of, live_data_files

SHORTEST = 8  # characters of a batch id that name it


@dataclass(frozen=True, slots=True)
class Replacement:
    """Why one batch takes the place of another."""

    batch_id: str  # that is replaced
    reason: str
    actor: str


def find_batch(home: Home, task: str, beginning: str, *, kind: Kind) -> BatchRecord:
    """The one batch of the kind whose id begins so. Raises UsageError when there is none, or several, or it holds
    the readmitted lines of another batch."""
    found = [r for r in read_batches(home, task) if r.batch_id.startswith(beginning) and r.kind == kind]
    if len(beginning) < SHORTEST or len(found) != 1:
        raise UsageError(
            f"no single batch {beginning!r} of {kind} in task {task}: expected at least {SHORTEST} characters of one "
            f"id, got {len(found)} that fit. `sluice lineage` and the answer of `sluice ingest` name batches."
        )
    if found[0].readmits is not None:
        raise UsageError(
            f"batch {beginning} of task {task} holds readmitted lines: expected a batch of files, got lines of batch "
            f"{found[0].readmits[:12]}. Supersede that one; its readmitted lines go with it."
        )
    return found[0]


def require_in_force(home: Home, task: str, record: BatchRecord) -> None:
    """Raises UsageError when another batch has replaced it already."""
    by = superseded(read_corrections(home, task)).get(record.batch_id)
    if by is not None:
        raise UsageError(
            f"batch {record.batch_id[:12]} of task {task} is superseded: expected a batch in force, got one that "
            f"batch {by[:12]} replaced. Supersede {by[:12]}.",
            batch_id=by,
        )


def replace_batch(
    batch: Batch, staging: Staging, why: Replacement, *, files: tuple[FileRecord, ...], scratch: Path
) -> BatchRecord:
    """Commit what was staged in place of the batch `why.batch_id` and of the lines that were readmitted from it.

    Its files stay on disk: older versions of the table, and snapshots, still read them. Raises InputError when no
    line of the replacement is good.
    """
    home, task = batch.home, batch.task
    gone = _with_readmissions(home, task, why.batch_id)
    live = {table: live_data_files(home, task, table) for table in (batch.kind, "quarantine")}
    stored = [str(home.table(task, batch.kind) / f.path) for f in live[batch.kind] if batch_of(f.path) not in gone]
    settled = settle(batch, staging, stored=stored, n_skipped=0, scratch=scratch)
    if not settled.n_accepted + settled.n_duplicate:
        raise InputError(
            f"nothing to take the place of batch {why.batch_id[:12]} in task {task}: expected at least one accepted "
            f"line, got none of {sum(f.n_read for f in files)}. The batch stays; correct the files or the contract."
        )
    changes = [
        TableChange(table=table, removed=_of(live[table], gone), added=added)
        for table, added in _write(batch, settled).items()
    ]
    version = next_version(home, task, batch.kind, changes=_is_change(changes[0]))
    written = {c.table: file_hashes(home.table(task, c.table), c.added) for c in changes}
    record = batch_record(batch, settled, files=files, table_files=written, table_version=version)
    corrections = read_corrections(home, task)
    accounts = {r.batch_id: account_of(r, corrections) for r in read_batches(home, task) if r.batch_id in gone}
    commit_correction(
        home,
        task,
        correction_id=batch.batch_id,
        action="supersession",
        batch_id=why.batch_id,
        batch=record,
        moves={batch_id: account.negative() for batch_id, account in accounts.items() if account != Account()},
        changes=[change for change in changes if _is_change(change)],
        n_superseded=sum(account.n_accepted for account in accounts.values()),
        reason=why.reason,
        actor=why.actor,
        now=batch.now,
    )
    return record


def snapshots_of(home: Home, task: str, record: BatchRecord) -> tuple[str, ...]:
    """Snapshots with rows of a batch, or of the lines readmitted from it; of outcomes, which snapshots join without
    their batch, those built while it was in force."""
    gone = _with_readmissions(home, task, record.batch_id)
    if record.kind == "interactions":
        return tuple(
            s.snapshot_id for s in list_snapshots(home, task) if not gone.isdisjoint(_batches_in(home, task, s))
        )
    end = next((r.table_version for r in read_batches(home, task) if r.supersedes == record.batch_id), None)
    first = record.table_version
    return tuple(
        s.snapshot_id
        for s in list_snapshots(home, task)
        if s.outcomes_version is not None
        and (first is None or first <= s.outcomes_version)
        and (end is None or s.outcomes_version < end)
    )


def _batches_in(home: Home, task: str, snapshot: Snapshot) -> set[str]:
    return set(load_snapshot(home, task, snapshot.snapshot_id)[1]["batch_id"].unique().to_pylist())


def _with_readmissions(home: Home, task: str, batch_id: str) -> set[str]:
    return {batch_id, *(r.batch_id for r in read_batches(home, task) if r.readmits == batch_id)}


def _write(batch: Batch, settled: Settled) -> dict[str, tuple[DataFile, ...]]:
    lines = [settled.lines] if settled.lines.num_rows else []
    chunks = settled.chunks if settled.n_accepted else ()
    return {
        table: write_rows(batch.home, batch.task, table, rows, stem=batch.batch_id)
        for table, rows in ((batch.kind, chunks), ("quarantine", lines))
    }


def _of(live: list[DataFile], batches: set[str]) -> tuple[DataFile, ...]:
    return tuple(file for file in live if batch_of(file.path) in batches)


def _is_change(change: TableChange) -> bool:
    return bool(change.removed or change.added)
