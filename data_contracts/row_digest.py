"""The digest of one row's logical content: the same whatever file, order of columns or batch it came in.

It is the id of rows whose log gives them none.

Canonical form of a row, hashed with SHA-256. Columns without a value (null) are absent, so an
optional column that a contract adds later changes no digest. With the other columns in order of name:

    count   u16, number of columns that have a value
    heads   per column: name, 0x00, kind, and 8 bytes (see below)
    bodies  per text or list column: the text's UTF-8, or the numbers as f64

    kind  column      8 bytes of the head
    s     text        u64 length in bytes            d  number     f64, -0.0 written as 0.0
    l     list        u64 length in bytes            i  integer    i64
    t     timestamp   i64 microseconds since 1970    b  boolean    u64, 0 or 1

All numbers are little-endian. Every head has the length of its name plus 10, and bodies have the
length that their head says, so two different rows never share a form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.readers.block import whole

ROWS = 16_384  # rows hashed at a time: 32-bit offsets suffice, and what is hashed is still in the processor's cache


class _Encoded(NamedTuple):
    """One column of n rows in canonical form."""

    tag: bytes  # name, 0x00, kind
    words: NDArray[Any]  # (n,) of 8 bytes; of a null cell: anything
    valid: NDArray[np.bool_] | None  # (n,); None where no cell is null
    body: pa.Array | None  # (n,) binary


def row_digests(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    """(n,) SHA-256 in hex of the columns `names` of each row."""
    chosen = table.select(sorted(name for name in names if name in table.column_names))
    chunks = [_digests(chosen.slice(start, ROWS)) for start in range(0, table.num_rows, ROWS)]
    return pa.chunked_array(chunks, pa.string())


def _digests(table: pa.Table) -> pa.Array:
    present = [name for name in table.column_names if table[name].null_count < table.num_rows]
    columns = [_encode(name, whole(table[name])) for name in present]
    runs = groupby(columns, key=lambda c: None if c.valid is None else c.tag)  # without nulls neighbours are one piece
    heads = [_heads(table.num_rows, list(run)) for _, run in runs]
    bodies = [column.body for column in columns if column.body is not None]
    counts = _counts(table.num_rows, columns)
    return _sha256(pc.binary_join_element_wise(counts, *heads, *bodies, b"", null_handling="skip"))


def _encode(name: str, cells: pa.Array) -> _Encoded:
    valid = cells.is_valid().to_numpy(zero_copy_only=False) if cells.null_count else None
    body: pa.Array | None = None
    if pa.types.is_string(cells.type):
        kind, body = "s", cells.cast(pa.binary())
        words = np.diff(_values(cells, np.dtype("<i4"), len(cells) + 1)).astype("<u8")
    elif pa.types.is_list(cells.type):
        kind, body = "l", _list_bodies(cells)
        words = pc.fill_null(pc.binary_length(body), 0).to_numpy(zero_copy_only=False).astype("<u8")
    elif pa.types.is_floating(cells.type):
        kind, words = "d", np.add(_values(cells, np.dtype("<f8"), len(cells)), 0.0)
    elif pa.types.is_boolean(cells.type):
        kind, words = "b", pc.fill_null(cells, False).to_numpy(zero_copy_only=False).astype("<u8")
    else:
        kind = "t" if pa.types.is_timestamp(cells.type) else "i"
        words = _values(cells.cast(pa.int64()), np.dtype("<i8"), len(cells))
    return _Encoded(f"{name}\0{kind}".encode(), words, valid, body)


def _values(cells: pa.Array, dtype: np.dtype[Any], n: int) -> NDArray[Any]:
    """(n,) numbers or offsets of a column as they lie in its buffer, nulls included; no copy."""
    data = cells.buffers()[1]
    return np.frombuffer(data or bytes(8), dtype)[cells.offset : cells.offset + n]


def _list_bodies(cells: pa.Array) -> pa.Array:
    """The numbers of each list as bytes; null for a null list."""
    lengths = pc.fill_null(pc.list_value_length(cells), 0).to_numpy(zero_copy_only=False)
    numbers = cells.flatten().to_numpy(zero_copy_only=False).astype("<f8") + 0.0
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths * 8, out=offsets[1:])
    return _binary(offsets, numbers, cells.is_valid().to_numpy(zero_copy_only=False))


def _counts(n: int, columns: Sequence[_Encoded]) -> pa.Array:
    """Number of columns that have a value in each row."""
    count = np.full(n, sum(column.valid is None for column in columns), dtype="<u2")
    for column in columns:
        if column.valid is not None:
            count += column.valid
    return _binary(np.arange(n + 1, dtype=np.int32) * 2, count)


def _heads(n: int, columns: Sequence[_Encoded]) -> pa.Array:
    """The heads of neighbouring columns, one binary value a row; null where a column that stands alone is null."""
    fields = [field for i, c in enumerate(columns) for field in ((f"tag {i}", f"V{len(c.tag)}"), (f"word {i}", "<u8"))]
    row = np.frombuffer(b"".join(column.tag + bytes(8) for column in columns), np.uint8)
    heads = np.empty((n, len(row)), np.uint8)
    heads[:] = row
    words = heads.view(np.dtype(fields))[:, 0]
    for i, column in enumerate(columns):
        words[f"word {i}"] = column.words.view("<u8")
    return _binary(np.arange(n + 1, dtype=np.int32) * len(row), heads, columns[0].valid)


def _binary(offsets: NDArray[np.int32], data: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """Binary values cut from the bytes of `data`; no copy."""
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    data = data.view(np.uint8) if data.size else np.zeros(0, np.uint8)
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [bits, pa.py_buffer(offsets), pa.py_buffer(data)])


def _sha256(rows: pa.Array) -> pa.Array:
    """(n,) hex digests of n binary rows."""
    _, offsets, data = rows.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[rows.offset : rows.offset + len(rows) + 1].tolist()
    view, empty = memoryview(data), hashlib.sha256()
    digests = []
    for a, b in pairwise(bounds):
        digest = empty.copy()  # cheaper than a new one
        digest.update(view[a:b])
        digests.append(digest.digest())
    places = np.arange(len(rows) + 1, dtype=np.int32) * (2 * empty.digest_size)
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(places), pa.py_buffer(b"".join(digests).hex().encode()))
