"""Which rows of a batch are already known, by identity and digest: one anti-join against the store.

Only rows whose hashed identity comes twice, or is in the store, take part in it: 8 bytes for each of the others.
"""

from __future__ import annotations

import glob
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.log_columns import Kind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CHANNEL: dict[Kind, str] = {  # a channel may be observed more than once: its moment is part of the identity
    "interactions": "'' as channel",
    "outcomes": "channel || chr(0) || epoch_us(observed_at) as channel",
}
KNOWN = pa.schema([("position", pa.int64()), ("same", pa.bool_()), ("batch_id", pa.string())])
MET = "select distinct h from (select hash(interaction_id, channel) as h from stored) semi join mine using (h)"
BUCKET_BITS = 24  # of a hash: buckets hold one row each where a batch has a few million
MEMORY_LIMIT = "1GB"  # beyond it DuckDB spills into the scratch folder


def find_known(keys: pa.Table, stored: list[str], *, kind: Kind, batch_id: str, scratch: Path) -> pa.Table:
    """Rows of `keys` that are not new, at most one line for each, in order of position.

    `keys` has position, interaction_id, channel ("" for interactions; of outcomes with the moment, see CHANNEL) and
    row_digest; `stored` are the table's files.
    Returns position, same (True: a duplicate, False: another payload), and batch_id of the row that was first.
    Rows that this very batch committed before a crash do not count.
    """
    import duckdb

    query = files("data_contracts").joinpath("duplicates.sql").read_text()
    with duckdb.connect(
        config={"temp_directory": str(scratch), "memory_limit": MEMORY_LIMIT, "threads": 1}
    ) as database:
        database.execute("set autoinstall_known_extensions = false; set autoload_known_extensions = false")
        database.register("keys", keys)
        if stored:
            paths = [glob.escape(path) for path in stored]  # DuckDB would read [1] in a folder's name as a pattern
            source = database.read_parquet(paths, hive_partitioning=True)
            source = source.project(f"interaction_id, {CHANNEL[kind]}, row_digest, batch_id")
        else:
            source = database.from_arrow(keys.slice(0, 0).append_column("batch_id", pa.nulls(0, pa.string())))
        source.create_view("stored")
        suspects = _suspects(database)
        if not suspects.any():
            return KNOWN.empty_table()
        database.register("staged", keys.filter(pa.array(suspects)))
        return database.sql(query, params={"batch_id": batch_id}).to_arrow_table()


def _suspects(database: DuckDBPyConnection) -> NDArray[np.bool_]:
    """(n,) True where another row, or a row in the store, has the hash of a row's identity; of few others besides."""
    mine = _hashes(database, "select hash(interaction_id, channel) as h from keys")
    order = np.sort(mine)
    database.register("mine", pa.table({"h": order}))
    met = _hashes(database, MET)
    suspect = np.zeros(1 << BUCKET_BITS, dtype=np.bool_)
    for hashes in (order[1:][order[1:] == order[:-1]], met):
        suspect[hashes >> (64 - BUCKET_BITS)] = True
    suspected: NDArray[np.bool_] = suspect[mine >> (64 - BUCKET_BITS)]
    return suspected


def _hashes(database: DuckDBPyConnection, query: str) -> NDArray[np.uint64]:
    found: NDArray[np.uint64] = database.sql(query).to_arrow_table()["h"].to_numpy()
    return found
