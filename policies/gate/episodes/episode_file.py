"""EpisodeColumns as the bytes of a Parquet file: the same columns give the same bytes."""

from __future__ import annotations

import io
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from policies.gate.episodes.episode_rows import EpisodeColumns


def columns_to_parquet(columns: EpisodeColumns, interaction_id: NDArray[np.str_]) -> bytes:
    """zstd Parquet with page checksums, a line for each gate row, in order; independent of time and machine."""
    named = {"interaction_id": interaction_id} | {f.name: getattr(columns, f.name) for f in fields(EpisodeColumns)}
    table = pa.table({name: _column(values) for name, values in named.items()})
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd", write_page_checksum=True, row_group_size=1 << 17, version="2.6")
    return stream.getvalue()


def columns_from_parquet(data: bytes) -> EpisodeColumns:
    """What `columns_to_parquet` wrote, every number as it was; verify the hash of `data` first."""
    table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    return EpisodeColumns(
        **{field.name: _array(table[field.name].combine_chunks()) for field in fields(EpisodeColumns)}
    )


def concatenate_columns(parts: list[EpisodeColumns]) -> EpisodeColumns:
    """The columns of several looks, in the order in which they were read."""
    names = [field.name for field in fields(EpisodeColumns)]
    return EpisodeColumns(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _column(values: NDArray[Any]) -> pa.Array:
    if values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).ravel()), values.shape[1])
    return pa.array(values.tolist(), pa.string()) if values.dtype.kind == "U" else pa.array(values)


def _array(column: pa.Array) -> NDArray[Any]:
    if pa.types.is_fixed_size_list(column.type):
        flat = column.flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, np.float64).reshape(len(column), column.type.list_size)
    if pa.types.is_string(column.type):
        return np.asarray(column.to_pylist(), dtype=np.str_)
    return np.asarray(column.to_numpy(zero_copy_only=False))
