"""The digest of one row's logical content: the same whatever file, order of columns or batch it came in.

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
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

ROWS = 32_768  # rows hashed at a time, so that 32-bit offsets suffice


def row_digests(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    """(n,) SHA-256 in hex of the columns `names` of each row."""
    chosen = table.select(sorted(name for name in names if name in table.column_names))
    chunks = [_digests(chosen.slice(start, ROWS)) for start in range(0, table.num_rows, ROWS)]
    return pa.chunked_array(chunks, pa.string())


def _digests(table: pa.Table) -> pa.Array:
    count = np.zeros(table.num_rows, dtype="<u2")
    heads: list[pa.Array] = []
    bodies: list[pa.Array] = []
    matrices: list[NDArray[np.uint8]] = []  # neighbouring heads without nulls become one piece
    for name in table.column_names:
        cells = table[name].combine_chunks()
        valid = cells.is_valid().to_numpy(zero_copy_only=False)
        count += valid
        head, body = _encode(name, cells)
        if cells.null_count:
            heads += [*_merged(matrices), _pieces(head, valid)]
            matrices = []
        else:
            matrices.append(head)
        bodies += [] if body is None else [body]
    heads += _merged(matrices)
    rows = pc.binary_join_element_wise(
        _pieces(count.view(np.uint8).reshape(-1, 2)), *heads, *bodies, b"", null_handling="skip"
    )
    return _sha256(rows)


def _encode(name: str, cells: pa.Array) -> tuple[NDArray[np.uint8], pa.Array | None]:
    """Heads of shape (n, len(name) + 10), and the bodies of a column that has them."""
    kind, body = "", None
    if pa.types.is_string(cells.type):
        kind, body = "s", cells.cast(pa.binary())
        words = pc.fill_null(pc.binary_length(body), 0).to_numpy(zero_copy_only=False).astype("<u8")
    elif pa.types.is_list(cells.type):
        kind, body = "l", _list_bodies(cells)
        words = pc.fill_null(pc.binary_length(body), 0).to_numpy(zero_copy_only=False).astype("<u8")
    elif pa.types.is_floating(cells.type):
        kind, words = "d", pc.fill_null(cells, 0.0).to_numpy(zero_copy_only=False).astype("<f8") + 0.0
    elif pa.types.is_boolean(cells.type):
        kind, words = "b", pc.fill_null(cells, False).to_numpy(zero_copy_only=False).astype("<u8")
    else:
        kind = "t" if pa.types.is_timestamp(cells.type) else "i"
        words = pc.fill_null(cells.cast(pa.int64()), 0).to_numpy(zero_copy_only=False).astype("<i8")
    tag = np.frombuffer(f"{name}\0{kind}".encode(), dtype=np.uint8)
    head = np.empty((len(cells), len(tag) + 8), dtype=np.uint8)
    head[:, : len(tag)] = tag
    head[:, len(tag) :] = np.ascontiguousarray(words).view(np.uint8).reshape(-1, 8)
    return head, body


def _list_bodies(cells: pa.Array) -> pa.Array:
    """The numbers of each list as bytes; null for a null list."""
    lengths = pc.fill_null(pc.list_value_length(cells), 0).to_numpy(zero_copy_only=False)
    numbers = cells.flatten().to_numpy(zero_copy_only=False).astype("<f8") + 0.0
    return _slices(numbers.tobytes(), lengths * 8, cells.is_valid().to_numpy(zero_copy_only=False))


def _merged(matrices: list[NDArray[np.uint8]]) -> list[pa.Array]:
    return [_pieces(np.hstack(matrices))] if matrices else []


def _pieces(matrix: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    n, width = matrix.shape
    return _slices(matrix.tobytes(), np.full(n, width), valid)


def _slices(data: bytes, lengths: NDArray[np.int64], valid: NDArray[np.bool_] | None) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    buffers = [bits, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(lengths), buffers)


def _sha256(rows: pa.Array) -> pa.Array:
    """(n,) hex digests of n binary rows."""
    _, offsets, data = rows.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[rows.offset : rows.offset + len(rows) + 1].tolist()
    view, sha256 = memoryview(data), hashlib.sha256
    digests = b"".join([sha256(view[a:b]).digest() for a, b in pairwise(bounds)])
    places = np.arange(len(rows) + 1, dtype=np.int32) * (2 * hashlib.sha256().digest_size)
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(places.tobytes()), pa.py_buffer(digests.hex().encode()))
