"""What the tests of corrections share: a stricter contract, readmission and replacement in one call, and P1 twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data_contracts.amendments.readmission import Readmission, Review, readmit, review
from data_contracts.amendments.supersession import Replacement
from data_contracts.batches import Accounting, count_accounting
from data_contracts.contract import Contract
from data_contracts.home import Home
from data_contracts.ingest import IngestResult, ingest, ingest_lock
from data_contracts.log_columns import Kind
from data_contracts.store import open_table, read_outcomes, read_quarantine, table_files
from tests.data_contracts.small_log import ACTIONS, CONTRACT, NOW, TASK

YOUNG = replace(  # a mistake of whoever wrote the contract: nobody older than 30
    CONTRACT, columns=tuple(replace(c, maximum=30) if c.name == "age" else c for c in CONTRACT.columns), sha256="1" * 64
)


def readmitted(
    home: Home, *, contract: Contract = CONTRACT, reason: str | None = None, batch: str | None = None, dry: bool = False
) -> Readmission:
    with ingest_lock(home, TASK) as scratch:
        by = Review(home, TASK, contract, ACTIONS, ("reward",), "tester", NOW, scratch)
        return (review if dry else readmit)(by, reason=reason, batch=batch)


def supersede(
    home: Home, batch_id: str, *paths: Path, kind: Kind = "interactions", contract: Contract = CONTRACT
) -> IngestResult:
    return ingest(
        home,
        task=TASK,
        contract=contract,
        actions=ACTIONS,
        paths=paths,
        kind=kind,
        now=NOW,
        replacement=Replacement(batch_id, "wrong prices", "tester"),
    )


def n_rows(home: Home, table: str) -> int:
    """Rows that the live files of a table hold."""
    import duckdb

    files = table_files(home, TASK, table)
    return int(duckdb.read_parquet(files).count("*").fetchall()[0][0]) if files else 0


def balance(home: Home) -> Accounting:
    """P1 by the records, and by counting rows."""
    total = count_accounting(home, TASK)
    assert total.balanced, total
    assert total.n_accepted == n_rows(home, "interactions") + n_rows(home, "outcomes")
    assert total.n_quarantined == n_rows(home, "quarantine") == read_quarantine(home, TASK).num_rows
    assert read_outcomes(home, TASK).num_rows == n_rows(home, "outcomes")
    return total


def versions(home: Home, table: str = "interactions") -> int:
    dt = open_table(home.table(TASK, table))
    assert dt is not None
    return int(dt.version())
