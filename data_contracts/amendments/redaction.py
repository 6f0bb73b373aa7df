"""The ids of an erased unit leave the texts around its rows: run records, reports, alerts, logs, histories."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.amendments.subject import Subject
from data_contracts.home import Home
from data_contracts.storage import canonical_json, rewrite_chain, write_atomic

_ENTRY = re.compile(r"[0-9]{8}\.json")
_TEXTS = ("runs", "batches", "alerts", "served")  # kinds of folders whose files may change


def roots(home: Home, task: str) -> Iterator[Path]:
    """Every folder of the store that holds something of the task; the alerts of all tasks lie in one."""
    for kind in sorted(home.root.iterdir()):
        if kind.is_dir():
            yield kind if kind == home.alerts else kind / task


def redact_texts(home: Home, task: str, subject: Subject) -> None:
    """JSON by its texts, other files as text, served logs by their lines; each file in one step."""
    for root in roots(home, task):
        kind = root.name if root == home.alerts else root.parent.name
        if kind in _TEXTS:
            for path in sorted(root.rglob("*")):
                if path.is_file() and not _is_entry(path):
                    _redact_file(path, subject, drop_lines=kind == "served")


def redact_chains(home: Home, task: str, subject: Subject) -> dict[str, tuple[str, str]]:
    """Append-only histories, sealed anew where an entry held an id.

    Returns the folder, relative to the home -> hashes of its last entry before and after.
    """
    done = {}
    for root in roots(home, task):
        for folder in sorted({path.parent for path in root.rglob("*.json") if _is_entry(path)}):
            if folder.name.endswith(".rewritten") or folder.name.startswith(".tmp-"):
                continue
            heads = rewrite_chain(folder, subject.redact_json)
            if heads is not None:
                done[str(folder.relative_to(home.root))] = heads
    return done


def remove_work_in_progress(home: Home, task: str) -> None:
    """What a killed run left of rows, and pages that the next validation publishes again."""
    for root in (home.training(task), home.snapshots(task), home.looks(task), home.runs(task)):
        for folder in [*root.rglob(".tmp-*"), *root.glob("*/columns")]:
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink(missing_ok=True)
    shutil.rmtree(home.data_docs(task), ignore_errors=True)


def files_that_mention(home: Home, task: str, subject: Subject) -> list[Path]:
    """Files of the task that still hold one of the ids, Parquet files by their decoded cells."""
    files = (path for root in roots(home, task) for path in sorted(root.rglob("*")) if path.is_file())
    return [path for path in files if _mentions(path, subject)]


def _is_entry(path: Path) -> bool:
    return _ENTRY.fullmatch(path.name) is not None


def _redact_file(path: Path, subject: Subject, *, drop_lines: bool) -> None:
    before = path.read_bytes()
    if path.suffix == ".json":
        found = json.loads(before)
        clean: Any = subject.redact_json(found)
        after = before if clean == found else canonical_json(clean)
    else:
        lines = before.decode("utf-8", "surrogateescape").splitlines(keepends=True)
        kept = [line for line in lines if not drop_lines or not subject.mentioned_in(line.encode("utf-8", "replace"))]
        after = "".join(map(subject.redact, kept)).encode("utf-8", "surrogateescape")
    if after != before and not after:
        path.unlink()
    elif after != before:
        write_atomic(path, after)


def _mentions(path: Path, subject: Subject) -> bool:
    if path.suffix != ".parquet":
        text = path.read_bytes().decode("utf-8", "replace")
        return subject.redact(text) != text
    if "_delta_log" in path.parts:
        return False
    names = [field.name for field in pq.read_schema(path) if _is_text(field.type)]
    table = pq.read_table(path, columns=names, partitioning=None)
    return any(_column_mentions(name, table[name], subject) for name in table.column_names)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _column_mentions(name: str, column: pa.ChunkedArray, subject: Subject) -> bool:
    """A cell of a typed row is an id or is none; lines of the quarantine, and reasons, are searched."""
    if pa.types.is_binary(column.type) or name == "reason":
        texts = (value.encode() if isinstance(value, str) else value for value in column.unique().to_pylist())
        return any(subject.mentioned_in(text) for text in texts if text is not None)
    ids = pa.array(sorted(subject.ids_in(name)), pa.string())
    return bool(pc.any(pc.is_in(column, value_set=ids)).as_py())
