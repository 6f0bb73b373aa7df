"""Logged against recomputed propensities: every row or a sample that every run draws alike; one wrong row blocks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.propensities.serving_skew import ServedSample, skew_check


def rows(n: int, version: str = "1") -> pa.Table:
    ids = [f"{version}-{i}" for i in range(n)]
    return pa.table(
        {
            "interaction_id": ids,
            "policy_version": pa.repeat(version, n),
            "action": pa.array(np.arange(n) % 2).cast(pa.string()),
            "propensity": np.full(n, 0.5),
            "x": np.arange(n),
        }
    )


def ids(table: pa.Table) -> list[str]:
    return sorted(table["interaction_id"].to_pylist())


def test_equal_within_the_tolerance() -> None:
    recomputed = np.array([0.5, 0.5 + 9e-7, 0.5 - 9e-7])
    check, table = skew_check(rows(3), recomputed, version="1", n_rows=3, tolerance=1e-6)
    assert check.passed
    assert table is None
    assert (check.rule, check.level, check.n_rows) == ("serving_skew", "block", 3)
    assert check.observed == "0 of 3 rows differ, by up to 9e-07"


def test_one_wrong_row_blocks_and_is_shown() -> None:
    recomputed = np.array([0.5, 0.5 + 2e-6, 0.3, 0.5])
    check, table = skew_check(rows(4), recomputed, version="1", n_rows=400, tolerance=1e-6)
    assert not check.passed
    assert check.observed == "2 of 4 rows (sampled of 400) differ, by up to 0.2"
    assert check.examples == ("1-2", "1-1"), "the largest gap first"
    assert table is not None
    assert table.rows[0] == ("1-2", "0", "0.5", "0.3")


def test_a_row_that_cannot_be_recomputed_is_counted_and_not_accused() -> None:
    check, _ = skew_check(rows(2), np.array([np.nan, 0.5]), version="1", n_rows=2, tolerance=1e-6)
    assert check.passed
    assert check.n_rows == 1
    assert check.observed == "0 of 1 rows differ, by up to 0; 1 cannot be recomputed"
    none, _ = skew_check(rows(1), np.array([np.nan]), version="1", n_rows=1, tolerance=1e-6)
    assert none.observed == "0 of 0 rows differ; 1 cannot be recomputed"


def test_the_sample_does_not_depend_on_chunks_or_order() -> None:
    whole = rows(1000)
    empty = ServedSample.empty(frozenset({"1"}), limit=50)
    at_once = empty.add(whole)
    shuffled = whole.take(pa.array(np.random.default_rng(0).permutation(1000)))
    in_chunks = empty
    for start in range(0, 1000, 130):
        in_chunks = in_chunks.add(shuffled.slice(start, 130))
    assert ids(at_once.rows["1"]) == ids(in_chunks.rows["1"])
    assert at_once.rows["1"].num_rows == 50
    assert at_once.n_rows == in_chunks.n_rows == {"1": 1000}


def test_each_evaluable_version_has_its_own_sample() -> None:
    empty = ServedSample.empty(frozenset({"1", "2"}), limit=10)
    unknown = rows(5, "3")
    unlogged = rows(4, "2").set_column(3, "propensity", pa.nulls(4, pa.float64()))
    sample = empty.add(pa.concat_tables([rows(30), rows(4, "2"), unlogged, unknown]))
    assert {version: table.num_rows for version, table in sample.rows.items()} == {"1": 10, "2": 4}
    assert sample.n_rows == {"1": 30, "2": 4}
    assert repr(sample) == "ServedSample({'1': 30, '2': 4}, limit=10)" or "'2': 4" in repr(sample)


@pytest.mark.parametrize("share", [0.01])
def test_a_skew_of_one_row_in_a_hundred_is_in_the_sample(share: float) -> None:
    whole = rows(20_000)
    sample = ServedSample.empty(frozenset({"1"}), limit=2000).add(whole).rows["1"]
    wrong = sample["x"].to_numpy() % round(1 / share) == 0
    check, _ = skew_check(sample, np.where(wrong, 0.6, 0.5), version="1", n_rows=20_000, tolerance=1e-6)
    assert not check.passed  # missed with probability 0.99^2000 = 2e-9
