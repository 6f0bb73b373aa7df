"""Text becomes typed cells, strictly: the whole column at once, and cell by cell only where that fails.

Arrow alone is too kind (0x10 is 16, nan and inf are numbers) so the characters are checked first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.interactions import TIMESTAMP
from data_contracts.log_columns import LogColumn
from data_contracts.readers.block import Block, Rejected, reason
from data_contracts.readers.lines import Lines

_TIMESTAMP = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d(:?\d\d)?)$"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_FRACTION = re.compile(r"\.\d+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_LIMIT = 2**63

Converted = tuple[pa.Array, NDArray[np.bool_]]  # typed cells (n,), and (n,) True where the text does not fit


def typed_block(
    lines: Lines, index: NDArray[np.int64], table: pa.Table, columns: Iterable[LogColumn], rejected: list[Rejected]
) -> Block:
    """A block of the lines `index`: text columns become typed, a row with a misfit is rejected with its first one."""
    arrays, misfits = {}, dict[int, str]()
    for column in columns:
        if column.name not in table.column_names:
            continue
        cells = table[column.name].combine_chunks()
        if cells.type != column.type:
            texts = cells
            cells, misfit = convert(texts, column.type)
            for i in np.flatnonzero(misfit).tolist():
                misfits.setdefault(i, reason(column.name, texts[i].as_py(), column.expected))
        arrays[column.name] = cells
    typed = pa.table(arrays)
    if misfits:
        bad = sorted(misfits)
        rejected += [
            Rejected(lines.line(i), lines.offset(i), lines.raw(i), misfits[row])
            for row, i in zip(bad, index[bad], strict=True)
        ]
        keep = np.delete(np.arange(len(index)), bad)
        index, typed = index[keep], typed.take(pa.array(keep))
    return Block(
        n_lines=len(index) + len(rejected),
        table=typed,
        line=lines.first + index,
        offset=lines.base + lines.starts[index],
        raw=lambda row: lines.raw(int(index[row])),
        rejected=rejected,
    )


def convert(texts: pa.Array, type_: pa.DataType) -> Converted:
    """Cells of `type_` from text; null stays null, and a misfit is null with True in the mask."""
    if pa.types.is_string(type_):
        return texts, np.zeros(len(texts), dtype=np.bool_)
    if pa.types.is_floating(type_):
        return _cast_or_each(texts, type_, b"0123456789+-.eE", _number)
    if pa.types.is_integer(type_):
        return _cast_or_each(texts, type_, b"0123456789-", _integer)
    if pa.types.is_timestamp(type_):
        return timestamps(texts)
    return _each(texts, type_, _BOOLEANS.get if pa.types.is_boolean(type_) else _numbers)


def timestamps(texts: pa.Array) -> Converted:
    """UTC microseconds from ISO 8601 with an offset; digits after the sixth of a fraction are cut off."""
    fits = pc.fill_null(pc.match_substring_regex(texts, _TIMESTAMP), True)
    if pc.all(fits).as_py() is not False:
        try:
            return pc.cast(texts, TIMESTAMP), np.zeros(len(texts), dtype=np.bool_)
        except pa.ArrowInvalid:  # a 30th of February, or more than six digits
            pass
    return _each(pc.if_else(fits, texts, ""), TIMESTAMP, _microseconds)


def _cast_or_each(texts: pa.Array, type_: pa.DataType, alphabet: bytes, parse: Callable[[str], object]) -> Converted:
    if _only(texts, alphabet):
        try:
            cells = pc.cast(texts, type_)
        except pa.ArrowInvalid:
            pass
        else:
            if not pa.types.is_floating(type_) or pc.all(pc.is_finite(cells)).as_py() is not False:
                return cells, np.zeros(len(texts), dtype=np.bool_)
    return _each(texts, type_, parse)


def _only(texts: pa.Array, alphabet: bytes) -> bool:
    """Whether every character of the column is in `alphabet`: one look at its whole buffer."""
    _, offsets, data = texts.buffers()
    if data is None:
        return True
    bounds = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    allowed = np.zeros(256, dtype=np.bool_)
    allowed[list(alphabet)] = True
    return bool(allowed[np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]]].all())


def _each(texts: pa.Array, type_: pa.DataType, parse: Callable[[str], object]) -> Converted:
    cells = [None if text is None else parse(text) for text in texts.to_pylist()]
    array = pa.array(cells, pa.int64()).cast(type_) if pa.types.is_timestamp(type_) else pa.array(cells, type_)
    misfit = pc.and_(pc.is_null(array), pc.is_valid(texts))
    return array, misfit.to_numpy(zero_copy_only=False)


def _number(text: str) -> float | None:
    value = float(text) if _NUMBER.fullmatch(text) else float("nan")
    return value if abs(value) < float("inf") else None


def _integer(text: str) -> int | None:
    if not _INTEGER.fullmatch(text) or len(text) > 40:
        return None
    value = int(text)
    return value if -_LIMIT <= value < _LIMIT else None


def _numbers(text: str) -> list[float | None] | None:
    """A JSON list of numbers, as action_probabilities stands in a CSV cell."""
    try:
        found = json.loads(text)
        fits = isinstance(found, list) and all(type(x) in (int, float) for x in found)
        return [float(x) for x in found] if fits else None
    except (ValueError, RecursionError, OverflowError):
        return None


def _microseconds(text: str) -> int | None:
    """Exact integer arithmetic: microseconds since 1970 of one checked timestamp."""
    try:
        moment = datetime.fromisoformat(_FRACTION.sub(lambda m: m.group()[:7].ljust(7, "0"), text))
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None
