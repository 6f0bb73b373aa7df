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
from data_contracts.readers.block import Block, Rejected, reason, whole
from data_contracts.readers.lines import Lines

_TIMESTAMP = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d(:?\d\d)?)$"
_OFFSET = r"(Z|[+-]\d\d(:?\d\d)?)$"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_FRACTION = re.compile(r"\.\d+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LENGTHS = 8  # of timestamps in a block, before a regular expression on each is cheaper
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
        cells = whole(table[column.name])
        if cells.type != column.type:
            texts = cells
            cells, misfit = convert(texts, column.type, zone=column.zone)
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


def convert(texts: pa.Array, type_: pa.DataType, *, zone: str | None = None) -> Converted:
    """Cells of `type_` from text; null stays null, and a misfit is null with True in the mask.

    Times without an offset are of `zone`; without a zone they are misfits.
    """
    if pa.types.is_string(type_):
        return texts, np.zeros(len(texts), dtype=np.bool_)
    if pa.types.is_floating(type_):
        return _cast_or_each(texts, type_, b"0123456789+-.eE", _number)
    if pa.types.is_integer(type_):
        return _cast_or_each(texts, type_, b"0123456789-", _integer)
    if pa.types.is_timestamp(type_):
        return timestamps(texts) if zone is None else timestamps_of_zone(texts, zone)
    return booleans(texts) if pa.types.is_boolean(type_) else _each(texts, type_, _numbers)


def booleans(texts: pa.Array) -> Converted:
    """True and false in the three usual spellings of each."""
    code = pc.index_in(texts, value_set=pa.array([*_TRUE, *_FALSE]))  # null where the text is neither, or null
    misfit = pc.and_(pc.is_null(code), pc.is_valid(texts))
    return pc.less(code, len(_TRUE)), misfit.to_numpy(zero_copy_only=False)


def timestamps(texts: pa.Array) -> Converted:
    """UTC microseconds from ISO 8601 with an offset; digits after the sixth of a fraction are cut off."""
    fits = _written_as_timestamps(texts)
    if fits.all():
        try:
            return pc.cast(texts, TIMESTAMP), np.zeros(len(texts), dtype=np.bool_)
        except pa.ArrowInvalid:  # a 30th of February, or more than six digits
            pass
    return _each(pc.if_else(pa.array(fits), texts, ""), TIMESTAMP, _microseconds)


def timestamps_of_zone(texts: pa.Array, zone: str) -> Converted:
    """The same for texts that may lack an offset: those are local times of `zone`."""
    local = pc.fill_null(pc.invert(pc.match_substring_regex(texts, _OFFSET)), False)
    if not pc.any(local).as_py():
        return timestamps(texts)
    cells, misfit = timestamps(pc.if_else(local, pc.binary_join_element_wise(texts, "Z", ""), texts))
    return pc.if_else(local, in_zone(cells.cast(pa.timestamp("us")), zone), cells), misfit


def in_zone(local: pa.Array, zone: str) -> pa.Array:
    """Moments of local times; of the two that a turned-back clock shows, the earlier, and the first after a gap."""
    return pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest").cast(TIMESTAMP)


def _written_as_timestamps(texts: pa.Array) -> NDArray[np.bool_]:
    """(n,) whether each text has the form of a timestamp; null has.

    Where all texts of one length have the same shape (digits apart), one of them speaks for the rest.
    """
    lengths = pc.fill_null(pc.binary_length(texts), -1).to_numpy(zero_copy_only=False)
    different = np.unique(lengths)
    fits: NDArray[np.bool_] = lengths < 0
    for length in different.tolist() if len(different) <= _LENGTHS else [None]:
        rows = np.flatnonzero(lengths >= 0 if length is None else lengths == length)
        some = texts if len(rows) == len(texts) else texts.take(pa.array(rows))
        judged = some[:1] if length is not None and _one_shape(some, length) else some
        fits[rows] |= pc.fill_null(pc.match_substring_regex(judged, _TIMESTAMP), True).to_numpy(zero_copy_only=False)
    return fits


def _one_shape(texts: pa.Array, length: int) -> bool:
    """Whether n texts of `length` bytes differ in their digits only."""
    if length <= 0:
        return False
    shapes = np.frombuffer(_bytes(texts).tobytes().translate(_DIGITS), np.uint8).reshape(len(texts), length)
    return bool((shapes == shapes[0]).all())


def _bytes(texts: pa.Array) -> NDArray[np.uint8]:
    """All characters of a column, one text after the other."""
    _, offsets, data = texts.buffers()
    if data is None:
        return np.zeros(0, np.uint8)
    bounds = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]]


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
    return not _bytes(texts).tobytes().translate(None, delete=alphabet)


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
