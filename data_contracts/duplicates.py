"""Which rows of a batch are already known, by identity and digest: one anti-join against the store."""

from __future__ import annotations

import glob
from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from data_contracts.log_columns import Kind

MEMORY_LIMIT = "2GB"  # beyond it DuckDB spills into the scratch folder


def find_known(keys: pa.Table, stored: list[str], *, kind: Kind, batch_id: str, scratch: Path) -> pa.Table:
    """Rows of `keys` that are not new, at most one line for each, in order of position.

    `keys` has position, interaction_id, channel ("" for interactions) and row_digest; `stored` are the table's files.
    Returns position, same (True: a duplicate, False: another payload), and batch_id of the row that was first.
    Rows that this very batch committed before a crash do not count.
    """
    import duckdb

    query = files("data_contracts").joinpath("duplicates.sql").read_text()
    with duckdb.connect(
        config={"temp_directory": str(scratch), "memory_limit": MEMORY_LIMIT, "threads": 1}
    ) as database:
        database.execute("set autoinstall_known_extensions = false; set autoload_known_extensions = false")
        database.register("staged", keys)
        if stored:
            paths = [glob.escape(path) for path in stored]  # DuckDB would read [1] in a folder's name as a pattern
            source = database.read_parquet(paths, hive_partitioning=True)
        else:
            source = database.from_arrow(keys.slice(0, 0).append_column("batch_id", pa.nulls(0, pa.string())))
        channel = "channel" if kind == "outcomes" else "'' as channel"
        source.project(f"interaction_id, {channel}, row_digest, batch_id").create_view("stored")
        return database.sql(query, params={"batch_id": batch_id}).to_arrow_table()
