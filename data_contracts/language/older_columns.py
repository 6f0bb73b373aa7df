"""Columns of yesterday out of those of today, so that a policy trained under an older contract can still decide."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from data_contracts.contract import Contract, LogicalType, Reading
from data_contracts.errors import ConfigurationError
from data_contracts.language.contract_version import version_of
from data_contracts.language.expressions import Name, Node, parse_expression
from data_contracts.language.reading_values import column_values, node_of


def read_back(rows: pa.Table, contract: Contract, *, columns: Mapping[str, LogicalType], version: str) -> pa.Table:
    """The observation of a policy that was trained under contract version `version`: (n rows) exactly `columns`.

    `rows` are in the form of `contract` (see evolution.read_as); `columns` are the names and types that the policy
    knows. Raises ConfigurationError for a column that the contract no longer gives (needed_columns_problems finds it
    earlier), or that has values of another type.
    """
    cells = {}
    for name, logical_type in columns.items():
        node = older_column(contract, name, version_of(version).major)
        if node is None:
            raise ConfigurationError(
                f"column {name} in {contract.path}: expected a way to read it for a policy trained under version "
                f"{version}, got none in version {contract.version}. Declare it as retired.",
                column=name,
            )
        values, unfit = column_values(node, rows, name=name, logical_type=logical_type, contract=contract)
        if unfit.any():
            raise ConfigurationError(
                f"column {name} as a policy trained under version {version} reads it in {contract.path}: expected type "
                f"{logical_type}, got others in {int(unfit.sum()):,} of {rows.num_rows:,} rows. Correct the expression "
                "that retires it.",
                column=name,
            )
        cells[name] = values
    return pa.table(cells)


def older_column(contract: Contract, name: str, major: int) -> Node | None:
    """How column `name` of major version `major` follows from the columns of `contract`; None: it does not.

    It is the column itself where rows of that version read unchanged, the one that it was renamed to, or a retired one.
    """
    if major > contract.major:
        return None
    column = contract.column(name)
    if column is not None and _source(column.reading(major), name) == name:
        return Name(name)
    for other in contract.columns:
        reading = other.reading(major)
        if reading is not None and _source(reading, other.name) == name:
            return Name(other.name)
    retired = [r for r in contract.retired if r.name == name and r.until > major]
    return parse_expression(min(retired, key=lambda r: r.until).expression) if retired else None


def _source(reading: Reading | None, name: str) -> str | None:
    """The one column in which older rows hold the same value."""
    node = Name(name) if reading is None else node_of(reading)
    return node.name if isinstance(node, Name) else None
