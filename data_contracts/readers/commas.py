"""Lines cut at every comma, a block at a time: where their cells stand, and the text in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.readers.lines import Lines

COMMA = ord(",")
MOST_BYTES = 1 << 28  # of a block that is cut, with 32-bit places; a larger one is a single line for the most part

Indices = NDArray[np.int64]  # (n,) of lines
Mask = NDArray[np.bool_]  # (n,)
Places = NDArray[np.int32]  # (n,) in a block, ascending


@dataclass(frozen=True, slots=True, repr=False)
class Cells:
    """Cell k of line i is data[starts[k, i] : ends[k, i]]."""

    data: bytearray
    starts: NDArray[np.int32]  # (columns, n)
    ends: NDArray[np.int32]  # (columns, n)


def cut_at_commas(lines: Lines, index: Indices, n_columns: int) -> tuple[Indices, Cells]:
    """Those of the lines `index` (ascending) that have as many cells, and their cells, whatever stands in them."""
    if len(lines.data) > MOST_BYTES:
        index = index[:0]
    at = np.flatnonzero(lines.codes == COMMA)
    first = np.searchsorted(at, lines.starts)  # the first comma in or behind each line; a header has some before
    at, counts = at[first[0] :], np.diff(first, append=len(at))
    chosen = np.zeros(lines.n, dtype=np.bool_)
    chosen[index] = counts[index] == n_columns - 1
    kept = np.flatnonzero(chosen)
    commas = at if len(kept) == lines.n else at[np.repeat(chosen, counts)]
    bounds = np.empty((n_columns + 1, len(kept)), dtype=np.int32)
    bounds[0], bounds[-1] = lines.starts[kept] - 1, lines.text_ends()[kept]
    bounds[1:-1] = commas.reshape(len(kept), n_columns - 1).T
    return kept, Cells(lines.data, bounds[:-1] + 1, bounds[1:])


def text_array(data: bytearray, bounds: Places) -> pa.Array:
    """(n,) texts of which each begins where the one before ends; bounds: (n + 1,). No copy."""
    return pa.StringArray.from_buffers(max(0, len(bounds) - 1), pa.py_buffer(bounds), pa.py_buffer(data))


def texts(data: bytearray, starts: Places, ends: Places, *, there: Mask | None = None) -> pa.Array:
    """(n,) data[start:end] for each; null where it is not `there` (None: all are). No text overlaps another."""
    n = len(starts)
    bounds = np.empty(2 * n + 1, dtype=np.int32)  # of a text, what follows it, a text, …
    bounds[0:-1:2], bounds[1::2] = starts, ends
    bounds[-1] = ends[-1] if n else 0
    which = pa.array(np.arange(0, 2 * n, 2, dtype=np.int32), mask=None if there is None else ~there)
    return text_array(data, bounds).take(which)
