"""Quarantined lines judged again by today's contract, from their raw bytes: those that pass leave the quarantine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.acceptance import Standard, judge, standard_of
from data_contracts.amendments.corrections import Account, TableChange
from data_contracts.amendments.quarantined_lines import line_files
from data_contracts.amendments.table_changes import commit_correction, file_hashes, next_version, write_rows
from data_contracts.amendments.tombstones import ERASED, read_tombstones
from data_contracts.batches import BatchRecord
from data_contracts.contract import Contract
from data_contracts.delta import DataFile
from data_contracts.duplicates import find_known
from data_contracts.errors import InputError
from data_contracts.home import Home
from data_contracts.log_columns import Kind
from data_contracts.quarantine import count_reasons, select_rows
from data_contracts.readers.log_file import read_blocks
from data_contracts.staging import POSITION
from data_contracts.storage import canonical_json, sha256_bytes
from data_contracts.store import (
    batch_of,
    live_data_files,
    read_data_file,
    read_quarantine,
    recorded_hashes,
    table_files,
)

CONFLICT = "conflicting payload, another is in the store"


@dataclass(frozen=True, slots=True)
class Review:
    """By what lines are judged now, on whose behalf, and a folder for work in progress."""

    home: Home
    task: str
    contract: Contract
    actions: tuple[str, ...]
    channels: tuple[str, ...]
    actor: str
    now: datetime
    scratch: Path


@dataclass(frozen=True, slots=True)
class Readmission:
    """Where each of `n_lines` quarantined lines goes; those counted in `n_quarantined` stay, for `reasons`."""

    n_lines: int
    n_accepted: int
    n_duplicate: int
    n_erased: int
    n_quarantined: int
    batches: tuple[str, ...]  # that take the lines, one for each batch they came from
    reasons: dict[str, int]  # reason class, by today's contract -> lines


@dataclass(frozen=True, slots=True, repr=False)
class _Verdict:
    """The lines of one batch, judged again."""

    source: str
    kind: Kind
    batch_id: str
    lines: pa.Table  # (n,)
    accepted: pa.Table  # rows for the store's table
    leaving: NDArray[np.bool_]  # (n,) accepted, duplicate or erased
    n_erased: int
    reasons: tuple[str, ...]  # of those that stay

    @property
    def account(self) -> Account:
        n, n_accepted = int(self.leaving.sum()), self.accepted.num_rows
        return Account(
            n_read=n, n_accepted=n_accepted, n_duplicate=n - n_accepted - self.n_erased, n_erased=self.n_erased
        )


def review(by: Review, *, reason: str | None = None, batch: str | None = None) -> Readmission:
    """What `readmit` would do; nothing changes."""
    return _sum_up(list(_verdicts(by, reason=reason, batch=batch)))


def readmit(by: Review, *, reason: str | None = None, batch: str | None = None) -> Readmission:
    """Judge the quarantined lines of class `reason` and of `batch` (None: all) again, and take in what passes.

    It enters its table exactly once, under a batch id of its own, and leaves the quarantine in the same
    correction; what is in the table already leaves as a duplicate. The caller holds the task's ingest lock.
    Raises IntegrityError when a file of the quarantine is damaged.
    """
    done = []
    for verdict in _verdicts(by, reason=reason, batch=batch):  # each sees what the ones before it have brought in
        if verdict.leaving.any():
            _commit(by, verdict)
        done.append(verdict)
    return _sum_up(done)


def _sum_up(verdicts: Sequence[_Verdict]) -> Readmission:
    total = Account()
    for verdict in verdicts:
        total = total.plus(verdict.account)
    return Readmission(
        n_lines=sum(v.lines.num_rows for v in verdicts),
        n_accepted=total.n_accepted,
        n_duplicate=total.n_duplicate,
        n_erased=total.n_erased,
        n_quarantined=sum(len(v.reasons) for v in verdicts),
        batches=tuple(v.batch_id for v in verdicts if v.leaving.any()),
        reasons=count_reasons(reason for v in verdicts for reason in v.reasons),
    )


def _verdicts(by: Review, *, reason: str | None, batch: str | None) -> Iterator[_Verdict]:
    lines = select_rows(read_quarantine(by.home, by.task), reason=reason, batch=batch)
    tombstones = read_tombstones(by.home, by.task)
    first = lines.group_by(["batch_id", "kind"]).aggregate([("quarantined_at", "min")])
    ordered = first.sort_by([("quarantined_at_min", "ascending"), ("batch_id", "ascending"), ("kind", "ascending")])
    for source, kind in zip(ordered["batch_id"].to_pylist(), ordered["kind"].to_pylist(), strict=True):
        mine = lines.filter(pc.and_(pc.equal(lines["batch_id"], source), pc.equal(lines["kind"], kind)))
        mine = mine.sort_by([("file_sha256", "ascending"), ("line", "ascending")])
        batch_id = _batch_id(source, by.contract, mine)
        standard = standard_of(by.contract, kind, actions=by.actions, channels=by.channels, batch_id=batch_id)
        yield _judge_lines(by, source, mine, replace(standard, erased=tombstones))


def _batch_id(source: str, contract: Contract, lines: pa.Table) -> str:
    """The same lines under the same contract are the same batch."""
    places = list(zip(lines["file_sha256"].to_pylist(), lines["line"].to_pylist(), strict=True))
    return sha256_bytes(canonical_json(["readmission", source, contract.sha256, places]))


def _judge_lines(by: Review, source: str, lines: pa.Table, standard: Standard) -> _Verdict:
    accepted = [standard.schema.empty_table().append_column(POSITION, pa.array([], pa.int64()))]
    reasons: dict[int, str] = {}
    for path, index in line_files(lines, by.scratch, reasons):
        try:
            for block in read_blocks(path, standard.columns):
                good, rows, rejected = judge(block, standard)
                accepted.append(good.append_column(POSITION, pa.array(index[block.line[rows] - 1])))
                reasons |= {int(index[line.line - 1]): line.reason for line in rejected}
        except InputError as error:  # a header that does not fit the contract
            reasons |= {int(i): f"unreadable file: {error}" for i in index if i >= 0}
    rows = pa.concat_tables(accepted).sort_by(POSITION)
    stored = table_files(by.home, by.task, standard.kind)
    known = find_known(rows, stored, kind=standard.kind, batch_id=standard.batch_id, scratch=by.scratch)
    conflicts = known.filter(pc.invert(known["same"]))
    reasons |= dict.fromkeys(conflicts["position"].to_pylist(), CONFLICT)
    staying = {i: reason for i, reason in reasons.items() if reason != ERASED}
    leaving = np.ones(lines.num_rows, dtype=np.bool_)
    leaving[list(staying)] = False
    new = rows.filter(pc.invert(pc.is_in(rows[POSITION], known["position"].combine_chunks())))
    return _Verdict(
        source=source,
        kind=standard.kind,
        batch_id=standard.batch_id,
        lines=lines,
        accepted=new.select(standard.schema.names),
        leaving=leaving,
        n_erased=len(reasons) - len(staying),
        reasons=tuple(staying.values()),
    )


def _commit(by: Review, verdict: _Verdict) -> None:
    home, task, kind, account = by.home, by.task, verdict.kind, verdict.account
    chunks = [verdict.accepted] if account.n_accepted else []
    added = write_rows(home, task, kind, chunks, stem=verdict.batch_id)
    rows = TableChange(table=kind, removed=(), added=added)
    changes = [*([rows] if added else []), _emptied(by, verdict)]
    record = BatchRecord(
        batch_id=verdict.batch_id,
        kind=kind,
        contract_version=by.contract.version,
        contract_sha256=by.contract.sha256,
        **account.model_dump(),
        table_version=next_version(home, task, kind, changes=bool(added)),
        files=(),
        reasons={},
        table_files={kind: file_hashes(home.table(task, kind), added)},
        ingested_at=by.now,
        readmits=verdict.source,
    )
    commit_correction(
        home,
        task,
        correction_id=verdict.batch_id,
        action="readmission",
        batch_id=verdict.source,
        batch=record,
        moves={verdict.source: Account(n_read=-account.n_read, n_quarantined=-account.n_read)},
        changes=changes,
        reason=None,
        actor=by.actor,
        now=by.now,
    )


def _emptied(by: Review, verdict: _Verdict) -> TableChange:
    """The files of the source's quarantine without the lines that leave."""
    home, task, table = by.home, by.task, "quarantine"
    root, recorded = home.table(task, table), recorded_hashes(home, task, table)
    gone = set(_places(verdict.lines.filter(pa.array(verdict.leaving))))
    removed: list[DataFile] = []
    added: list[DataFile] = []
    for number, file in enumerate(f for f in live_data_files(home, task, table) if batch_of(f.path) == verdict.source):
        rows = read_data_file(root / file.path, recorded.get(file.path))
        stays = pa.array([place not in gone for place in _places(rows)], pa.bool_())
        if pc.all(stays).as_py():
            continue
        removed.append(file)
        left = rows.filter(stays)
        stem = f"{verdict.source}-{number}-without-{verdict.batch_id}"
        added += write_rows(home, task, table, [left] if left.num_rows else [], stem=stem)
    return TableChange(table=table, removed=tuple(removed), added=tuple(added))


def _places(lines: pa.Table) -> list[tuple[str, str, int]]:
    columns = (lines[name].to_pylist() for name in ("kind", "file_sha256", "line"))
    return list(zip(*columns, strict=True))
