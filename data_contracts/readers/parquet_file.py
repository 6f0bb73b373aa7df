"""Parquet files: types must fit the contract, integers may widen; a row as JSON stands for its bytes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryFile

import numpy as np
import pyarrow as pa

from data_contracts.errors import InputError
from data_contracts.log_columns import LogColumn, by_word, detect_naming
from data_contracts.readers.block import Block
from data_contracts.readers.cells import in_zone

PROGRAM = Path(__file__).with_name("parquet_child.py")
ROWS = 50_000  # of a batch


def read_parquet(path: Path, columns: tuple[LogColumn, ...]) -> Iterator[Block]:
    """Blocks of `path`. Raises InputError when it is damaged, or a column is unknown, missing or of another type."""
    with _parsed(path) as batches:
        known = _known(path, batches.schema, columns)
        first = 1
        for batch in batches:
            yield _block(path, batch, known, first)
            first += batch.num_rows


@contextmanager
def _parsed(path: Path) -> Iterator[pa.RecordBatchReader]:
    """Validated batches of `path`, parsed by a process of its own; all of them, or InputError in the end."""
    command = [sys.executable, "-P", str(PROGRAM), str(path), str(ROWS)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with (
        TemporaryFile() as complaint,
        Popen(command, stdout=PIPE, stderr=complaint, env=environment) as child,  # noqa: S603  our own program
    ):
        failed: Exception | None = None
        try:
            yield pa.ipc.open_stream(child.stdout)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            failed = error
        except BaseException:
            child.kill()
            raise
        if child.stdout is not None:
            child.stdout.close()
        status = child.wait()
        if failed is not None or status:
            complaint.seek(0)
            said = complaint.read().decode("utf-8", "replace")
            raise _unreadable(path, _why(status, said, failed)) from failed


def _why(status: int, said: str, failed: Exception | None) -> str:
    if status < 0:
        return f"one that ended its parser with signal {-status}"
    return (said or str(failed) or f"a parser that ended with status {status}")[:200]


def _unreadable(path: Path, got: str) -> InputError:
    return InputError(
        f"unreadable Parquet in {path}: expected a whole file, got {got}. "
        "Nothing of this batch was kept; replace the file and ingest again.",
        path=str(path),
    )


def _known(path: Path, schema: pa.Schema, columns: tuple[LogColumn, ...]) -> dict[str, LogColumn]:
    words = by_word(columns, detect_naming(columns, schema.names))
    unknown = [name for name in schema.names if name not in words]
    missing = [word for word, c in words.items() if c.must_come and word not in schema.names]
    if unknown or len(set(schema.names)) != len(schema.names):
        raise _misfit(path, "only columns of the contract, each once", f"{unknown[:5] or 'a repeated name'}")
    if missing:
        raise _misfit(path, f"required columns {missing[:5]}", "none of them")
    for field in schema:
        if not _fits(words[field.name], field.type):
            raise _misfit(path, f"{words[field.name].expected} in column {field.name}", str(field.type))
    return {name: words[name] for name in schema.names}


def _misfit(path: Path, expected: str, got: str) -> InputError:
    return InputError(
        f"wrong columns in {path}: expected {expected}, got {got}. "
        "Nothing was ingested; correct the file or the contract.",
        path=str(path),
    )


def _fits(column: LogColumn, found: pa.DataType) -> bool:
    """Whether the type loses nothing in the store; a timestamp must know its zone."""
    kind, value = pa.types, found.value_type if pa.types.is_dictionary(found) else found
    if kind.is_null(value):
        fits = not column.required
    elif kind.is_string(column.type):
        is_text = kind.is_string(value) or kind.is_large_string(value) or kind.is_string_view(value)
        fits = is_text or (column.integers and kind.is_integer(value))
    elif kind.is_floating(column.type):
        fits = kind.is_floating(value) or kind.is_integer(value)
    elif kind.is_timestamp(column.type):
        fits = kind.is_timestamp(value) and (value.tz is not None or column.zone is not None)
    elif kind.is_list(column.type):
        fits = (kind.is_list(value) or kind.is_large_list(value)) and kind.is_floating(value.value_type)
    else:
        fits = kind.is_integer(value) if kind.is_integer(column.type) else value.equals(column.type)
    return bool(fits)


def _block(path: Path, batch: pa.RecordBatch, known: Mapping[str, LogColumn], first: int) -> Block:
    table = pa.table({known[word].name: _cast(batch[word], known[word]) for word in batch.schema.names})
    n = batch.num_rows
    return Block(
        n_lines=n,
        table=table,
        line=np.arange(first, first + n),
        offset=np.full(n, -1, dtype=np.int64),
        raw=lambda row: _as_json(batch.slice(row, 1)),
        rejected=[],
    )


def _cast(cells: pa.Array, column: LogColumn) -> pa.Array:
    """To the column's type; nanoseconds are cut off to microseconds, as in text."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_timestamp(cells.type) and cells.type.tz is None and column.zone is not None:
        cells = in_zone(cells.cast(pa.timestamp("us"), safe=False), column.zone)
    return cells.cast(column.type, safe=not pa.types.is_timestamp(column.type))


def _as_json(row: pa.RecordBatch) -> bytes:
    """One row; its timestamps as text in UTC, because the name of a zone in the file may be anything."""
    values = {name: _shown(row[name])[0].as_py() for name in row.schema.names}
    return json.dumps(values, ensure_ascii=False, default=str).encode()


def _shown(cells: pa.Array) -> pa.Array:
    is_moment = pa.types.is_timestamp(cells.type)
    return cells.cast(pa.timestamp(cells.type.unit, tz="UTC")).cast(pa.string()) if is_moment else cells
