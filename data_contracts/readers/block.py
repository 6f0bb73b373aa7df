"""What a reader hands over for one block of lines: typed rows, and rejected lines with their reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rejected:
    """One line that is not a row; `line` is 1-based, `offset` in bytes (-1: the file has no lines)."""

    line: int
    offset: int
    raw: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of one file, in order. `n_lines` = rows of `table` + rejected."""

    n_lines: int
    table: pa.Table  # columns by store name, store types; only the columns that the file carries
    line: NDArray[np.int64]  # (rows,) 1-based
    offset: NDArray[np.int64]  # (rows,) of the line's first byte in the decompressed file
    raw: Callable[[int], bytes]  # row of `table` -> the bytes as they came
    rejected: list[Rejected]


def reason(column: str, value: object, rule: str) -> str:
    """`<column> <value>: expected <rule>`; the one spelling of a broken value, bounded in length."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    text = "missing" if value is None else f"{value}"
    shown = text if len(text) <= 60 else text[:57] + "..."
    return f"{column} {shown}: expected {rule}"


def whole(cells: pa.ChunkedArray) -> pa.Array:
    """A column as one array; a single chunk is not copied, as `combine_chunks` would."""
    return cells.chunk(0) if cells.num_chunks == 1 else cells.combine_chunks()
