"""The tables' part of an erasure: live files without the unit's rows, then the files that only older versions read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.amendments.corrections import Account, TableChange
from data_contracts.amendments.found_unit import data_files, mentioning, read_ids
from data_contracts.amendments.subject import Subject
from data_contracts.amendments.table_changes import commit_correction, write_rows
from data_contracts.batches import read_batches
from data_contracts.delta import DataFile
from data_contracts.home import Home
from data_contracts.storage import canonical_json, sha256_bytes
from data_contracts.store import (
    PARTITION,
    batch_of,
    live_data_files,
    read_data_file,
    recorded_hashes,
    table_files,
)


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """One erasure under way: of whom, and on whose word."""

    home: Home
    task: str
    subject: Subject
    unit_hash: str
    reason: str | None
    actor: str
    now: datetime


@dataclass(frozen=True, slots=True)
class _Cleaned:
    """A live file, what takes its place, and how many rows are gone."""

    file: DataFile
    rest: tuple[DataFile, ...]
    n_gone: int


def clean_tables(order: Order) -> None:
    """Every live file with rows of the subject is replaced by one without, in one correction of all tables.

    Erased rows move to `n_erased` in the account of their batch; an unfinished batch counts them when it is finished.
    """
    known = {record.batch_id for record in read_batches(order.home, order.task)}
    changes: list[TableChange] = []
    moves: dict[str, Account] = {}
    for table in PARTITION:
        cleaned = _cleaned_files(order, table)
        if cleaned:
            added = tuple(file for each in cleaned for file in each.rest)
            changes.append(TableChange(table=table, removed=tuple(each.file for each in cleaned), added=added))
        for each in cleaned:
            batch_id = batch_of(each.file.path)
            if batch_id in known and each.n_gone:
                moves[batch_id] = moves.get(batch_id, Account()).plus(_move(table, each.n_gone))
    if changes:
        paths = sorted(file.path for change in changes for file in change.removed)
        commit_correction(
            order.home,
            order.task,
            correction_id=sha256_bytes(canonical_json(["erasure", order.unit_hash, paths])),
            action="erasure",
            batch_id=None,
            batch=None,
            moves=moves,
            changes=changes,
            reason=order.reason,
            actor=order.actor,
            now=order.now,
        )


def remove_replaced_files(order: Order) -> int:
    """Delete for good what at most older versions read, where it has rows of the subject; returns how many files.

    What no commit ever named, a half-written file above all, goes as well.
    """
    home, task = order.home, order.task
    live = {path for table in PARTITION for path in table_files(home, task, table)}
    n = 0
    for table, path in data_files(home, task):
        if str(path) in live:
            continue
        if path.suffix != ".parquet" or _own(pq.read_table(path, partitioning=None), order.subject, table):
            path.unlink()
            n += 1
    return n


def _cleaned_files(order: Order, table: str) -> list[_Cleaned]:
    root, recorded = order.home.table(order.task, table), recorded_hashes(order.home, order.task, table)
    cleaned = []
    for file in live_data_files(order.home, order.task, table):
        if table != "quarantine" and not order.subject.rows_of(read_ids(root / file.path)).any():
            continue
        rows = read_data_file(root / file.path, recorded.get(file.path))
        own = _own(rows, order.subject, table)
        rest = rows.take(pa.array(sorted(set(range(rows.num_rows)) - set(own)), pa.int64()))
        named = order.subject.redact_names(rest) if table == "quarantine" else rest
        if own or named is not rest:
            cleaned.append(_Cleaned(file, _write(order, table, file, named), len(own)))
    return cleaned


def _own(rows: pa.Table, subject: Subject, table: str) -> list[int]:
    """Row numbers of what is the subject's."""
    if table == "quarantine":
        return mentioning(rows, subject)
    return [int(i) for i in subject.rows_of(rows).nonzero()[0]]


def _write(order: Order, table: str, file: DataFile, rest: pa.Table) -> tuple[DataFile, ...]:
    """The rest of a file, in the same partition; its name still begins with the batch's id."""
    if not rest.num_rows:
        return ()
    if file.partition is not None:
        rest = rest.append_column("day", pa.repeat(pa.scalar(file.partition, pa.date32()), rest.num_rows))
    stem = f"{batch_of(file.path)}-{sha256_bytes(f'{order.unit_hash} {file.path}'.encode())[:16]}"
    return write_rows(order.home, order.task, table, [rest], stem=stem)


def _move(table: str, n: int) -> Account:
    if table == "quarantine":
        return Account(n_quarantined=-n, n_erased=n)
    return Account(n_accepted=-n, n_erased=n)
