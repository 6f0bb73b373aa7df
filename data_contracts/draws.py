"""A sample of the log that every run draws alike, whatever the order of the rows and the chunks they come in."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DRAW: Final = "sluice:draw"  # a name that no contract can give a column


def draw(rows: pa.Table, *, limit: int, before: pa.Table | None = None) -> pa.Table:
    """The `limit` of `rows` (n, with interaction_id), and of those drawn `before`, that have the smallest hash of
    their id; all where there are no more. They have their hash beside their columns."""
    drawn = rows.append_column(DRAW, _hashes(rows["interaction_id"]))
    both = drawn if before is None else pa.concat_tables([before, drawn])
    if both.num_rows <= limit:
        return both
    return both.take(pc.select_k_unstable(both, limit, [(DRAW, "ascending")])).combine_chunks()


def _hashes(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """(n,) uint64, spread evenly."""
    with _database().cursor() as database:
        database.register("rows", pa.table({"id": ids}))
        return database.sql("select hash(id) as h from rows").to_arrow_table()["h"]


@cache
def _database() -> DuckDBPyConnection:
    """One for all, because it takes longer to open than to hash a chunk."""
    import duckdb

    return duckdb.connect(config={"threads": 1})
