"""A judged batch enters the store: its new rows, then its quarantine, then the record that ends it.

Each step happens once per batch id, so a rerun after a crash at any point ends in the same rows and
counts. Rows come before the quarantine: they decide what a later batch meets, so another batch that
comes between crash and rerun cannot make the rerun judge otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.acceptance import Standard
from data_contracts.amendments.tombstones import ERASED
from data_contracts.batches import BatchRecord, FileRecord, write_batch
from data_contracts.contract import Contract
from data_contracts.duplicates import find_known
from data_contracts.errors import StoreError
from data_contracts.home import Home
from data_contracts.interactions import quarantine_schema
from data_contracts.log_columns import Kind
from data_contracts.quarantine import count_reasons
from data_contracts.readers.block import Rejected
from data_contracts.readers.log_file import raw_lines
from data_contracts.staging import OFFSET, POSITION, Staging, place
from data_contracts.store import append, batch_files, table_files, table_version


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was when its batch began."""

    path: Path
    sha256: str
    changed_at: int  # nanoseconds, of the file system
    size: int
    header: bytes | None = None  # of a CSV file


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch under way."""

    home: Home
    task: str
    contract: Contract
    kind: Kind
    now: datetime
    files: tuple[SourceFile, ...]
    batch_id: str
    standard: Standard
    supersedes: str | None = None  # the batch that this one replaces

    def quarantined(self, number: int, line: Rejected) -> dict[str, object]:
        """A rejected line of file `number`, as the quarantine table has it."""
        return {
            "batch_id": self.batch_id,
            "kind": self.kind,
            "file": self.files[number].path.name,
            "file_sha256": self.files[number].sha256,
            "line": line.line,
            "offset": line.offset,
            "raw": line.raw,
            "reason": line.reason,
            "quarantined_at": self.now,
            "header": self.files[number].header,
        }


@dataclass(frozen=True, slots=True)
class Settled:
    """What is to become of the lines of a batch, before any of it is committed."""

    chunks: Iterable[pa.Table]  # new rows, n_accepted in all
    lines: pa.Table  # for the quarantine
    n_accepted: int
    n_duplicate: int
    n_erased: int


def commit_batch(
    batch: Batch, staging: Staging, *, files: tuple[FileRecord, ...], n_skipped: int, scratch: Path
) -> BatchRecord:
    """Commit what was staged; `n_skipped` lines were in files that an earlier batch held."""
    stored = table_files(batch.home, batch.task, batch.kind)
    settled = settle(batch, staging, stored=stored, n_skipped=n_skipped, scratch=scratch)
    record = batch_record(
        batch,
        settled,
        files=files,
        table_files={
            batch.kind: _append(batch, batch.kind, settled.chunks, settled.n_accepted),
            "quarantine": _append(batch, "quarantine", [settled.lines], settled.lines.num_rows),
        },
        table_version=table_version(batch.home, batch.task, batch.kind),
    )
    write_batch(batch.home, batch.task, record)
    return record


def settle(batch: Batch, staging: Staging, *, stored: list[str], n_skipped: int, scratch: Path) -> Settled:
    """Meet the staged rows with those of the files `stored`: what is new, what is a duplicate, what conflicts."""
    rows, rejected = staging.accepted(), staging.rejected()
    known = find_known(rows, stored, kind=batch.kind, batch_id=batch.batch_id, scratch=scratch, forget=staging.forget)
    conflicts = known.filter(pc.invert(known["same"]))
    erased = pc.equal(rejected["reason"], ERASED)
    return Settled(
        chunks=staging.chunks(known["position"].to_numpy()),
        lines=pa.concat_tables([rejected.filter(pc.invert(erased)), _conflicting(batch, rows, conflicts)]),
        n_accepted=rows.num_rows - known.num_rows,
        n_duplicate=known.num_rows - conflicts.num_rows + n_skipped,
        n_erased=int(pc.sum(erased).as_py() or 0),
    )


def batch_record(
    batch: Batch,
    settled: Settled,
    *,
    files: tuple[FileRecord, ...],
    table_files: dict[str, dict[str, str]],
    table_version: int | None,
) -> BatchRecord:
    """The account of a settled batch."""
    return BatchRecord(
        batch_id=batch.batch_id,
        kind=batch.kind,
        contract_version=batch.contract.version,
        contract_sha256=batch.contract.sha256,
        n_read=sum(file.n_read for file in files),
        n_accepted=settled.n_accepted,
        n_quarantined=settled.lines.num_rows,
        n_duplicate=settled.n_duplicate,
        table_files=table_files,
        table_version=table_version,
        files=files,
        reasons=count_reasons(settled.lines["reason"].to_pylist()),
        ingested_at=batch.now,
        n_erased=settled.n_erased,
        supersedes=batch.supersedes,
    )


def _append(batch: Batch, table: str, chunks: Iterable[pa.Table], n_rows: int) -> dict[str, str]:
    """Append unless a run before a crash did; either way the table must then hold `n_rows` rows of the batch."""
    if n_rows:
        append(batch.home, batch.task, table, chunks, batch_id=batch.batch_id)
    found, files = batch_files(batch.home, batch.task, table, batch.batch_id)
    if found != n_rows:
        raise StoreError(
            f"half-finished batch {batch.batch_id[:12]} in table {table} of task {batch.task}: expected {n_rows} rows "
            f"by contract {batch.contract.version}, got {found}. It was begun under another contract, or by another "
            "release: finish it with that one, then ingest again.",
            batch_id=batch.batch_id,
        )
    return files


def _conflicting(batch: Batch, rows: pa.Table, conflicts: pa.Table) -> pa.Table:
    """Quarantine lines of the rows whose identity is taken by another payload, with their bytes read again."""
    schema = quarantine_schema()
    if not conflicts.num_rows:
        return schema.empty_table()
    first = dict(zip(conflicts["position"].to_pylist(), conflicts["batch_id"].to_pylist(), strict=True))
    columns = ["interaction_id", *(["channel"] if batch.kind == "outcomes" else []), POSITION, OFFSET]
    kept = rows.filter(pc.is_in(rows[POSITION], value_set=pa.array(list(first)))).select(columns).to_pylist()
    raw = _raw(batch, first)
    lines = []
    for row in sorted(kept, key=lambda row: int(row[POSITION])):
        number, line = place(row[POSITION])
        channel = f" and channel {row['channel']}" if "channel" in row else ""
        why = f"conflicting payload for interaction_id {row['interaction_id']}{channel}, first accepted in batch "
        rejected = Rejected(line, row[OFFSET], raw[number][line], why + first[row[POSITION]])
        lines.append(batch.quarantined(number, rejected))
    return pa.Table.from_pylist(lines, schema=schema)


def _raw(batch: Batch, positions: Iterable[int]) -> dict[int, dict[int, bytes]]:
    """File number -> line -> bytes."""
    wanted: dict[int, set[int]] = {}
    for number, line in map(place, positions):
        wanted.setdefault(number, set()).add(line)
    columns = batch.standard.columns
    return {number: raw_lines(batch.files[number].path, columns, lines) for number, lines in wanted.items()}
