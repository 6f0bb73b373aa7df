"""Rows read in chunks, as often as needed, and the few numbers per row that are kept for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.drift.rows import MATURED
from data_contracts.errors import StoreError

CHUNK_ROWS: Final = 1 << 16  # what is held at once; 100 columns of it are 50 MB
PLACED_AT_ONCE: Final = 1 << 20

Floats = NDArray[np.float64]


class Chunks(Protocol):
    """Rows that can be read again: the same rows in the same order every time."""

    @property
    def schema(self) -> pa.Schema: ...

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows with `columns` (all, when None), in chunks of bounded size."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class TableChunks:
    """Rows that are in memory anyway."""

    table: pa.Table

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        table = self.table if columns is None else self.table.select(list(columns))
        for start in range(0, table.num_rows, CHUNK_ROWS):
            yield table.slice(start, CHUNK_ROWS)


@dataclass(frozen=True, slots=True)
class ParquetChunks:
    """Rows of one Parquet file whose bytes are known to be whole, such as a snapshot's."""

    path: Path

    @property
    def schema(self) -> pa.Schema:
        import pyarrow.parquet as pq

        return pq.read_schema(self.path)

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        import pyarrow.parquet as pq

        wanted = None if columns is None else list(columns)
        # pyarrow 26 reads ahead to the end of the file, and keeps it, unless told not to
        with pq.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(CHUNK_ROWS, columns=wanted):
                yield pa.Table.from_batches([batch]).select(wanted if wanted is not None else batch.schema.names)


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What is known of all n rows at once: 21 bytes a row, in the order of the source."""

    id_hash: NDArray[np.uint64]  # (n,) of the interaction_id
    occurred_at: NDArray[np.datetime64]  # (n,) microseconds
    batch: NDArray[np.int32]  # (n,) place in the order of ingestion from 1; 0 for a batch that is not in it
    matured: NDArray[np.bool_]  # (n,)

    @property
    def n(self) -> int:
        return len(self.id_hash)


def read_keys(rows: Chunks, *, batch_order: tuple[str, ...]) -> Keys:
    """One pass over the ids, times, batches and maturity of `rows`; without column `matured` all rows are.

    Ids are kept as 64-bit hashes: among 5M rows against 5M, one row is taken for another with probability 1e-6, and
    then one row too few is judged.
    """
    import duckdb

    optional = [name for name in ("batch_id", MATURED) if name in rows.schema.names]
    order = pa.array(batch_order, pa.string())
    hashes: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
    times: list[NDArray[np.datetime64]] = [np.empty(0, "datetime64[us]")]
    batches: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    matured: list[NDArray[np.bool_]] = [np.empty(0, np.bool_)]
    with duckdb.connect(":memory:", config={"enable_external_access": False, "threads": 1}) as connection:
        for chunk in rows.chunks(["interaction_id", "occurred_at", *optional]):
            connection.register("chunk", chunk.select(["interaction_id"]))
            hashed = connection.execute("SELECT hash(interaction_id) AS id_hash FROM chunk").fetchnumpy()["id_hash"]
            hashes.append(np.asarray(hashed, np.uint64))
            times.append(_times(chunk))
            batches.append(_places(chunk["batch_id"], order) if "batch_id" in optional else _none(chunk))
            matured.append(_flags(chunk[MATURED]) if MATURED in optional else np.ones(chunk.num_rows, np.bool_))
    return Keys(_joined(hashes), _joined(times), _joined(batches), _joined(matured))


def place_in(keys: Keys, known: Keys) -> NDArray[np.int32]:
    """(n,) index in `known` of each of the n rows of `keys`, -1 where it is not among them."""
    order = np.argsort(known.id_hash).astype(np.int32)
    ranked = known.id_hash[order]
    place = np.full(keys.n, -1, np.int32)
    for start in range(0, keys.n if known.n else 0, PLACED_AT_ONCE):
        asked = keys.id_hash[start : start + PLACED_AT_ONCE]
        rising = np.argsort(asked)  # searched in their order, they stay in the processor's cache
        at = np.minimum(np.searchsorted(ranked, asked[rising]), known.n - 1)
        place[start + rising] = np.where(ranked[at] == asked[rising], order[at], -1)
    return place


def read_again(rows: Chunks, keys: Keys, columns: Sequence[str]) -> Iterator[tuple[pa.Table, slice]]:
    """The chunks of `rows` with `columns`, and where they lie in `keys`.

    Raises StoreError when these are not the rows of which `keys` were read, in their order.
    """
    start = 0
    for chunk in rows.chunks(tuple(dict.fromkeys([*columns, "occurred_at"]))):
        part = slice(start, start + chunk.num_rows)
        if not np.array_equal(_times(chunk), keys.occurred_at[part]):
            raise _changed(keys.n, f"others from row {start:,} on")
        yield chunk.select(list(columns)), part
        start = part.stop
    if start != keys.n:
        raise _changed(keys.n, f"{start:,}")


def sample_rows(rows: Chunks, keys: Keys, columns: Sequence[str], *, limit: int) -> pa.Table:
    """All rows, or the `limit` with the smallest hashed ids: the same ones in whatever order the rows come."""
    largest = keys.id_hash.max(initial=0) if keys.n <= limit else np.partition(keys.id_hash, limit - 1)[limit - 1]
    parts = [rows.schema.empty_table().select(list(columns))]
    parts += [chunk.filter(pa.array(keys.id_hash[part] <= largest)) for chunk, part in read_again(rows, keys, columns)]
    return pa.concat_tables(parts)


def _changed(n: int, got: str) -> StoreError:
    return StoreError(
        f"rows changed while their drift was checked: expected the same {n:,} rows in the same order at every reading, "
        f"got {got}. Run again when nothing is being ingested."
    )


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """One array; the parts are given up, so that not everything is held twice."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def _places(batch_id: pa.ChunkedArray, order: pa.Array) -> NDArray[np.int32]:
    return np.asarray(pc.index_in(batch_id, order).fill_null(-1), np.int32) + np.int32(1)


def _none(chunk: pa.Table) -> NDArray[np.int32]:
    return np.zeros(chunk.num_rows, np.int32)


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(column.fill_null(False), np.bool_)


def _times(table: pa.Table) -> NDArray[np.datetime64]:
    return np.asarray(table["occurred_at"].cast(pa.int64()), np.int64).astype("datetime64[us]")
