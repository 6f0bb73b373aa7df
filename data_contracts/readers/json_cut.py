"""JSON lines of one plain form, cut at their commas: {"key":value,…} with the same keys in the same order.

A cut costs two thirds of a parse. Between two commas must stand the key, letter by letter as the form has it, and one
value without escapes; a line that differs, if only by a space or by a comma inside a text, is left to a parser. So
nothing is taken here that JSON would refuse or read otherwise.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.readers.block import whole
from data_contracts.readers.commas import cut_at_commas
from data_contracts.readers.lines import Lines

QUOTE, BACKSLASH, SPACE, MINUS, POINT, ZERO = (ord(c) for c in '"\\ -.0')
SPELLINGS = ((",", ":"), (", ", ": "))  # what writers put before a key, and after it
LONGEST = {pa.float64(): 200, pa.int64(): 18}  # bytes: without an exponent such numbers surely fit the type
BARE = {  # how values that are no strings are written in JSON, as far as the type surely holds them
    pa.float64(): r"^-?(0|[1-9][0-9]{0,99})(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$",
    pa.int64(): r"^-?(0|[1-9][0-9]{0,17})$",
    pa.bool_(): r"^(true|false)$",
}

Indices = NDArray[np.int64]  # (n,) of lines
Mask = NDArray[np.bool_]  # (n,)
Types = Mapping[str, pa.DataType]


@dataclass(frozen=True, slots=True)
class Form:
    """What stands between two commas around a value: `before` it the key, and `after` the last one `}`."""

    words: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


def form_of(sample: Sequence[tuple[bytes, Mapping[str, object]]], types: Types) -> Form | None:
    """The form of most lines of a sample, each with the object on it; None when it is not one that can be cut."""
    words = max(Counter(tuple(row) for _, row in sample).items(), key=lambda item: item[1], default=((), 0))[0]
    if not words or any(types.get(word) not in (pa.string(), *BARE) for word in words):
        return None
    names = [json.dumps(word, ensure_ascii=False) for word in words]
    if any("," in name or "\\" in name for name in names):
        return None
    for comma, colon in SPELLINGS:
        before = tuple((comma if k else "{") + name + colon for k, name in enumerate(names))
        if any(all(head.encode() in line for head in before) for line, _ in sample):
            first, *others = before
            return Form(words, (first, *(head.removeprefix(",") for head in others)), ("",) * len(others) + ("}",))
    return None


def cut(lines: Lines, index: Indices, form: Form, types: Types) -> tuple[Indices, pa.Table]:
    """Those of the lines `index`, all valid text, that have the form, and as many rows; timestamps stay text."""
    index = _plain(lines, index)
    n_all = int(np.count_nonzero(lines.codes == QUOTE))  # now, while the block is in the processor's cache
    index, rows = cut_at_commas(lines, index, form.words)
    fits, nulls = np.ones(len(index), dtype=np.bool_), np.zeros(len(index), dtype=np.int64)
    values: dict[str, pa.Array] = {}
    for word, before, after in zip(form.words, form.before, form.after, strict=True):
        values[word], good = _values(whole(rows[word]), before, after, types[word])
        if good is not None:
            fits &= good
            nulls += ~_mask(values[word].is_valid()) if types[word] == pa.string() else 0
    n_strings = sum(types[word] == pa.string() for word in form.words)
    fits &= _has_quotes(lines, index, fits, n_all, 2 * (len(form.words) + n_strings - nulls))
    found = pa.table(values)
    return (index, found) if fits.all() else (index[fits], found.filter(pa.array(fits)))


def _plain(lines: Lines, index: Indices) -> Indices:
    """Lines without a backslash or a control character; a return at the end is none."""
    chosen = np.zeros(lines.n, dtype=np.bool_)
    chosen[index] = True
    returned = lines.ends - lines.text_ends()
    if np.count_nonzero(lines.codes < SPACE) != lines.n + returned.sum():
        chosen &= lines.count(lines.codes < SPACE) == 1 + returned
    if BACKSLASH in lines.data:
        chosen &= lines.count(lines.codes == BACKSLASH) == 0
    return np.flatnonzero(chosen & (lines.text_ends() > lines.starts))


def _values(cells: pa.Array, before: str, after: str, type_: pa.DataType) -> tuple[pa.Array, Mask | None]:
    """Values of the type, and (n,) whether a cell holds one or null; None where none is null and all hold one."""
    quote = '"' if type_ == pa.string() else ""
    first, last = before + quote, quote + after
    there = _framed(cells, first, last)
    values = _inner(cells, there, len(first.encode()), len(last))
    if not quote:
        values = _written(values, type_)
    if values.null_count:
        there = _mask(values.is_valid()) | _mask(pc.equal(cells, before + "null" + after))
    return values, there


def _framed(cells: pa.Array, first: str, last: str) -> Mask | None:
    """(n,) True where a cell begins and ends so; None where all do."""
    wide = np.diff(_offsets(cells)) >= len((first + last).encode())
    begun, ended = pc.starts_with(cells, first), pc.ends_with(cells, last)
    if wide.all() and begun.true_count == len(cells) == ended.true_count:
        return None
    return wide & _mask(pc.and_(begun, ended))


def _offsets(texts: pa.Array) -> NDArray[np.int32]:
    """(n + 1,) where the texts begin in their buffer, and where the last one ends; no copy."""
    return np.frombuffer(texts.buffers()[1], dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]


def _inner(cells: pa.Array, there: Mask | None, first: int, last: int) -> pa.Array:
    """The text of each cell without its first and last bytes; null where it is not `there`."""
    n, at = len(cells), _offsets(cells)
    bounds = np.empty(2 * n + 1, dtype=np.int32)  # of a text, what follows it, a text, …
    if there is None:
        np.add(at[:-1], first, out=bounds[0:-1:2])
        np.subtract(at[1:], last, out=bounds[1::2])
    else:
        bounds[0:-1:2], bounds[1::2] = at[:-1] + first * there, at[1:] - last * there
    bounds[-1] = at[-1]
    pieces = pa.StringArray.from_buffers(2 * n, pa.py_buffer(bounds), cells.buffers()[2])
    return pieces.take(pa.array(np.arange(0, 2 * n, 2, dtype=np.int32), mask=None if there is None else ~there))


def _written(texts: pa.Array, type_: pa.DataType) -> pa.Array:
    """The texts that are values of the type as JSON writes them, else null."""
    if type_ != pa.bool_() and _plain_numbers(texts, LONGEST[type_]):
        try:
            return texts.cast(type_)
        except pa.ArrowInvalid:  # 1-2 begins and ends as a number does
            pass
    good = pc.match_substring_regex(texts, BARE[type_])
    every = good.true_count == len(texts) - texts.null_count
    return (texts if every else pc.if_else(good, texts, None)).cast(type_)


def _plain_numbers(texts: pa.Array, longest: int) -> bool:
    """Whether all begin and end as numbers of JSON do, have no exponent and at most `longest` bytes.

    Then those that Arrow's cast takes are numbers of JSON: it is kinder only with 01, 0x1, .1, 1. and 1.e5.
    """
    data = texts.buffers()[2]
    if data is None or b"e" in (text := data.to_pybytes()) or b"E" in text:
        return False
    codes, at = np.frombuffer(text, np.uint8), _offsets(texts)
    start, last = at[:-1], at[1:] - 1
    if texts.null_count:
        valid = _mask(texts.is_valid())
        start, last = start[valid], last[valid]
    if ((last < start) | (last - start >= longest)).any():
        return False
    start = start + (codes[start] == MINUS)
    leading, second = codes[start], codes[np.minimum(start + 1, last)]
    alone = (leading != ZERO) | (start == last) | (second == POINT)
    return bool((_digit(leading) & _digit(codes[last]) & alone & (start <= last)).all())


def _digit(codes: NDArray[np.uint8]) -> Mask:
    found: Mask = codes - np.uint8(ZERO) < 10  # what is below wraps around
    return found


def _has_quotes(lines: Lines, index: Indices, chosen: Mask, n_all: int, n_quotes: NDArray[np.int64]) -> Mask:
    """(n,) True where a chosen line has no more quotes than n_quotes, those of its keys and values.

    All are counted together, and line by line only when there are too many.
    """
    others = np.delete(np.arange(lines.n), index[chosen])
    n_others = sum(lines.data.count(QUOTE, a, b) for a, b in zip(lines.starts[others], lines.ends[others], strict=True))
    if n_all == n_quotes[chosen].sum() + n_others:
        return chosen
    same: Mask = lines.count(lines.codes == QUOTE)[index] == n_quotes
    return same


def _mask(cells: pa.Array) -> Mask:
    found: Mask = pc.fill_null(cells, False).to_numpy(zero_copy_only=False)
    return found
