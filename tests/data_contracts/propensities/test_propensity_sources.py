"""Propensities from the column, a design or a policy: never replaced, filled where they are missing, and counted."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.propensities.propensity_sources import (
    SOURCE,
    PropensitySource,
    fill_propensities,
    logged_distributions,
)

ACTIONS = ("a", "b")
SOURCES = {
    "design": PropensitySource("design table d.csv", lambda rows: _by_x(rows, {1: [0.9, 0.1], 2: [1.0, 0.0]})),
    "one": PropensitySource("version 1", lambda rows: np.tile([0.25, 0.75], (rows.num_rows, 1))),
}


def _by_x(rows: pa.Table, cells: dict[int, list[float]]) -> np.ndarray:
    return np.array([cells.get(x, [np.nan, np.nan]) for x in rows["x"].to_pylist()]).reshape(-1, 2)


def log(lines: list[tuple[str, str, float | None, int]], **columns: object) -> pa.Table:
    version, action, propensity, x = zip(*lines, strict=True)
    return pa.table(
        {
            "policy_version": pa.array(version),
            "action": pa.array(action),
            "propensity": pa.array(propensity, pa.float64()),
            "x": pa.array(x),
            **columns,
        }
    )


def test_every_row_takes_its_own_source() -> None:
    rows = log(
        [
            ("design", "a", None, 1),
            ("design", "b", None, 1),
            ("design", "a", 0.5, 1),  # logged: never replaced
            ("design", "a", None, 7),  # the design has no such cell
            ("design", "b", None, 2),  # the design gives it no chance
            ("design", "c", None, 1),  # not declared
            ("one", "b", None, 1),
            ("other", "a", None, 1),  # no source
            ("other", "a", 0.3, 1),
        ]
    )
    filled = fill_propensities(rows, sources=SOURCES, actions=ACTIONS)
    assert filled.table["propensity"].to_pylist() == [0.9, 0.1, 0.5, None, None, None, 0.75, None, 0.3]
    assert filled.table[SOURCE].to_pylist() == [
        *["design table d.csv"] * 2,
        "column",
        *[None] * 3,
        "version 1",
        None,
        "column",
    ]
    assert filled.n_filled == {"design": 2, "one": 1}
    assert filled.n_left == {"design": 3, "other": 1}
    assert filled.distribution is not None
    assert filled.distribution[4].tolist() == [1.0, 0.0]  # kept, so that calibration sees the contradiction
    assert np.isnan(filled.distribution[2]).all()
    assert rows["propensity"].null_count == 7, "the rows themselves stay"


def test_without_sources_nothing_changes() -> None:
    rows = log([("v", "a", 0.5, 1), ("v", "b", None, 1)])
    filled = fill_propensities(rows, sources={}, actions=ACTIONS)
    assert filled.table.drop_columns([SOURCE]).equals(rows)
    assert filled.distribution is None
    assert fill_propensities(rows.slice(0, 0), sources=SOURCES, actions=ACTIONS).table.num_rows == 0


def test_logged_distributions_stay() -> None:
    column = pa.array([[0.2, 0.8], None, [0.1, 0.2, 0.7]], pa.list_(pa.float64()))
    rows = log([("one", "a", None, 1), ("one", "a", None, 1), ("one", "a", 0.1, 1)], action_probabilities=column)
    whole = logged_distributions(rows, n_actions=2)
    assert whole is not None
    assert np.array_equal(whole, [[0.2, 0.8], [np.nan] * 2, [np.nan] * 2], equal_nan=True)
    filled = fill_propensities(rows, sources=SOURCES, actions=ACTIONS)
    assert filled.distribution is not None
    assert filled.distribution[0].tolist() == [0.2, 0.8]
    assert filled.distribution[1].tolist() == [0.25, 0.75]


def test_a_sliced_table_keeps_its_distributions() -> None:
    column = pa.array([[0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
    rows = log([("v", "a", 0.2, 1)] * 3, action_probabilities=column).slice(1, 2)
    whole = logged_distributions(rows, n_actions=2)
    assert whole is not None
    assert whole.tolist() == [[0.3, 0.7], [0.4, 0.6]]


@pytest.mark.parametrize("column", [None, pa.nulls(1, pa.list_(pa.float64()))])
def test_no_distribution_is_none(column: pa.Array | None) -> None:
    rows = log([("v", "a", 0.2, 1)], **({} if column is None else {"action_probabilities": column}))
    assert logged_distributions(rows, n_actions=2) is None
