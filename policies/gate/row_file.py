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
MATRICES: Final = ("behavior", "champion", "challenger", "reward_model", "seed_logged", "seed_direct", "other_model")
SEGMENT: Final = "segment:"  # before the name of a segment's column


def rows_to_parquet(rows: GateRows) -> bytes:
    """zstd Parquet with page checksums; nothing in it depends on time, machine or file name.

    A column that says nothing (weights of 1, no other seeds, no segments) is not written.
    """
    names = [field.name for field in fields(GateRows) if field.name != "segments" and _says_something(rows, field.name)]
    columns = {name: _column(name, getattr(rows, name)) for name in names}
    columns |= {f"{SEGMENT}{name}": _values(values) for name, values in sorted(rows.segments.items())}
    stream = io.BytesIO()
    pq.write_table(
        pa.table(columns), stream, compression="zstd", write_page_checksum=True, row_group_size=1 << 17, version="2.6"
    )
    return stream.getvalue()


def rows_from_parquet(data: bytes) -> GateRows:
    """The rows that `rows_to_parquet` wrote, every number as it was; verify the hash of `data` first."""
    table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    segments = [name for name in table.column_names if name.startswith(SEGMENT)]
    columns = {name: _array(name, table[name]) for name in table.column_names if name not in segments}
    return GateRows(**columns, segments={name.removeprefix(SEGMENT): _text(table[name]) for name in segments})


def interaction_ids(data: bytes) -> NDArray[np.str_]:
    """(n,) ids alone of a file of rows."""
    return _array("interaction_id", pq.read_table(io.BytesIO(data), columns=["interaction_id"])["interaction_id"])


def _says_something(rows: GateRows, name: str) -> bool:
    values = getattr(rows, name)
    match name:
        case "weight":
            return bool((values != 1).any())
        case "day":
            return not np.isnat(values).all()
        case "source":
            return bool(values.any())
        case "seed_logged" | "seed_direct" | "other_model":
            return bool(values.shape[1])
        case _:
            return True


def _column(name: str, values: NDArray[Any]) -> pa.Array:
    if name in MATRICES:
        flat = pa.array(np.ascontiguousarray(values, np.float64).ravel())
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return _values(values)


def _values(values: NDArray[Any]) -> pa.Array:
    return (
        pa.array(values.tolist(), pa.string()) if values.dtype.kind == "U" else pa.array(np.ascontiguousarray(values))
    )


def _text(column: pa.ChunkedArray) -> NDArray[np.str_]:
    return np.asarray(column.to_pylist(), dtype=np.str_)


def _array(name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    if name in TEXT:
        return _text(column)
    if name in MATRICES:
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, np.float64).reshape(len(column), column.type.list_size)
    types: dict[str, Any] = {"action": np.int64, "day": "M8[D]", "source": np.uint8}
    return np.asarray(column.to_numpy(), types.get(name, np.float64))
