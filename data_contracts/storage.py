"""The only code that writes files of the store: atomic, durable, compare-and-swap, hash-chained.

Readers see a whole file or none, after kill -9 or a full disk at any point: bytes go to a
temporary file in the same folder, are synced, and appear under their name by rename or link.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from data_contracts.errors import IntegrityError

GENESIS = "0" * 64  # "previous" of the first entry of a chain
CHAIN_FIELDS = frozenset({"index", "previous", "seal"})  # of the chain, beside the fields of an entry


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: object) -> bytes:
    """The one JSON spelling that is hashed and stored: sorted keys, no NaN, UTF-8, newline at end."""
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False, default=_plain)
    return text.encode() + b"\n"


def read_json(path: Path) -> Any:
    """Parse a stored JSON file; a file that is not whole JSON raises IntegrityError naming it."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise IntegrityError(
            f"broken JSON in {path}: expected one whole document, got {error}. Restore it from a backup.",
            path=str(path),
        ) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data`; readers see the old bytes or the new, never a mixture."""
    temporary = _write_temporary(path, data)
    os.replace(temporary, path)
    _sync_folder(path.parent)


def create_exclusive(path: Path, data: bytes) -> bool:
    """Create `path` with `data` unless it exists; False when another writer was first (`os.link`)."""
    temporary = _write_temporary(path, data)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    _sync_folder(path.parent)
    return True


@contextmanager
def build_folder(final: Path) -> Iterator[Path]:
    """Fill a temporary sibling folder, then rename it to `final` in one step.

    If `final` appears meanwhile the work of the other writer stays and ours is dropped: the
    content of such a folder is decided by its name (a hash or a claimed version).
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.parent / f".tmp-{secrets.token_hex(8)}"
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        if not final.exists():
            try:
                os.rename(temporary, final)
            except OSError:
                if not final.exists():
                    raise
        _sync_folder(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_chain(folder: Path) -> list[dict[str, Any]]:
    """All entries of an append-only chain, oldest first; each carries `index`, `previous` and its own `seal`.

    Raises IntegrityError when an entry is missing or changed: `previous` is the hash of its predecessor's file,
    `seal` that of its own content, which keeps the newest entry. Caveat: the newest entry can be removed unseen.
    """
    rewritten = _rewritten(folder)
    if rewritten.is_dir():  # its replacement is decided, and takes its place when somebody appends
        folder = rewritten
    entries: list[dict[str, Any]] = []
    previous = GENESIS
    for index, path in enumerate(_chain_files(folder), start=1):
        entry = read_json(path)
        if path.read_bytes() != canonical_json(entry) or entry.get("seal") != _seal(entry):
            raise IntegrityError(
                f"damaged entry {path}: expected the bytes that its seal names, got others. Restore it from a backup.",
                path=str(path),
            )
        if entry.get("index") != index or entry.get("previous") != previous or path.name != _entry_name(index):
            raise IntegrityError(
                f"broken chain in {path}: expected entry {index} after {previous[:12]}, got entry "
                f"{entry.get('index')} after {str(entry.get('previous'))[:12]}. Restore the folder from a backup.",
                path=str(path),
            )
        previous = sha256_bytes(path.read_bytes())
        entries.append(entry)
    return entries


def append_chain(folder: Path, build: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> dict[str, Any]:
    """Append `build(entries so far)`; when another writer was first, `build` sees its entry and decides again.

    `build` raises to give up (for example Busy, when the champion moved meanwhile).
    """
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        with _chain_lock(folder, fcntl.LOCK_SH):
            finished = not _rewritten(folder).is_dir()
            if finished:
                entries = read_chain(folder)
                index = len(entries) + 1
                previous = sha256_bytes((folder / _entry_name(index - 1)).read_bytes()) if entries else GENESIS
                entry = _sealed(build(entries), index, previous)
                if create_exclusive(folder / _entry_name(index), canonical_json(entry)):
                    return entry
        if not finished:
            with _chain_lock(folder, fcntl.LOCK_EX):
                _finish_rewrite(folder)


def rewrite_chain(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> tuple[str, str] | None:
    """Replace every entry's own fields by `change` of them and seal the chain anew: for an erasure, nothing else.

    Readers see the old chain or the new one, also after a crash. Returns the hashes of the last entry before and
    after; None when `change` changed nothing.
    """
    if not folder.is_dir():
        return None
    with _chain_lock(folder, fcntl.LOCK_EX):
        _finish_rewrite(folder)
        entries = read_chain(folder)
        fields = [{name: v for name, v in entry.items() if name not in CHAIN_FIELDS} for entry in entries]
        changed = [change(entry) for entry in fields]
        if changed == fields:
            return None
        before = sha256_bytes((folder / _entry_name(len(entries))).read_bytes())
        with build_folder(_rewritten(folder)) as new:
            previous = GENESIS
            for index, entry in enumerate(changed, start=1):
                data = canonical_json(_sealed(entry, index, previous))
                (new / _entry_name(index)).write_bytes(data)
                previous = sha256_bytes(data)
        _finish_rewrite(folder)
        return before, previous


def _finish_rewrite(folder: Path) -> None:
    """Put a rewritten chain in the place of the old one; the caller keeps others from appending."""
    rewritten = _rewritten(folder)
    if not rewritten.is_dir():
        return
    for path in _chain_files(rewritten):
        write_atomic(folder / path.name, path.read_bytes())
    done = rewritten.with_name(f".tmp-{secrets.token_hex(8)}")
    os.rename(rewritten, done)
    shutil.rmtree(done)


def _rewritten(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.rewritten")


@contextmanager
def _chain_lock(folder: Path, mode: int) -> Iterator[None]:
    """Appending is free to all (the first one wins); rewriting waits until nobody appends."""
    with folder.with_name(f".{folder.name}.lock").open("w") as stream:
        fcntl.flock(stream, mode)
        yield


def _sealed(fields: dict[str, Any], index: int, previous: str) -> dict[str, Any]:
    entry = {**fields, "index": index, "previous": previous}
    return {**entry, "seal": _seal(entry)}


def _seal(entry: dict[str, Any]) -> str:
    return sha256_bytes(canonical_json({key: value for key, value in entry.items() if key != "seal"}))


def _chain_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.json")) if folder.is_dir() else []


def _entry_name(index: int) -> str:
    return f"{index:08d}.json"


def _write_temporary(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".tmp-{secrets.token_hex(8)}"
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return value.tolist()
    raise TypeError(f"not JSON: {type(value).__name__}")
