"""GateRows as the bytes of a Parquet file: the same rows give the same bytes."""

from __future__ import annotations

import io
from dataclasses import fields
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from policies.gate.records import GateRows

TEXT: Final = ("interaction_id", "unit_id", "policy_version")
WEIGHT: Final = "weight"  # only in the file where rows differ from 1
MATRICES: Final = ("behavior", "champion", "challenger", "reward_model")  # list columns, one entry per action


def rows_to_parquet(rows: GateRows) -> bytes:
    """zstd Parquet with page checksums; nothing in it depends on time, machine or file name."""
    names = [field.name for field in fields(GateRows) if field.name != WEIGHT or (rows.weight != 1).any()]
    columns = {name: _column(name, getattr(rows, name)) for name in names}
    stream = io.BytesIO()
    pq.write_table(
        pa.table(columns), stream, compression="zstd", write_page_checksum=True, row_group_size=1 << 17, version="2.6"
    )
    return stream.getvalue()


def rows_from_parquet(data: bytes) -> GateRows:
    """The rows that `rows_to_parquet` wrote, every number as it was; verify the hash of `data` first."""
    table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    names = [field.name for field in fields(GateRows) if field.name != WEIGHT or WEIGHT in table.column_names]
    return GateRows(**{name: _array(name, table[name]) for name in names})


def interaction_ids(data: bytes) -> NDArray[np.str_]:
    """(n,) ids alone of a file of rows."""
    return _array("interaction_id", pq.read_table(io.BytesIO(data), columns=["interaction_id"])["interaction_id"])


def _column(name: str, values: NDArray[np.generic]) -> pa.Array:
    if name in TEXT:
        return pa.array(values.tolist(), pa.string())
    if name in MATRICES:
        flat = pa.array(np.ascontiguousarray(values, np.float64).ravel())
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.array(np.ascontiguousarray(values))


def _array(name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    if name in TEXT:
        return np.asarray(column.to_pylist(), dtype=np.str_)
    if name in MATRICES:
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, np.float64).reshape(len(column), column.type.list_size)
    return np.asarray(column.to_numpy(), np.int64 if name == "action" else np.float64)
