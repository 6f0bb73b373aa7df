"""Rows logged under older versions of a contract, read as the contract of today says.

Within a major version rows keep their meaning. A major version declares, column by column, how rows of older majors
read: straight from what those rows hold, so a contract of version 3 says it for rows of version 1 and for rows of
version 2. Reading decides row by row, so it works on any chunk of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.errors import ConfigurationError, ContractViolation
from data_contracts.interactions import REQUIRED, interaction_schema
from data_contracts.language.contract_version import is_version, version_of
from data_contracts.language.expressions import names_in
from data_contracts.language.reading_values import column_values, is_null, node_of, type_in_store
from data_contracts.log_columns import own_types

N_EXAMPLES: Final = 5
VERSION: Final = "contract_version"
IDENTITY: Final = "interaction_id"


@dataclass(frozen=True, slots=True)
class Unread:
    """Rows of one major version in which a column has no value, or none that fits it."""

    column: str
    major: int
    n_rows: int
    of_rows: int
    examples: tuple[str, ...]  # interaction_id


def read_as(rows: pa.Table, contract: Contract, *, columns: Collection[str] | None = None) -> pa.Table:
    """Rows in the store's form of `contract`, in the same order, whatever version of it they were logged under.

    Args:
        rows: (n,) as stored: contract_version, interaction_id, and what `stored_columns` names; others are ignored,
            and null is read where one is not there.
        columns: which columns of the form to give; None: all of interaction_schema.

    A row that was read from an older major says so no longer: its contract_version becomes the contract's, so that
    reading twice changes nothing.
    Raises ConfigurationError when rows are of a newer major, or a declared reading does not fit what they hold;
    ContractViolation, with counts, when rows have no value afterwards in a required column, or one that does not fit.
    """
    form = interaction_schema(own_types(contract))
    schema = pa.schema([field for field in form if columns is None or field.name in columns])
    cells = {field.name: _as_stored(rows, field) for field in schema}
    majors = _majors(rows, contract)
    older = [int(major) for major in np.unique(majors) if major < contract.major]
    unread = [wrong for major in older for wrong in _read_major(rows, major, majors == major, contract, cells)]
    if unread:
        raise _unreadable(unread, contract)
    if older and VERSION in cells:
        cells[VERSION] = pc.if_else(pa.array(majors < contract.major), contract.version, cells[VERSION])
    return pa.table([cells[field.name] for field in schema], schema=schema)


def stored_columns(contract: Contract, columns: Collection[str]) -> set[str]:
    """What rows must hold so that `columns` of the contract can be read from them, of whatever version they are."""
    chosen = [column for column in contract.columns if column.name in columns]
    sources = {name for column in chosen for reading in column.reads for name in names_in(node_of(reading))}
    return {VERSION, IDENTITY, *columns} | sources


def is_read_as_stored(contract_versions: Collection[str], contract: Contract) -> bool:
    """Are rows of these versions already in the contract's form? Then `read_as` only selects columns."""
    return all(is_version(text) and version_of(text).major == contract.major for text in contract_versions)


def _as_stored(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name in rows.column_names:
        return rows[field.name].cast(field.type)
    return pa.chunked_array([pa.nulls(rows.num_rows, field.type)])


def _majors(rows: pa.Table, contract: Contract) -> NDArray[np.int64]:
    """(n,) major version of each row; one that names none is of the contract's own."""
    encoded = rows[VERSION].combine_chunks().dictionary_encode()
    versions = encoded.dictionary.to_pylist()
    wrong = [text for text in versions if not is_version(text) or version_of(text).major > contract.major]
    if wrong:
        raise ConfigurationError(
            f"contract_version of rows that {contract.path} is to read: expected {contract.version} or older, got "
            f"{', '.join(map(repr, wrong[:N_EXAMPLES]))}. Use the contract that they were logged under, or a newer one."
        )
    majors = np.array([*(version_of(text).major for text in versions), contract.major], np.int64)
    codes: NDArray[np.int64] = pc.fill_null(encoded.indices, len(versions)).to_numpy(zero_copy_only=False)
    return majors[codes]


def _read_major(
    rows: pa.Table, major: int, mask: NDArray[np.bool_], contract: Contract, cells: dict[str, pa.ChunkedArray]
) -> Iterator[Unread]:
    """Put the declared values into the rows at `mask`, which are of version `major`; yield what could not be read."""
    places = np.flatnonzero(mask)
    for column in (c for c in contract.columns if c.name in cells):
        unfit = np.zeros(len(places), np.bool_)
        reading = column.reading(major)
        if reading is not None:
            node, type_ = node_of(reading), type_in_store(column)
            known = names_in(node) <= set(rows.column_names)
            some = rows.select(sorted(names_in(node) | {IDENTITY})) if known else rows
            mine = some.filter(pa.array(mask))
            values, unfit = column_values(node, mine, name=column.name, logical_type=type_, contract=contract)
            cells[column.name] = _placed(cells[column.name], values, places)
        if column.required or column.name in REQUIRED:
            unfit = unfit | is_null(cells[column.name])[places]
        if unfit.any():
            ids = rows[IDENTITY].take(pa.array(places[unfit][:N_EXAMPLES])).to_pylist()
            yield Unread(column.name, major, int(unfit.sum()), len(places), tuple(ids))


def _placed(cells: pa.ChunkedArray, values: pa.ChunkedArray, places: NDArray[np.int64]) -> pa.ChunkedArray:
    """`cells` with `values`, in their order, at rows `places`."""
    order = np.arange(len(cells))
    order[places] = len(cells) + np.arange(len(places))
    return pa.chunked_array([*cells.chunks, *values.chunks], cells.type).take(pa.array(order))


def _unreadable(unread: Sequence[Unread], contract: Contract) -> ContractViolation:
    shown = "; ".join(
        f"{u.column} in {u.n_rows:,} of {u.of_rows:,} rows of major version {u.major} ({', '.join(u.examples)})"
        for u in unread[:N_EXAMPLES]
    )
    more = f" and {len(unread) - N_EXAMPLES} more" if len(unread) > N_EXAMPLES else ""
    return ContractViolation(
        f"older rows that {contract.path} (version {contract.version}) cannot read: expected a fitting value in every "
        f"row, got none for {shown}{more}. Declare how older rows read, in customProperties of the column: "
        "{property: reads, value: {before: N.0.0, default: VALUE}}, say.",
        check="schema",
        unread=list(unread),
    )
