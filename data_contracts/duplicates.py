"""Which rows of a batch are already known, by identity and content: one anti-join against the store.

Only rows whose hashed identity comes twice, or is in the store, take part in it: 8 bytes for each of the others. Their
content is compared with that of the rows they meet, column by column.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.interactions import content_names
from data_contracts.log_columns import Kind
from data_contracts.row_digest import row_digests
from data_contracts.staging import POSITION

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CHANNEL: dict[Kind, str] = {  # as `_identity` spells it: a channel may be observed more than once, at other moments
    "interactions": "''",
    "outcomes": "channel || chr(0) || epoch_us(observed_at)",
}
KEYS = pa.schema([("interaction_id", pa.string()), ("channel", pa.string())])
MET = pa.schema([("row", pa.int64()), ("same", pa.bool_()), ("batch_id", pa.string())])
KNOWN = pa.schema([("position", pa.int64()), ("same", pa.bool_()), ("batch_id", pa.string())])
HASHES = "select hash(interaction_id, channel) as h from rows"
MET_HASHES = "select distinct h from (select hash(interaction_id, channel) as h from stored) semi join mine using (h)"
MEETINGS = "select row, filename, file_row_number from stored join staged using (interaction_id, channel)"
BUCKET_BITS = 22  # of a hash: buckets hold one row each where a batch has a million
TOUCHED_BYTES = 100_000_000  # of rows, some of which were looked at
MEMORY_LIMIT = "1GB"  # beyond it DuckDB spills into the scratch folder


def find_known(
    rows: pa.Table,
    stored: list[str],
    *,
    kind: Kind,
    batch_id: str,
    scratch: Path,
    forget: Callable[[], None] = lambda: None,
) -> pa.Table:
    """Those of `rows` that are not new, one line for each, in order of position.

    `rows` are accepted rows with their POSITION; `stored` are the table's files. `forget` gives back the memory of rows
    that are mapped from disk; it is called when some of many have been touched.
    Returns position, same (True: a duplicate, False: another content), and batch_id of the row that was first.
    Rows that this very batch committed before a crash do not count.
    """
    import duckdb

    query = files("data_contracts").joinpath("duplicates.sql").read_text()
    with duckdb.connect(
        config={"temp_directory": str(scratch), "memory_limit": MEMORY_LIMIT, "threads": 1}
    ) as database:
        database.execute("set autoinstall_known_extensions = false; set autoload_known_extensions = false")
        keys = pa.table(_identity(rows, kind), schema=KEYS)
        database.register("rows", keys)
        if stored:
            _show_stored(database, stored, kind)
        suspected = _suspects(database, any_stored=bool(stored))
        if not suspected.any():
            return KNOWN.empty_table()
        numbered = keys.append_column("row", [np.arange(rows.num_rows)]).append_column("position", rows[POSITION])
        database.register("staged", numbered.filter(pa.array(suspected)))
        at = partial(_rows_at, rows, forget=forget)
        met = _compare_with_stored(at, database.sql(MEETINGS).to_arrow_table()) if stored else MET.empty_table()
        database.register("met", met)
        repeated = database.sql(query, params={"batch_id": batch_id}).to_arrow_table()
    repeated = pa.table(
        {
            "row": repeated["row"],
            "same": _same(at(repeated["row"].to_numpy()), at(repeated["first"].to_numpy())),
            "batch_id": pa.repeat(batch_id, repeated.num_rows),
        },
        schema=MET,
    )
    known = pa.concat_tables([met.filter(pc.not_equal(met["batch_id"], batch_id)), repeated])
    known = known.append_column("position", [rows[POSITION].to_numpy()[known["row"].to_numpy()]])
    return known.select(KNOWN.names).sort_by("position")


def _show_stored(database: DuckDBPyConnection, paths: list[str], kind: Kind) -> None:
    """A view of the identity and the place of every row in the files."""
    escaped = [glob.escape(path) for path in paths]  # DuckDB would read [1] in a folder's name as a pattern
    rows = database.read_parquet(escaped, filename=True, file_row_number=True)
    rows.project(f"interaction_id, {CHANNEL[kind]} as channel, filename, file_row_number").create_view("stored")


def _identity(rows: pa.Table, kind: Kind) -> dict[str, pa.ChunkedArray]:
    """What two rows must share to be the same one: the interaction, and of an outcome its channel and moment."""
    channel = pa.repeat("", rows.num_rows)
    if kind == "outcomes":
        moments = rows["observed_at"].cast(pa.int64()).cast(pa.string())
        channel = pc.binary_join_element_wise(rows["channel"], moments, "\0")
    return {"interaction_id": rows["interaction_id"], "channel": channel}


def _suspects(database: DuckDBPyConnection, *, any_stored: bool) -> NDArray[np.bool_]:
    """(n,) True where another row, or a row in the store, has the hash of a row's identity; of few others besides."""
    mine = _hashes(database, HASHES)
    order = np.sort(mine)
    found = [order[1:][order[1:] == order[:-1]]]
    if any_stored:
        database.register("mine", pa.table({"h": order}))
        found.append(_hashes(database, MET_HASHES))
    suspect = np.zeros(1 << BUCKET_BITS, dtype=np.bool_)
    for hashes in found:
        suspect[hashes >> (64 - BUCKET_BITS)] = True
    suspected: NDArray[np.bool_] = suspect[mine >> (64 - BUCKET_BITS)]
    return suspected


