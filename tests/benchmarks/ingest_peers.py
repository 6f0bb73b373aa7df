"""One run of ingest, or of its peer, as a process: `python -m tests.benchmarks.ingest_peers PEER FILE FOLDER`.

Prints one JSON object: rows kept, lines rejected, CPU seconds (user and system, imports left out) and peak resident
bytes.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.wide_log import ACTIONS, COLUMNS, CONTRACT, NOW, TASK

DUCKDB_TYPES = {
    "string": "VARCHAR",
    "number": "DOUBLE",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMPTZ",
}
READ = {
    ".jsonl": "read_json('{path}', format = 'newline_delimited', columns = {columns}, ignore_errors = true)",
    ".csv": "read_csv('{path}', header = true, auto_detect = false, columns = {columns}, ignore_errors = true)",
}
COPY = """
copy (select distinct on (interaction_id) * from {source} where interaction_id is not null)
to '{target}' (format parquet, compression zstd)
"""

Counts = tuple[int, int]  # rows kept, lines rejected


def sluice(path: Path, folder: Path) -> Counts:
    from data_contracts.home import Home
    from data_contracts.ingest import ingest

    result = ingest(Home(folder), task=TASK, contract=CONTRACT, actions=ACTIONS, paths=[path], now=NOW)
    return result.n_accepted, result.n_quarantined


def duckdb(path: Path, folder: Path) -> Counts:
    import duckdb

    columns = {name: DUCKDB_TYPES[kind] for name, kind in COLUMNS.items()}
    source = READ[path.suffix].format(path=path, columns=columns)
    with duckdb.connect(config={"threads": 1}) as database:
        database.execute("set TimeZone = 'UTC'")
        database.execute(COPY.format(source=source, target=folder / "rows.parquet"))
        kept: int = database.execute(f"select count(*) from '{folder / 'rows.parquet'}'").fetchall()[0][0]
    return kept, 0


PEERS: dict[str, Callable[[Path, Path], Counts]] = {"sluice": sluice, "duckdb": duckdb}


def main(peer: str, path: Path, folder: Path) -> None:
    import deltalake  # noqa: F401  the libraries of both are loaded before the clock starts
    import duckdb  # noqa: F401
    import pandas  # noqa: F401  pyarrow loads it when it first makes an array of a list

    import data_contracts.ingest  # noqa: F401

    before = os.times()
    rows, rejected = PEERS[peer](path, folder)
    after = os.times()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "rows": rows,
                "rejected": rejected,
                "seconds": after.user - before.user + after.system - before.system,
                "peak": used.ru_maxrss * 1024,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
