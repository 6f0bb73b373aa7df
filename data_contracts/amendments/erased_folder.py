"""Folders of sealed files (snapshots, evidence of looks) from which a unit was erased.

What is sealed cannot change unseen, so it does not: a second file takes the place of the first, and
`erased.json` names it, its hash, how many rows are gone and by which erasures.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from data_contracts.amendments.subject import Subject
from data_contracts.errors import IntegrityError
from data_contracts.storage import canonical_json, read_json, sha256_bytes, write_atomic

MARKER = "erased.json"


class Stored(BaseModel):
    """The file that stands for another now."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str


class ErasedRows(BaseModel):
    """`erased.json`: `files` maps the name of a file -> what stands for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_rows: int
    erasures: tuple[str, ...]  # hashes of the units
    files: dict[str, Stored]


class KeptFile(NamedTuple):
    """Where the bytes of a sealed file are now, and the hash that they must have."""

    path: Path
    sha256: str


def read_erased(folder: Path) -> ErasedRows | None:
    """What was erased from a folder; None: nothing. Raises IntegrityError when its marker is damaged."""
    path = folder / MARKER
    if not path.exists():
        return None
    try:
        return ErasedRows.model_validate(read_json(path))
    except ValidationError as error:
        raise IntegrityError(
            f"damaged marker {path}: expected what was erased, got {error.error_count()} mistakes. Restore it from a "
            "backup that was made after the erasure.",
            path=str(path),
        ) from error


def list_erased(root: Path) -> dict[str, ErasedRows]:
    """Folder below `root` -> what was erased from it, for those from which something was."""
    found = {path.parent.name: read_erased(path.parent) for path in sorted(root.glob(f"*/{MARKER}"))}
    return {name: erased for name, erased in found.items() if erased is not None}


def kept_file(folder: Path, name: str, sha256: str) -> KeptFile:
    """The file `name` of hash `sha256`, or what stands for it since an erasure."""
    erased = read_erased(folder)
    stored = None if erased is None else erased.files.get(name)
    return KeptFile(folder / name, sha256) if stored is None else KeptFile(folder / stored.name, stored.sha256)


def erase_folder(
    folder: Path,
    rows: str,
    subject: Subject,
    *,
    unit_hash: str,
    beside: tuple[str, ...] = (),
    texts: tuple[str, ...] = (),
) -> int:
    """Take the subject's rows out of the Parquet files `rows` and `beside`, and its ids out of the JSON files `texts`.

    Returns the number of rows taken out of `rows`. Again it finds nothing, and only removes what a crash left behind.
    """
    before = read_erased(folder) or ErasedRows(n_rows=0, erasures=(), files={})
    files, n_rows = dict(before.files), 0
    current = {name: folder / (files[name].name if name in files else name) for name in (rows, *beside, *texts)}
    for name in (rows, *beside):
        if current[name].exists():
            table = pq.read_table(current[name])
            own = subject.rows_of(table)
            if own.any():
                n_rows += int(own.sum()) if name == rows else 0
                files[name] = _write(folder, name, _parquet(table.filter(pa.array(~own))), unit_hash)
    for name in texts:
        if current[name].exists():
            found = read_json(current[name])
            clean = subject.redact_json(found)
            if clean != found:
                files[name] = _write(folder, name, canonical_json(clean), unit_hash)
    if files != before.files:
        erasures = tuple(dict.fromkeys([*before.erasures, unit_hash]))
        marker = ErasedRows(n_rows=before.n_rows + n_rows, erasures=erasures, files=files)
        write_atomic(folder / MARKER, canonical_json(marker.model_dump(mode="json")))
    _remove_replaced(folder, files)
    return n_rows


def _write(folder: Path, name: str, data: bytes, unit_hash: str) -> Stored:
    stem, suffix = Path(name).stem, Path(name).suffix
    stored = Stored(name=f"{stem}.without-{unit_hash}{suffix}", sha256=sha256_bytes(data))
    write_atomic(folder / stored.name, data)
    return stored


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _remove_replaced(folder: Path, files: dict[str, Stored]) -> None:
    """Files that another one stands for, and work that a crash left."""
    kept = {stored.name for stored in files.values()}
    for name in files:
        stem, suffix = Path(name).stem, Path(name).suffix
        for path in (folder / name, *folder.glob(f"{stem}.without-*{suffix}")):
            if path.name not in kept:
                path.unlink(missing_ok=True)
    for path in folder.glob(".tmp-*"):
        path.unlink()
