"""The store appends once per batch, shows whole commits only, and notices changed bytes."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts import store
from data_contracts.delta import open_table
from data_contracts.errors import IntegrityError, StoreError
from data_contracts.home import Home
from data_contracts.interactions import interaction_schema, outcome_schema, quarantine_schema
from data_contracts.log_columns import own_types
from tests.data_contracts.small_log import CONTRACT, START, TASK, jsonl, row, rows, take_in

SCHEMA = interaction_schema(own_types(CONTRACT))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder whose name DuckDB would take for a pattern, and whose space Delta's log escapes."""
    return Home(tmp_path / "my store[1] é")


def table(*ids: str, days: int = 1) -> pa.Table:
    return pa.Table.from_pylist(
        [{"interaction_id": i, "day": START.date().replace(day=1 + k % days)} for k, i in enumerate(ids)], schema=SCHEMA
    )


def ids(home: Home, version: int | None = None) -> list[str]:
    return sorted(store.read_interactions(home, TASK, version=version)["interaction_id"].to_pylist())


def test_an_empty_store_says_what_to_do(home: Home) -> None:
    with pytest.raises(StoreError, match="sluice ingest small"):
        store.read_interactions(home, TASK)
    assert store.read_outcomes(home, TASK).schema == outcome_schema()
    assert store.read_quarantine(home, TASK).schema == quarantine_schema()
    assert store.table_version(home, TASK) is None
    assert store.table_files(home, TASK, "interactions") == []
    assert store.verify_tables(home, TASK) == []


def test_a_batch_is_appended_once(home: Home) -> None:
    first = store.append(home, TASK, "interactions", table("a", "b"), batch_id="1" * 64)
    assert store.append(home, TASK, "interactions", table("a", "b"), batch_id="1" * 64) == first
    second = store.append(home, TASK, "interactions", table("c"), batch_id="2" * 64)
    assert second == first + 1 == store.table_version(home, TASK)
    assert ids(home) == ["a", "b", "c"]
    assert ids(home, version=first) == ["a", "b"]
    assert store.read_interactions(home, TASK).schema == SCHEMA


def test_chunks_of_one_batch_are_one_commit(home: Home) -> None:
    version = store.append(home, TASK, "interactions", iter([table("a"), table("b", "c", days=2)]), batch_id="1" * 64)
    assert version == 1  # 0 made the table
    assert ids(home) == ["a", "b", "c"]
    days = {Path(file).parent.name for file in store.table_files(home, TASK, "interactions")}
    assert days == {"day=2026-10-01", "day=2026-10-02"}


def test_files_are_zstd_and_live_ones_only(home: Home) -> None:
    store.append(home, TASK, "interactions", table("a", "b", days=2), batch_id="1" * 64)
    folder = home.table(TASK, "interactions")
    pq.write_table(table("stray").drop_columns(["day"]), folder / "day=2026-10-01" / "stray.parquet")
    files = store.table_files(home, TASK, "interactions")
    assert len(files) == 2
    assert ids(home) == ["a", "b"]
    assert {pq.ParquetFile(f).metadata.row_group(0).column(0).compression for f in files} == {"ZSTD"}


def test_duckdb_reads_the_files_and_their_day(tmp_path: Path) -> None:
    home = Home(tmp_path / "my store")
    store.append(home, TASK, "interactions", table("a", "b", days=2), batch_id="1" * 64)
    files = store.table_files(home, TASK, "interactions")
    query = "select interaction_id, day::varchar from read_parquet($files, hive_partitioning = true) order by 1"
    assert duckdb.execute(query, {"files": files}).fetchall() == [("a", "2026-10-01"), ("b", "2026-10-02")]


def test_a_file_that_was_written_but_not_committed_is_not_read(home: Home) -> None:
    store.append(home, TASK, "interactions", table("a"), batch_id="1" * 64)
    orphan = home.table(TASK, "interactions") / "day=2026-10-01" / f"{'2' * 64}-0.parquet"
    pq.write_table(table("b").drop_columns(["day"]), orphan)
    assert ids(home) == ["a"]
    store.append(home, TASK, "interactions", table("b"), batch_id="2" * 64)
    assert ids(home) == ["a", "b"]


