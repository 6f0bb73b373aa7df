"""Observation columns -> features: decided once on the training rows, stored beside the policy, replayed at serving."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data_contracts.contract import Column
from data_contracts.errors import ConfigurationError, DegenerateData, InputError, IntegrityError
from data_contracts.storage import canonical_json

MAX_CATEGORIES = 1_000  # of one text column; more is an identifier, not a feature
KINDS: dict[str, Literal["number", "boolean"]] = {"number": "number", "integer": "number", "boolean": "boolean"}
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)  # below it a float32 scale loses its digits, then becomes 0


class NumberFeature(BaseModel):
    """One feature: the column's value as float32 (false is 0, true is 1)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["number", "boolean"]
    column: str


class CategoryFeature(BaseModel):
    """One feature per category: 1 where the column has it. A null, or a text not seen in training, is all zeros."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["category"]
    column: str
    categories: tuple[str, ...]


class ConstantFeature(BaseModel):
    """One feature that is always 1: what a policy reads that ignores its observation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["constant"]


Feature = Annotated[NumberFeature | CategoryFeature | ConstantFeature, Field(discriminator="kind")]


class Encoding(BaseModel):
    """encoding.json: the features of a policy, in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    features: tuple[Feature, ...] = Field(min_length=1)

    @property
    def n_features(self) -> int:
        """d, the width of the encoded array."""
        return sum(len(f.categories) if isinstance(f, CategoryFeature) else 1 for f in self.features)


class FeatureScale(NamedTuple):
    """Standardisation of features, both float32 with shape (d,): (x - mean) / scale."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]


def fit_encoding(observations: pa.Table, *, columns: Sequence[Column]) -> Encoding:
    """Numbers, integers and booleans as they are, text one-hot over the categories seen, in the order of `columns`.

    Raises ConfigurationError for no columns, for a column that is neither, or for text with more than 1,000
    categories; InputError when a column is missing; DegenerateData when a text column is never filled.
    """
    if not columns:
        raise ConfigurationError("no observation columns in the contract: expected one or more, got none. Tag some.")
    return Encoding(features=tuple(_fit(observations, column) for column in columns))


def encode(encoding: Encoding, observations: pa.Table) -> NDArray[np.float32]:
    """(n, d) float32 features of n rows.

    Raises InputError when a column is missing or of another type; DegenerateData, with the count, when a number is
    null, not finite, or too large for float32.
    """
    features = np.zeros((observations.num_rows, encoding.n_features), dtype=np.float32)
    at = 0
    for feature in encoding.features:
        if isinstance(feature, ConstantFeature):
            features[:, at] = 1.0
            at += 1
        elif isinstance(feature, NumberFeature):
            features[:, at] = _numbers(observations, feature)
            at += 1
        else:
            codes = _codes(observations, feature)
            known = np.flatnonzero(codes >= 0)
            features[known, at + codes[known]] = 1.0
            at += len(feature.categories)
    return features


def feature_scale(features: NDArray[np.float32]) -> FeatureScale:
    """Mean and standard deviation (population) of each of the d columns of `features` (n, d).

    A constant column keeps scale 1: dividing by 0 would turn the whole policy into NaN.
    Raises DegenerateData without rows, or where a value is not finite.
    """
    if features.ndim != 2 or not len(features) or not np.isfinite(features).all():
        raise DegenerateData(f"no scale for features of shape {features.shape}: expected n > 0 rows of finite numbers.")
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = features.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > SMALLEST_SCALE, deviation, 1.0).astype(np.float32)
    return FeatureScale(mean=mean, scale=scale)


def to_json(encoding: Encoding) -> bytes:
    """The bytes of encoding.json; equal encodings have equal bytes."""
    return canonical_json(encoding.model_dump(mode="json"))


def from_json(data: bytes, *, source: str) -> Encoding:
    """Parse encoding.json; raises IntegrityError naming `source` for anything that `to_json` did not write."""
    try:
        encoding = Encoding.model_validate_json(data, strict=True)
        valid = to_json(encoding) == data
    except (ValidationError, json.JSONDecodeError) as error:
        raise _not_an_encoding(source, f"{type(error).__name__}") from error
    if not valid:
        raise _not_an_encoding(source, "another spelling of it")
    return encoding


def _not_an_encoding(source: str, got: str) -> IntegrityError:
    return IntegrityError(
        f"broken encoding in {source}: expected the features as they were written, got {got}. Restore the file.",
        path=source,
    )


def _fit(observations: pa.Table, column: Column) -> Feature:
    if column.logical_type in KINDS:
        return NumberFeature(kind=KINDS[column.logical_type], column=column.name)
    if column.logical_type != "string":
        raise ConfigurationError(
            f"column {column.name} cannot be a feature: expected a number, an integer, a boolean or text, got a "
            f"{column.logical_type}. Log what matters of it as numbers, or do not tag it as an observation."
        )
    categories = sorted(c for c in pc.unique(_text(observations, column.name)).to_pylist() if c is not None)
    if not categories:
        raise DegenerateData(f"column {column.name} is empty in the training rows: expected text, got only nulls.")
    if len(categories) > MAX_CATEGORIES:
        raise ConfigurationError(
            f"too many categories in column {column.name}: expected at most {MAX_CATEGORIES:,}, got "
            f"{len(categories):,} ({', '.join(categories[:5])}). Do not tag it as an observation, or group its values."
        )
    return CategoryFeature(kind="category", column=column.name, categories=tuple(categories))


def _numbers(observations: pa.Table, feature: NumberFeature) -> NDArray[np.float32]:
    column = _column(observations, feature.column)
    is_boolean = pa.types.is_boolean(column.type)
    if is_boolean != (feature.kind == "boolean") or not (is_boolean or _is_number(column.type)):
        raise _wrong_type(feature.column, feature.kind, column.type)
    if column.null_count:
        raise _not_numbers(feature.column, column.null_count, "null")
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        values = column.to_numpy().astype(np.float32)
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise _not_numbers(feature.column, n_bad, "not finite in float32")
    return np.asarray(values, dtype=np.float32)


def _codes(observations: pa.Table, feature: CategoryFeature) -> NDArray[np.int64]:
    """(n,) index of each row's category, -1 where it is none of them."""
    found = pc.index_in(_text(observations, feature.column), value_set=pa.array(feature.categories, pa.string()))
    return np.asarray(found.fill_null(-1).to_numpy(), dtype=np.int64)


def _text(observations: pa.Table, name: str) -> pa.ChunkedArray:
    column = _column(observations, name)
    plain = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain)):
        raise _wrong_type(name, "text", column.type)
    return column.cast(pa.string())


def _column(observations: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in observations.column_names:
        shown = ", ".join(observations.column_names[:5])
        raise InputError(
            f"missing column {name} in the observations: expected every column the policy was trained on, got "
            f"{observations.num_columns} others ({shown}). Add it.",
            column=name,
        )
    return observations[name]


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _wrong_type(name: str, expected: str, got: pa.DataType) -> InputError:
    return InputError(
        f"wrong type of column {name} in the observations: expected {expected}, got {got}. Convert it.", column=name
    )


def _not_numbers(name: str, count: int, got: str) -> DegenerateData:
    return DegenerateData(
        f"bad values in column {name} of the observations: expected finite numbers, got {count:,} {got}. "
        "Require the column in the contract, or fill it before it is logged.",
        column=name,
        count=count,
    )
