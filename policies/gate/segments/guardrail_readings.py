"""What each look found of the guardrails: a table per look, append-only, from which the streams are put together."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

SCHEMA: Final = pa.schema([("interaction_id", pa.string()), ("channel", pa.string()), ("value", pa.float64())])


@dataclass(frozen=True, slots=True, repr=False)
class GuardrailReading:
    """m values that were final at one look and had not been at any before; NaN: nothing came, nothing stands in."""

    interaction_id: NDArray[np.str_]  # (m,)
    channel: NDArray[np.str_]  # (m,)
    value: NDArray[np.float64]  # (m,)

    def __repr__(self) -> str:
        return f"GuardrailReading(m={len(self.value)})"


NOTHING: Final = GuardrailReading(np.array([], np.str_), np.array([], np.str_), np.array([]))


def new_reading(found: pa.Table, earlier: Sequence[GuardrailReading]) -> GuardrailReading:
    """What this look adds: the matured rows of `found` (see `read_guardrails`) that no earlier look has read.

    A value that was read is never read again, so that nobody waits for a kinder one.
    """
    final = found.filter(found["matured"])
    names = pc.binary_join_element_wise(final["channel"], final["interaction_id"], "\n")
    read = [f"{c}\n{i}" for reading in earlier for c, i in zip(reading.channel, reading.interaction_id, strict=True)]
    fresh = final.filter(pc.invert(pc.is_in(names, pa.array(read, pa.string()))))
    return GuardrailReading(
        interaction_id=np.asarray(fresh["interaction_id"].to_pylist(), np.str_),
        channel=np.asarray(fresh["channel"].to_pylist(), np.str_),
        value=fresh["value"].cast(pa.float64()).fill_null(np.nan).to_numpy(),
    )


def values_at(
    readings: Sequence[GuardrailReading], *, channel: str, interaction_id: NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(value, look) of one channel for the n gate rows: NaN and 0 where no reading (one a look, from 1) has it."""
    value, look = np.full(len(interaction_id), np.nan), np.zeros(len(interaction_id), np.int64)
    order = np.argsort(interaction_id)
    for number, reading in enumerate(readings, start=1):
        mine = reading.channel == channel
        ids = reading.interaction_id[mine]
        at = np.searchsorted(interaction_id, ids, sorter=order)
        rows = order[np.minimum(at, len(order) - 1)] if len(order) else at
        known = interaction_id[rows] == ids if len(order) else np.zeros(len(ids), np.bool_)
        value[rows[known]], look[rows[known]] = reading.value[mine][known], number
    return value, look


def reading_to_parquet(reading: GuardrailReading) -> bytes:
    """zstd Parquet with page checksums: the same reading gives the same bytes."""
    columns = [
        pa.array(reading.interaction_id.tolist(), pa.string()),
        pa.array(reading.channel.tolist(), pa.string()),
        pa.array(reading.value),
    ]
    stream = io.BytesIO()
    table = pa.table(columns, schema=SCHEMA)
    pq.write_table(table, stream, compression="zstd", write_page_checksum=True, row_group_size=1 << 17, version="2.6")
    return stream.getvalue()


def reading_from_parquet(data: bytes) -> GuardrailReading:
    """The reading that `reading_to_parquet` wrote; verify the hash of `data` first."""
    table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    return GuardrailReading(
        np.asarray(table["interaction_id"].to_pylist(), np.str_),
        np.asarray(table["channel"].to_pylist(), np.str_),
        table["value"].to_numpy(),
    )