def _hashes(database: DuckDBPyConnection, query: str) -> NDArray[np.uint64]:
    found: NDArray[np.uint64] = database.sql(query).to_arrow_table()["h"].to_numpy()
    return found


def _compare_with_stored(rows_at: Callable[[NDArray[np.int64]], pa.Table], meetings: pa.Table) -> pa.Table:
    """For each meeting of a row with one of the store: the row, whether both say the same, and the other's batch.

    The store is read a row group at a time; `meetings` has row, filename and file_row_number.
    """
    met = [MET.empty_table()]
    names = meetings["filename"].combine_chunks().dictionary_encode()
    row, number = meetings["row"].to_numpy(), meetings["file_row_number"].to_numpy()
    for code, path in enumerate(names.dictionary.to_pylist()):
        mine = np.flatnonzero(names.indices.to_numpy() == code)
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            ends = np.cumsum(sizes)
            groups = np.searchsorted(ends, number[mine], side="right")
            for group in np.unique(groups).tolist():
                here = mine[groups == group]
                others = file.read_row_group(group, use_threads=False)
                others = others.take(pa.array(number[here] - (ends[group] - sizes[group])))
                same = _same(rows_at(row[here]), others)
                met.append(pa.table([pa.array(row[here]), same, others["batch_id"]], schema=MET))
    return pa.concat_tables(met)


def _rows_at(rows: pa.Table, index: NDArray[np.int64], *, forget: Callable[[], None]) -> pa.Table:
    """The rows `index`, a piece at a time: Arrow would copy all of a column to take a few from its pieces."""
    order = np.argsort(index, kind="stable")
    ascending, start, parts, touched = index[order], 0, [], 0
    for batch in rows.to_batches():
        first, last = np.searchsorted(ascending, (start, start + batch.num_rows))
        if last > first:
            parts.append(pa.table(batch.take(pa.array(ascending[first:last] - start))))
            touched += batch.nbytes
        if touched > TOUCHED_BYTES:
            forget()
            touched = 0
        start += batch.num_rows
    found = pa.concat_tables(parts) if parts else rows.slice(0, 0)
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return found if (order[1:] > order[:-1]).all() else found.take(pa.array(inverse))


def _same(left: pa.Table, right: pa.Table) -> pa.Array:
    """(n,) whether the rows of both say the same; a column without a value is one that is not there."""
    same = np.ones(left.num_rows, dtype=np.bool_)
    for name in content_names({*left.column_names, *right.column_names}):
        a, b = (t[name] if name in t.column_names else pa.nulls(t.num_rows) for t in (left, right))
        equal = pc.and_(pc.is_null(a), pc.is_null(b))
        if pa.types.is_list(a.type) and pa.types.is_list(b.type):
            equal = pc.equal(row_digests(left, [name]), row_digests(right, [name]))
        elif a.type == b.type:
            equal = pc.fill_null(pc.or_kleene(pc.equal(a, b), equal), False)
        same &= equal.to_numpy(zero_copy_only=False) if isinstance(equal, pa.Array) else equal.to_numpy()
    return pa.array(same)
