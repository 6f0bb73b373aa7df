"""Lines cut at every comma, in C++: cells of text, whatever stands in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from data_contracts.readers.lines import Lines

CACHED_BYTES = 1 << 19  # cut at a time, so that the cells are still in the processor's cache when they are copied


def cut_at_commas(lines: Lines, index: NDArray[np.int64], names: Sequence[str]) -> tuple[NDArray[np.int64], pa.Table]:
    """Those of the lines `index` that have as many cells as `names`, and as many rows; an empty cell is null.

    The lines must be valid text, not blank, and have no return but one at the end.
    """
    if not len(index):
        return index, pa.schema([(name, pa.string()) for name in names]).empty_table()
    uneven: list[int] = []

    def leave_out(row: pcsv.InvalidRow) -> str:
        uneven.append(row.number - 1)
        return "skip"

    longest = int((lines.ends - lines.starts).max())
    table = pcsv.read_csv(
        pa.BufferReader(pa.py_buffer(lines.join(index))),
        read_options=pcsv.ReadOptions(use_threads=False, block_size=max(CACHED_BYTES, 2 * longest), column_names=names),
        parse_options=pcsv.ParseOptions(
            quote_char=False,
            ignore_empty_lines=False,
            invalid_row_handler=leave_out,
        ),
        convert_options=pcsv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            check_utf8=False,
        ),
    )
    return np.delete(index, uneven), table
