"""What must hold in every row before it is accepted; the first broken rule is the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.column_notes import note
from data_contracts.interactions import REQUIRED
from data_contracts.log_columns import LogColumn
from data_contracts.readers.block import reason

TOLERANCE = 1e-6  # on the sum of a logged distribution, and on its entry for the logged action
FIRST_YEAR, LAST_YEAR = 1970, 2200
FIRST, LAST = 0, 7_289_654_399_999_999  # microseconds: the first of 1970 and the last of 2200, in UTC
PROBABILITIES = ("propensity", "sampling_rate")  # in (0, 1]


class Broken(NamedTuple):
    """Rows that break one rule. `bad` is boolean with shape (n,)."""

    bad: NDArray[np.bool_]
    column: str
    rule: str


def broken_rows(table: pa.Table, columns: Sequence[LogColumn], *, actions: tuple[str, ...]) -> dict[int, str]:
    """Row number -> reason, for the rows of `table` (n typed rows) that break a rule."""
    found: dict[int, str] = {}
    for bad, column, rule in _broken(table, columns, actions):
        for row in np.flatnonzero(bad).tolist():
            if row not in found:
                value = table[column][row].as_py() if column in table.column_names else None
                found[row] = reason(column, value, rule)
    return found


def _broken(table: pa.Table, columns: Sequence[LogColumn], actions: tuple[str, ...]) -> Iterator[Broken]:
    present = set(table.column_names)
    for column in columns:
        if column.required or column.name in REQUIRED:
            yield from _missing(table, column)
    for column in columns:
        if column.name in present:
            yield from _out_of_range(table[column.name], column)
    if "action" in present:
        yield Broken(_not_in(table["action"], actions), "action", f"one of the {len(actions)} declared actions")
    for name in PROBABILITIES:
        if name in present:
            yield Broken(_mask(pc.or_(pc.less_equal(table[name], 0), pc.greater(table[name], 1))), name, "(0, 1]")
    if "action_probabilities" in present:
        yield from _distribution(table, actions)
    for name in ("occurred_at", "observed_at"):
        if name in present:
            yield from _out_of_time(table[name], name)
    if "step" in present:
        yield Broken(_mask(pc.less(table["step"], 0)), "step", "0 or more")


def _missing(table: pa.Table, column: LogColumn) -> Iterator[Broken]:
    rule = f"{column.expected} (required)"
    if column.name not in table.column_names:
        yield Broken(np.ones(table.num_rows, dtype=np.bool_), column.name, rule)
        return
    cells = table[column.name]
    if cells.null_count:
        yield Broken(_mask(pc.is_null(cells)), column.name, rule)
    if column.name in REQUIRED and pa.types.is_string(column.type) and pc.min(pc.binary_length(cells)).as_py() == 0:
        yield Broken(_mask(pc.equal(cells, "")), column.name, f"{rule}, not empty")


def _out_of_range(cells: pa.ChunkedArray, column: LogColumn) -> Iterator[Broken]:
    noted = note(cells)
    if pa.types.is_floating(column.type) and not noted.order:
        yield Broken(_mask(pc.invert(pc.is_finite(cells))), column.name, "a finite number")
    if column.minimum is not None or column.maximum is not None:
        low = -np.inf if column.minimum is None else column.minimum
        high = np.inf if column.maximum is None else column.maximum
        if not noted.within(low, high):
            bad = _mask(pc.or_(pc.less(cells, low), pc.greater(cells, high)))
            yield Broken(bad, column.name, f"[{low:g}, {high:g}]")
    if column.valid_values is not None:
        shown = ", ".join(column.valid_values[:5]) + (", …" if len(column.valid_values) > 5 else "")
        yield Broken(_not_in(cells.cast(pa.string()), column.valid_values), column.name, f"one of {shown}")


def _out_of_time(cells: pa.ChunkedArray, name: str) -> Iterator[Broken]:
    if not note(cells).within(FIRST, LAST):  # far cheaper than the year of every cell
        year = pc.year(cells)
        bad = _mask(pc.or_(pc.less(year, FIRST_YEAR), pc.greater(year, LAST_YEAR)))
        yield Broken(bad, name, f"a year from {FIRST_YEAR} to {LAST_YEAR}")


def _distribution(table: pa.Table, actions: tuple[str, ...]) -> Iterator[Broken]:
    """`action_probabilities`: (K,) per row, in the order of `actions`, and in agreement with the propensity."""
    name, k = "action_probabilities", len(actions)
    cells = table[name].combine_chunks()
    wrong = _mask(pc.not_equal(pc.list_value_length(cells), k))
    yield Broken(wrong, name, f"{k} numbers, one per action")
    rows = np.flatnonzero(_mask(pc.is_valid(cells)) & ~wrong)
    p = cells.take(pa.array(rows)).flatten().to_numpy(zero_copy_only=False).astype(float).reshape(len(rows), k)
    yield Broken(_spread(~((p >= 0) & (p <= 1)).all(axis=1), rows, wrong), name, "each in [0, 1]")
    yield Broken(_spread(~(np.abs(p.sum(axis=1) - 1) <= TOLERANCE), rows, wrong), name, "a sum of 1 within 1e-06")
    if "propensity" in table.column_names and "action" in table.column_names:
        codes = pc.index_in(table["action"].combine_chunks(), pa.array(actions)).take(pa.array(rows))
        logged = table["propensity"].combine_chunks().take(pa.array(rows))
        at = pc.fill_null(codes, 0).to_numpy(zero_copy_only=False)
        gap = np.abs(p[np.arange(len(rows)), at] - logged.to_numpy(zero_copy_only=False))
        known = _mask(pc.and_(pc.is_valid(codes), pc.is_valid(logged)))
        yield Broken(_spread(known & ~(gap <= TOLERANCE), rows, wrong), name, "the propensity at the logged action")


def _spread(bad: NDArray[np.bool_], rows: NDArray[np.int64], like: NDArray[np.bool_]) -> NDArray[np.bool_]:
    full = np.zeros_like(like)
    full[rows] = bad
    return full


def _not_in(cells: pa.ChunkedArray, allowed: Sequence[str]) -> NDArray[np.bool_]:
    return _mask(pc.and_(pc.is_valid(cells), pc.invert(pc.is_in(cells, value_set=pa.array(allowed, pa.string())))))


def _mask(bad: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    """Null (nothing to judge) is not broken."""
    found: NDArray[np.bool_] = np.asarray(
        pc.fill_null(bad, False).to_numpy(zero_copy_only=False)
        if isinstance(bad, pa.Array)
        else pc.fill_null(bad, False).to_numpy(),
        dtype=np.bool_,
    )
    return found
