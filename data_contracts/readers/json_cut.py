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

from data_contracts.readers.commas import Indices, Mask, Places, cut_at_commas, text_array, texts
from data_contracts.readers.lines import Lines

QUOTE, BACKSLASH, SPACE, MINUS, POINT, ZERO = (ord(c) for c in '"\\ -.0')
SPELLINGS = ((",", ":"), (", ", ": "))  # what writers put before a key, and after it
LONGEST = {pa.float64(): 200, pa.int64(): 18}  # bytes: without an exponent such numbers surely fit the type
BARE = {  # how numbers are written in JSON, as far as the type surely holds them
    pa.float64(): r"^-?(0|[1-9][0-9]{0,99})(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$",
    pa.int64(): r"^-?(0|[1-9][0-9]{0,17})$",
}

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
    if not words or any(types.get(word) not in (pa.string(), pa.bool_(), *BARE) for word in words):
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
    index, cells = cut_at_commas(lines, index, len(form.words))
    fits, nulls = np.ones(len(index), dtype=np.bool_), np.zeros(len(index), dtype=np.int64)
    values: dict[str, pa.Array] = {}
    for k, (word, before, after) in enumerate(zip(form.words, form.before, form.after, strict=True)):
        column = _Column(cells.data, lines.codes, cells.starts[k], cells.ends[k])
        values[word], good = _values(column, before, after, types[word])
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


def _values(column: _Column, before: str, after: str, type_: pa.DataType) -> tuple[pa.Array, Mask | None]:
    """Values of the type, and (n,) whether a cell holds one or null; None where none is null and all hold one."""
    if type_ == pa.string():
        there = column.framed(before + '"', '"' + after)
        if there is None:
            return column.inner(before + '"', '"' + after, there), None
        null = column.says("null", before, after, column.framed(before, after))
        return column.inner(before + '"', '"' + after, there), there | null
    there = column.framed(before, after)
    null = column.says("null", before, after, there)
    if type_ == pa.bool_():
        true, false = (column.says(word, before, after, there) for word in ("true", "false"))
        return pa.array(true, mask=~(true | false)), true | false | null
    if null.any():
        there = ~null if there is None else there & ~null
    values = _written(column.inner(before, after, there), type_)
    return values, _mask(values.is_valid()) | null if values.null_count else None


@dataclass(frozen=True, slots=True, repr=False)
class _Column:
    """The cells between the same two commas of n lines. Of each the key before its value, and what is after it."""

    data: bytearray
    codes: NDArray[np.uint8]
    starts: Places  # (n,)
    ends: Places  # (n,)

    def framed(self, before: str, after: str) -> Mask | None:
        """(n,) True where a cell begins and ends so; None where all do."""
        good: Mask = self.ends - self.starts >= len((before + after).encode())
        begun = pc.starts_with(text_array(self.data, np.append(self.starts, self.ends[-1:])), before)
        if begun.true_count < len(good):
            good &= _mask(begun)
        for k, code in enumerate(reversed(after.encode()), start=1):
            good &= self.codes[self.ends - k] == code
        return None if good.all() else good

    def says(self, text: str, before: str, after: str, framed: Mask | None) -> Mask:
        """(n,) True where a cell that is framed (None: all are) has just `text` in it."""
        found: Mask = self.ends - self.starts == len((before + text + after).encode())
        if framed is not None:
            found &= framed
        at = np.flatnonzero(found)
        for k, code in enumerate(reversed(text.encode()), start=len(after) + 1):
            at = at[self.codes[self.ends[at] - k] == code]
        found[:] = False
        found[at] = True
        return found

    def inner(self, before: str, after: str, framed: Mask | None) -> pa.Array:
        """The text of each cell between `before` and `after`; null where it is not framed by them (None: all are)."""
        n_before, n_after = len(before.encode()), len(after)
        if framed is None:
            return texts(self.data, self.starts + n_before, self.ends - n_after)
        return texts(self.data, self.starts + n_before * framed, self.ends - n_after * framed, there=framed)


def _written(texts: pa.Array, type_: pa.DataType) -> pa.Array:
    """The texts that are values of the type as JSON writes them, else null."""
    if _plain_numbers(texts, LONGEST[type_]):
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


def _offsets(texts: pa.Array) -> Places:
    """(n + 1,) where the texts begin in their buffer, and where the last one ends; no copy."""
    return np.frombuffer(texts.buffers()[1], dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]


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