def test_a_later_contract_may_add_a_column_but_not_change_one(home: Home) -> None:
    store.append(home, TASK, "interactions", table("a"), batch_id="1" * 64)
    wider = interaction_schema({**own_types(CONTRACT), "height": pa.float64()})
    more = pa.Table.from_pylist([{"interaction_id": "b", "day": START.date(), "height": 1.8}], schema=wider)
    store.append(home, TASK, "interactions", more, batch_id="2" * 64)
    found = store.read_interactions(home, TASK)
    assert dict(zip(found["interaction_id"].to_pylist(), found["height"].to_pylist(), strict=True)) == {
        "a": None,
        "b": 1.8,
    }
    changed = interaction_schema({**own_types(CONTRACT), "age": pa.string()})
    with pytest.raises(StoreError, match=r"changed types.*expected int64 in column age, got string"):
        store.append(home, TASK, "interactions", changed.empty_table(), batch_id="3" * 64)


def test_versions_outlive_a_month(home: Home) -> None:
    store.append(home, TASK, "interactions", table("a"), batch_id="1" * 64)
    dt = open_table(home.table(TASK, "interactions"))
    assert dt is not None
    assert dt.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"


def test_an_unknown_version_is_an_error(home: Home) -> None:
    store.append(home, TASK, "interactions", table("a"), batch_id="1" * 64)
    with pytest.raises(StoreError, match="expected version 7"):
        store.read_interactions(home, TASK, version=7)


def test_one_flipped_byte_anywhere_is_noticed_and_named(home: Home, tmp_path: Path) -> None:
    take_in(home, jsonl(tmp_path / "log.jsonl", [*rows(40), row(41, p=1.7)]))
    files = [Path(f) for t in ("interactions", "quarantine") for f in store.table_files(home, TASK, t)]
    assert store.verify_tables(home, TASK) == []
    for file in files:
        good = file.read_bytes()
        for at in range(0, len(good), len(good) // 12):
            file.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            assert any(str(file) in problem for problem in store.verify_tables(home, TASK))
            with pytest.raises(IntegrityError, match="changed bytes"):
                (store.read_interactions if "interactions" in str(file) else store.read_quarantine)(home, TASK)
        file.write_bytes(good)
    assert store.verify_tables(home, TASK) == []


def test_a_lost_file_is_noticed_and_named(home: Home, tmp_path: Path) -> None:
    take_in(home, jsonl(tmp_path / "log.jsonl", rows(5)))
    lost = Path(store.table_files(home, TASK, "interactions")[0])
    lost.unlink()
    assert any(str(lost) in problem for problem in store.verify_tables(home, TASK))
    with pytest.raises(IntegrityError, match="missing file"):
        store.read_interactions(home, TASK)


def test_a_changed_batch_record_is_noticed_and_named(home: Home, tmp_path: Path) -> None:
    result = take_in(home, jsonl(tmp_path / "log.jsonl", rows(5)))
    path = home.batches(TASK) / f"{result.batch_id}.json"
    good = path.read_bytes()
    for change in (
        b"{",
        good[:-9],
        good.replace(b'"n_read": 5', b'"n_read": 4'),
        good.replace(b'"n_read"', b'"n_reed"'),
    ):
        path.write_bytes(change)
        assert any(str(path) in problem for problem in store.verify_tables(home, TASK))
    record = json.loads(good)
    record |= {"n_read": 4, "n_accepted": 4}
    path.write_text(json.dumps(record))
    assert any("expected 4 rows in interactions, got 5" in problem for problem in store.verify_tables(home, TASK))


def test_a_damaged_delta_log_is_noticed(home: Home, tmp_path: Path) -> None:
    take_in(home, jsonl(tmp_path / "log.jsonl", rows(5)))
    commit = home.table(TASK, "interactions") / "_delta_log" / "00000000000000000001.json"
    commit.write_text("{")
    assert any(str(home.table(TASK, "interactions")) in problem for problem in store.verify_tables(home, TASK))
