"""Small pieces of real work that prove the data stack boots on this machine."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa


def boot_store(folder: Path) -> str:
    """Append to a Delta table exactly once and read it back through DuckDB; raises what the libraries raise."""
    import deltalake
    import duckdb

    table_path = str(folder / "table")
    deltalake.write_deltalake(table_path, pa.table({"x": [1, 2, 3]}))
    files = deltalake.DeltaTable(table_path).file_uris()
    with duckdb.connect(config={"threads": 1}) as connection:
        row = connection.execute("SELECT sum(x) FROM read_parquet(?)", [files]).fetchone()
    if row is None or row[0] != 6:
        raise ValueError(f"DuckDB read {row} from a Delta table: expected a sum of 6")
    return f"deltalake {deltalake.__version__}, duckdb {duckdb.__version__}, pyarrow {pa.__version__}"


def boot_expectations() -> str:
    """Judge three numbers with Great Expectations."""
    import logging

    import pandas as pd

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("doctor").add_dataframe_asset("numbers")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": pd.DataFrame({"x": [1, 2, 3]})})
    result = batch.validate(gx.expectations.ExpectColumnMaxToBeBetween(column="x", max_value=2))
    if result.success:
        raise ValueError("Great Expectations passed a maximum of 3 where 2 is allowed")
    return f"great_expectations {gx.__version__} finds a planted violation"
