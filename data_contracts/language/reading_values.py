"""The values that a declared reading gives to a column, and which of them have no place in it."""

from __future__ import annotations

from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Column, Contract, LogicalType, Reading
from data_contracts.errors import ConfigurationError
from data_contracts.interactions import LOGICAL_TYPES, RESERVED
from data_contracts.language.expression_values import evaluate, fits, kind_of
from data_contracts.language.expressions import Constant, ExpressionError, Name, Node, parse_expression


def node_of(reading: Reading) -> Node:
    """A reading as an expression over the columns of the rows."""
    if reading.way == "default":
        return Constant(reading.value)
    return Name(str(reading.value)) if reading.way == "rename" else parse_expression(str(reading.value))


def type_in_store(column: Column) -> LogicalType:
    """The store's type: ids and actions written as integers are text in it, a reward written as boolean is a number."""
    if "reserved" not in column.roles or column.name not in RESERVED:
        return column.logical_type
    found = next(name for name, type_ in LOGICAL_TYPES.items() if type_ == RESERVED[column.name])
    return cast(LogicalType, found)


def column_values(
    node: Node, rows: pa.Table, *, name: str, logical_type: LogicalType, contract: Contract
) -> tuple[pa.ChunkedArray, NDArray[np.bool_]]:
    """(n,) values of `node` for n rows in the store's type of column `name`, and where a value does not fit it.

    Null stands where one does not fit: a number that is not finite, or not whole in a column of integers.
    Raises ConfigurationError naming column and contract when the kinds of values do not fit, or an integer overflows.
    """
    try:
        kind = kind_of(node, _types_of(rows))
        if not fits(kind, logical_type):
            raise ExpressionError(f"a value of type {logical_type}, got {kind}")
        values = evaluate(node, rows)
    except (ExpressionError, pa.ArrowInvalid) as error:
        raise ConfigurationError(
            f"declared reading of column {name} in {contract.path}: expected {error}. Correct it in the contract.",
            column=name,
        ) from error
    if isinstance(values, pa.Scalar):
        values = pa.repeat(values, rows.num_rows)
    return _fitted(pa.chunked_array([values]) if isinstance(values, pa.Array) else values, LOGICAL_TYPES[logical_type])


def is_null(values: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(values.is_null().to_numpy(), np.bool_)


def _fitted(values: pa.ChunkedArray, wanted: pa.DataType) -> tuple[pa.ChunkedArray, NDArray[np.bool_]]:
    if not pa.types.is_floating(values.type):
        return values.cast(wanted), np.zeros(len(values), np.bool_)
    numbers, known = values.to_numpy(), ~is_null(values)
    fine = known & np.isfinite(numbers)
    if pa.types.is_integer(wanted):
        fine[fine] = (numbers[fine] == np.floor(numbers[fine])) & (np.abs(numbers[fine]) < 2.0**63)
    kept = pa.array(np.where(fine, numbers, 0.0), mask=~fine)
    return pa.chunked_array([kept.cast(wanted)]), known & ~fine


def _types_of(rows: pa.Table) -> dict[str, LogicalType]:
    """Columns of stored rows with the words for their types."""
    words = {type_: word for word, type_ in LOGICAL_TYPES.items()}
    return {f.name: words[f.type] for f in rows.schema if f.type in words}  # type: ignore[misc]
