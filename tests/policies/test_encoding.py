"""Observation columns become features the same way at training and at serving, or not at all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Column, LogicalType
from data_contracts.errors import ConfigurationError, DegenerateData, InputError, IntegrityError
from policies.encoding import MAX_CATEGORIES, Encoding, encode, feature_scale, fit_encoding, from_json, to_json


def _column(name: str, logical_type: LogicalType) -> Column:
    return Column(name=name, source_name=name, logical_type=logical_type, roles=("observation",))


COLUMNS = (
    _column("age", "integer"),
    _column("color", "string"),
    _column("is_new", "boolean"),
    _column("price", "number"),
)
TRAINING = pa.table(
    {"price": [0.5, 1.5, 2.5], "color": ["red", None, "blue"], "is_new": [True, False, True], "age": [1, 2, 3]}
)


def test_features_follow_the_contract_and_categories_are_sorted() -> None:
    encoding = fit_encoding(TRAINING, columns=COLUMNS)
    assert encoding.n_features == 5
    # age, color=blue, color=red, is_new, price; a null category is all zeros
    expected = [[1, 0, 1, 1, 0.5], [2, 0, 0, 0, 1.5], [3, 1, 0, 1, 2.5]]
    features = encode(encoding, TRAINING)
    assert features.dtype == np.float32
    assert features.tolist() == expected


def test_an_unknown_category_is_all_zeros() -> None:
    encoding = fit_encoding(TRAINING, columns=COLUMNS)
    rows = pa.table({"price": [1.0], "color": ["green"], "is_new": [False], "age": [7]})
    assert encode(encoding, rows).tolist() == [[7, 0, 0, 0, 1]]


def test_the_order_of_the_training_rows_does_not_matter() -> None:
    assert fit_encoding(TRAINING, columns=COLUMNS) == fit_encoding(TRAINING.take([2, 0, 1]), columns=COLUMNS)


def test_dictionary_and_large_text_columns_are_text() -> None:
    encoding = fit_encoding(TRAINING, columns=COLUMNS)
    column = TRAINING["color"]
    for type_ in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        rows = TRAINING.set_column(1, "color", column.cast(type_))
        assert encode(encoding, rows).tolist() == encode(encoding, TRAINING).tolist()


def test_no_rows_give_no_features() -> None:
    assert encode(fit_encoding(TRAINING, columns=COLUMNS), TRAINING.slice(0, 0)).shape == (0, 5)


def test_too_many_categories_name_the_column() -> None:
    at_limit = pa.table({"color": [str(i) for i in range(MAX_CATEGORIES)]})
    assert fit_encoding(at_limit, columns=[COLUMNS[1]]).n_features == MAX_CATEGORIES
    beyond = pa.table({"color": [str(i) for i in range(MAX_CATEGORIES + 1)]})
    with pytest.raises(ConfigurationError, match="column color: expected at most 1,000, got 1,001"):
        fit_encoding(beyond, columns=[COLUMNS[1]])


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (TRAINING.drop_columns(["price"]), InputError, "missing column price"),
        (TRAINING.set_column(0, "price", [[1.0, None, None]]), DegenerateData, "column price .*2 null"),
        (TRAINING.set_column(0, "price", [[1.0, float("nan"), 2.0]]), DegenerateData, "column price .*1 not finite"),
        (TRAINING.set_column(0, "price", [[1.0, 1e39, -1e39]]), DegenerateData, "column price .*2 not finite"),
        (TRAINING.set_column(0, "price", [["1", "2", "3"]]), InputError, "column price .*expected number, got string"),
        (TRAINING.set_column(3, "age", [[True, False, True]]), InputError, "column age .*expected number, got bool"),
        (TRAINING.set_column(2, "is_new", [[1, 0, 1]]), InputError, "column is_new .*expected boolean, got int64"),
        (TRAINING.set_column(1, "color", [[1, 2, 3]]), InputError, "column color .*expected text, got int64"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(table: pa.Table, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        encode(fit_encoding(TRAINING, columns=COLUMNS), table)


def test_columns_that_cannot_be_features_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="column seen_at cannot be a feature"):
        fit_encoding(TRAINING, columns=[_column("seen_at", "timestamp")])
    with pytest.raises(ConfigurationError, match="no observation columns"):
        fit_encoding(TRAINING, columns=[])
    with pytest.raises(DegenerateData, match="column color is empty"):
        fit_encoding(pa.table({"color": pa.array([None, None], pa.string())}), columns=[COLUMNS[1]])


def test_scale_by_hand_and_a_constant_column_keeps_scale_one() -> None:
    # column 0: mean 3, deviations -2, 0, 2 -> variance 8/3; column 1: constant 0.1, whose mean of sums is not 0.1
    features = np.array([[1, 0.1], [3, 0.1], [5, 0.1]], dtype=np.float32)
    mean, scale = feature_scale(features)
    assert (mean.dtype, scale.dtype) == (np.float32, np.float32)
    assert mean.tolist() == [3.0, float(np.float32(0.1))]
    assert scale.tolist() == [float(np.float32(np.sqrt(8 / 3))), 1.0]


def test_scale_of_a_hardly_varying_column_is_one_not_zero() -> None:
    features = np.array([[0.0], [1e-44]], dtype=np.float32)  # the deviation is below float32's normal range
    assert feature_scale(features).scale.tolist() == [1.0]


def test_scale_refuses_nothing_and_nan() -> None:
    with pytest.raises(DegenerateData):
        feature_scale(np.zeros((0, 3), dtype=np.float32))
    with pytest.raises(DegenerateData):
        feature_scale(np.array([[np.nan]], dtype=np.float32))


def test_json_round_trip_is_exact() -> None:
    encoding = fit_encoding(TRAINING, columns=COLUMNS)
    assert from_json(to_json(encoding), source="encoding.json") == encoding


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"blue"', b'"blve", "x"'),  # valid JSON, but not in the one spelling
        (b'"number"', b'"nomber"'),
        (b'"format": 1', b'"format": 2'),
        (b'"format": 1', b'"format": "1"'),
        (b'"column": "age"', b'"column": 3'),
        (b'"column": "age"', b'"column": "age", "code": "x"'),
        (b"{", b"["),
    ],
)
def test_json_that_we_did_not_write_is_refused(old: bytes, new: bytes) -> None:
    data = to_json(fit_encoding(TRAINING, columns=COLUMNS))
    assert old in data
    with pytest.raises(IntegrityError, match=r"encoding\.json"):
        from_json(data.replace(old, new, 1), source="encoding.json")


def test_an_encoding_has_features() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Encoding(features=())
