"""What is watched, with means worked out by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Column
from data_contracts.drift.learning import learn_monitors, policies_read_covariates
from data_contracts.drift.monitors import Mean, Pairs, Tally
from data_contracts.drift.rows import Rows, take_rows

COLUMNS = (
    Column("age", "age", "number", ("observation",), required=True),
    Column("flat", "flat", "integer", ("observation",), required=True),
    Column("city", "city", "string", ("observation",), required=False),
    Column("seen_at", "seen_at", "timestamp", ("observation",), required=False),
)


def table(**changed: object) -> pa.Table:
    columns = {
        "age": [1.0, 3.0, 5.0, None],
        "flat": [7, 7, 7, 7],
        "city": ["x", "y", "x", None],
        "seen_at": pa.nulls(4, pa.timestamp("us", tz="UTC")),
        "reward": [0.0, 1.0, None, 1.0],
        "action": ["a", "b", "a", "a"],
        "policy_version": ["1", "1", "1", "2"],
        "propensity": [0.5, 0.25, 0.5, 1.0],
    }
    return pa.table({**columns, **changed})


def rows(**changed: object) -> Rows:
    return take_rows(table(**changed), COLUMNS, n_actions=2)


def measured(reference: Rows, new: Rows, *, reward_may_be_missing: bool = False) -> dict[str, float]:
    blocks = learn_monitors(reference, COLUMNS, reward_may_be_missing=reward_may_be_missing)
    names = [name for block in blocks for name in block.names]
    tally = Tally(blocks, 1)
    tally.add(new, np.zeros(new.n, np.int64))
    return dict(zip(names, tally.measured().mean[0].tolist(), strict=True))


def test_every_kind_by_hand() -> None:
    assert measured(rows(), rows(), reward_may_be_missing=True) == pytest.approx(
        {
            "mean age": 3.0,
            "share of flat other than 7": 0.0,
            "share without city": 0.25,
            "share without reward": 0.25,
            "share of city x": 2 / 3,
            "share of city y": 1 / 3,
            "share of city others": 0.0,
            "mean reward of policy 1": 0.5,
            "share of action a of policy 1": 2 / 3,
            "share of action b of policy 1": 1 / 3,
            "share of action others of policy 1": 0.0,
            "mean importance weight of policy 1": (1 + 2 + 1) / 3,
            "share of reward of policy 2 other than 1": 0.0,
            "share of action a of policy 2": 1.0,
            "share of action others of policy 2": 0.0,
            "share of importance weight of policy 2 other than 0.5": 0.0,
        }
    )


def test_a_new_category_a_changed_constant_and_a_new_version_are_seen() -> None:
    later = rows(city=["z", "z", "x", "y"], flat=[7, 7, 8, 8], policy_version=["1", "3", "3", "3"])
    values = measured(rows(), later)
    assert values["share of city others"] == 0.5
    assert values["share of flat other than 7"] == 0.5
    assert not any("policy 3" in name for name in values)  # a new version has no reference to depart from
    assert values["mean reward of policy 1"] == 0.0


def test_rewards_are_missing_only_where_they_are_due() -> None:
    later = rows(reward=[None, None, 1.0, None], matured=[True, False, True, False])
    assert measured(rows(), later, reward_may_be_missing=True)["share without reward"] == 0.5


def test_infinities_and_nan_count_as_missing() -> None:
    values = measured(rows(), rows(age=[np.inf, np.nan, 2.0, 2.0]))
    assert values["mean age"] == 2.0


def test_pairs_are_all_products_of_standardised_columns() -> None:
    x, y, z = np.array([1.0, -1.0, 2.0]), np.array([2.0, 0.0, 1.0]), np.array([0.0, 4.0, np.nan])
    pairs = Pairs(("x", "y", "z"), (-9,) * 3, (9,) * 3, center=(0, 1, 2), scale=(1, 1, 2))
    sample = Rows(3, {"x": x, "y": y, "z": z}, {}, np.ones(3, np.bool_))
    sums, counts = pairs.measure(sample, np.array([0, 0, 1]), 2)
    # standardised: x (1, -1, 2), y (1, -1, 0), z (-1, 1, unknown = 0)
    assert pairs.names == ("x x y", "x x z", "y x z")
    assert sums.tolist() == [[2.0, -2.0, -2.0], [0.0, 0.0, 0.0]]
    assert counts.tolist() == [[2.0] * 3, [1.0] * 3]
    variance, reach = pairs.spread(sample)
    assert variance.tolist() == pytest.approx([2 / 9] * 3)
    assert reach.tolist() == pytest.approx([2 + 2 / 3, 2 + 2 / 3, 1 + 2 / 3])


def test_spread_of_a_mean_is_that_of_its_winsorised_rows() -> None:
    mean = Mean("mean", "mean x", "x", None, 0.0, 4.0)
    variance, reach = mean.spread(Rows(4, {"x": np.array([0.0, 0.0, 4.0, 100.0])}, {}, np.ones(4, np.bool_)))
    assert (variance.tolist(), reach.tolist()) == ([4.0], [2.0])


def test_a_tally_of_chunks_is_the_tally_of_the_whole_and_leaves_other_rows_aside() -> None:
    blocks = learn_monitors(rows(), COLUMNS, reward_may_be_missing=True)
    whole, parts = Tally(blocks, 2), Tally(blocks, 2)
    whole.add(rows(), np.array([0, 1, 1, -1]))
    for i, cell in enumerate([0, 1, 1, -1]):
        parts.add(one(i), np.array([cell]))
    assert np.array_equal(whole.measured().count, parts.measured().count)
    assert np.allclose(whole.measured().mean, parts.measured().mean, equal_nan=True, rtol=1e-12)
    assert whole.measured().mean[1][0] == 4.0  # age 3 and 5


def test_policies_that_read_covariates_are_known_by_their_propensities() -> None:
    assert not policies_read_covariates(rows())  # version 1 takes a with 1/2 always, b with 1/4
    assert policies_read_covariates(rows(propensity=[0.5, 0.25, 0.6, 1.0]))
    assert not policies_read_covariates(rows(propensity=[None, None, None, None]))


def one(i: int) -> Rows:
    return take_rows(table().slice(i, 1), COLUMNS, n_actions=2)
