"""Rows in chunks say the same as rows in memory, in whatever order and cut they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from data_contracts.drift.check import check_drift, check_drift_in_chunks
from data_contracts.drift.source import ParquetChunks, TableChunks, place_in, read_again, read_keys, sample_rows
from data_contracts.errors import StoreError

World = Callable[..., pa.Table]


@dataclass(frozen=True)
class Cut:
    """A table in chunks of `size` rows that counts how many rows it has handed out at once."""

    table: pa.Table
    size: int

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        for start in range(0, self.table.num_rows, self.size):
            yield self.table.select(list(columns or self.schema.names)).slice(start, self.size)


def test_keys_by_hand() -> None:
    table = pa.table(
        {
            "interaction_id": ["a", "b", "c"],
            "occurred_at": pa.array([0, 86_400_000_000, 1], pa.timestamp("us", tz="UTC")),
            "batch_id": ["y", None, "x"],
            "matured": [True, None, False],
        }
    )
    keys = read_keys(TableChunks(table), batch_order=("x", "y"))
    assert keys.batch.tolist() == [2, 0, 1]
    assert keys.matured.tolist() == [True, False, False]
    assert keys.occurred_at.astype("datetime64[D]").astype(int).tolist() == [0, 1, 0]
    assert place_in(keys, read_keys(TableChunks(table.slice(2, 1)), batch_order=())).tolist() == [-1, -1, 0]


def test_without_columns_for_them_rows_are_matured_and_of_no_batch() -> None:
    table = pa.table({"interaction_id": ["a"], "occurred_at": pa.array([0], pa.timestamp("us", tz="UTC"))})
    keys = read_keys(TableChunks(table), batch_order=("x",))
    assert (keys.batch.tolist(), keys.matured.tolist()) == ([0], [True])
    assert read_keys(TableChunks(table.slice(0, 0)), batch_order=()).n == 0


def test_the_sample_does_not_depend_on_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "interaction_id": pa.array(np.arange(5_000)).cast(pa.string()),
            "occurred_at": pa.array(np.arange(5_000), pa.timestamp("us", tz="UTC")),
        }
    )
    shuffled = table.take(pa.array(rng.permutation(5_000)))
    drawn = [_sample(t, 300) for t in (table, shuffled)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 300
    assert np.std([int(i) for i in drawn[0]]) > 1_000  # from everywhere
    assert len(_sample(table, 9_999)) == 5_000


def _sample(table: pa.Table, limit: int) -> set[str]:
    rows = TableChunks(table)
    chosen = sample_rows(rows, read_keys(rows, batch_order=()), ["interaction_id"], limit=limit)
    return set(chosen["interaction_id"].to_pylist())


@pytest.mark.parametrize("limit", [200_000, 3_000])
def test_chunks_files_and_tables_are_judged_alike(
    world: World,
    contract: Contract,
    actions: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    monkeypatch.setattr("data_contracts.drift.walk.LEARNT_FROM", limit)
    rng = np.random.default_rng(3)
    reference = world(rng, first_day=0, n_days=10, batch="old", n=500)
    new = world(rng, first_day=10, n_days=3, batch="new", n=500, shift="mean", tau=0.05)
    rows = pa.concat_tables([reference, new])
    path = tmp_path / "reference.parquet"
    pq.write_table(reference, path, row_group_size=700)
    how = {"reference_name": "r", "contract": contract, "actions": actions, "batch_order": ("old", "new")}
    whole = check_drift(rows, reference, newest_batch="new", **how)  # type: ignore[arg-type]
    assert whole.n_cells == 3
    shuffled = rows.take(pa.array(rng.permutation(rows.num_rows)))
    for source, known in [
        (Cut(rows, 333), Cut(reference, 77)),
        (TableChunks(shuffled), ParquetChunks(path)),
    ]:
        found = check_drift_in_chunks(source, known, newest_batch="new", **how)  # type: ignore[arg-type]
        assert found.statistic == pytest.approx(whole.statistic, rel=1e-9)
        assert [m.name for m in found.top] == [m.name for m in whole.top]
        assert (found.level, found.n_cells, found.detail) == (whole.level, whole.n_cells, whole.detail)


@pytest.mark.parametrize("later", [slice(0, 900), slice(0, 1_100), slice(1, 1_001)])
def test_rows_that_change_between_readings_are_refused(later: slice) -> None:
    table = pa.table(
        {
            "interaction_id": pa.array(np.arange(2_000)).cast(pa.string()),
            "occurred_at": pa.array(np.arange(2_000), pa.timestamp("us", tz="UTC")),
        }
    )
    keys = read_keys(TableChunks(table.slice(0, 1_000)), batch_order=())
    assert len(list(read_again(TableChunks(table.slice(0, 1_000)), keys, ["interaction_id"]))) == 1
    changed = TableChunks(table.slice(later.start, later.stop - later.start))
    with pytest.raises(StoreError, match="rows changed while their drift was checked"):
        list(read_again(changed, keys, ["interaction_id"]))
