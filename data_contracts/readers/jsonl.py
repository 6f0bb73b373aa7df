"""JSON lines: cut where they are plain, else in blocks through Arrow's C++ parser, and what it cannot be trusted with
one by one.

Arrow's parser takes two objects on a line, and one object over two lines. A line that starts with
`{` and ends with `}`, in a block whose columns are all flat and whose objects are as many as its
lines, can be neither: inside strings it refuses newlines, and no column may nest.
The bare NaN and Infinity that it takes are refused by the row rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
from numpy.typing import NDArray

from data_contracts.log_columns import LogColumn, by_word, detect_naming
from data_contracts.readers.block import Block, Rejected
from data_contracts.readers.cells import typed_block
from data_contracts.readers.json_cut import Form, cut, form_of
from data_contracts.readers.json_line import LineRejected, read_line, slots_of
from data_contracts.readers.lines import Lines, read_lines

OPEN, CLOSE = ord("{"), ord("}")
FIRST_SAMPLE, SAMPLE = 100, 10  # lines of the first and of later blocks that decide which words a file uses
PIECE = 512  # lines of a refused block are tried again in pieces; those of a refused piece are read one by one

Part = tuple[NDArray[np.int64], pa.Table]  # indices of lines, and as many rows


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How one file writes its rows: its words, and which text is a number in it."""

    words: Mapping[str, LogColumn]
    parse: pa.Schema  # for Arrow's parser: the words seen so far; timestamps as text
    form: Form | None  # of the lines that can be cut

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Word -> type, of the words seen so far."""
        return dict(zip(self.parse.names, self.parse.types, strict=True))

    def rows(self) -> pa.Schema:
        """Every column by the store's names; timestamps still as text, integers that are text in the store too."""
        return pa.schema([(c.name, _unparsed(c)) for c in self.words.values()])

    def named(self, table: pa.Table) -> pa.Table:
        """The rows of a parser by the store's names, in the types of `rows`."""
        columns = [self.words[word] for word in table.column_names]
        return table.rename_columns([c.name for c in columns]).cast(
            pa.schema([(c.name, _unparsed(c)) for c in columns])
        )


def read_jsonl(path: Path, columns: tuple[LogColumn, ...]) -> Iterator[Block]:
    """Blocks of `path`; a missing column is null, and the row rules judge it."""
    dialect: _Dialect | None = None
    for lines in read_lines(path):
        dialect = _dialect(lines, columns, dialect)
        yield _block(lines, dialect)


def _dialect(lines: Lines, columns: tuple[LogColumn, ...], before: _Dialect | None) -> _Dialect:
    """Words, and types where there is a choice, by the majority: a stray line among them must not turn the rest.

    Every block may add words that it is the first to use: each column Arrow parses in vain costs time.
    """
    sample = _sample(lines, FIRST_SAMPLE if before is None else SAMPLE)
    rows = [row for _, row in sample]
    words = before.words if before else by_word(columns, detect_naming(columns, [word for row in rows for word in row]))
    seen = {word for row in rows for word in row} | set(before.parse.names if before else ())
    parse = {w: pa.int64() if c.integers and _mostly_integers(w, rows) else _unparsed(c) for w, c in words.items()}
    schema = pa.schema([(word, type_) for word, type_ in parse.items() if word in seen])
    return _Dialect(words, schema, form_of(sample, parse))


def _sample(lines: Lines, size: int) -> list[tuple[bytes, dict[str, object]]]:
    """Lines, and the object on each."""
    found = []
    for i in np.unique(np.linspace(0, lines.n - 1, size).astype(int)):
        try:
            row = json.loads(lines.raw(i))
        except (ValueError, RecursionError):
            continue
        found += [(lines.raw(i), row)] if isinstance(row, dict) else []
    return found


def _unparsed(column: LogColumn) -> pa.DataType:
    return pa.string() if pa.types.is_timestamp(column.type) else column.type


def _mostly_integers(word: str, rows: list[dict[str, object]]) -> bool:
    return sum((type(row.get(word)) is int) - (type(row.get(word)) is str) for row in rows) > 0


def _block(lines: Lines, dialect: _Dialect) -> Block:
    plain = _plain(lines)
    rejected: list[Rejected] = []
    parts = _cut(lines, plain, dialect)
    rest = plain.copy()
    for index, _ in parts:
        rest[index] = False
    parts += _parse(lines, np.flatnonzero(rest), dialect, rejected)
    parts += _parse_each(lines, np.flatnonzero(~plain), dialect, rejected)
    parts = [part for part in parts if len(part[0])] or parts[:1]  # one without rows would add columns of nulls
    table = pa.concat_tables([rows for _, rows in parts], promote_options="default")
    index = np.concatenate([indices for indices, _ in parts])
    return typed_block(lines, index, table, dialect.words.values(), rejected)


def _plain(lines: Lines) -> NDArray[np.bool_]:
    """(n,) True where the line is valid text from `{` to `}`."""
    ends = lines.text_ends()
    last = lines.codes[np.maximum(ends - 1, 0)]
    good: NDArray[np.bool_] = (ends - lines.starts >= 2) & (lines.codes[lines.starts] == OPEN) & (last == CLOSE)
    return good & lines.decodable()


def _cut(lines: Lines, plain: NDArray[np.bool_], dialect: _Dialect) -> list[Part]:
    if dialect.form is None:
        return []
    index, rows = cut(lines, np.flatnonzero(plain), dialect.form, dialect.types)
    return [(index, dialect.named(rows))]


def _parse(lines: Lines, index: NDArray[np.int64], dialect: _Dialect, rejected: list[Rejected]) -> list[Part]:
    if not len(index):
        return []
    whole = _parse_block(lines, index, dialect)
    if whole is not None:
        return [(index, whole)]
    parts: list[Part] = []
    for piece in np.array_split(index, max(1, len(index) // PIECE)):
        rows = _parse_block(lines, piece, dialect)
        parts += _parse_each(lines, piece, dialect, rejected) if rows is None else [(piece, rows)]
    return parts


def _parse_block(lines: Lines, index: NDArray[np.int64], dialect: _Dialect) -> pa.Table | None:
    """Rows of the lines `index`, or None when one of them is not surely a good row."""
    if not len(index) or not len(dialect.parse):
        return None
    data = lines.join(index)
    try:
        table = pj.read_json(
            pa.BufferReader(pa.py_buffer(data)),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=pj.ParseOptions(explicit_schema=dialect.parse, unexpected_field_behavior="error"),
        )
    except pa.ArrowInvalid:
        return None
    return dialect.named(table) if table.num_rows == len(index) else None


def _parse_each(lines: Lines, index: NDArray[np.int64], dialect: _Dialect, rejected: list[Rejected]) -> list[Part]:
    slots = slots_of(dialect.words)
    good: list[int] = []
    rows: list[dict[str, object]] = []
    for i in index.tolist():
        try:
            rows.append(read_line(lines.raw(i), slots))
            good.append(i)
        except LineRejected as error:
            rejected.append(Rejected(lines.line(i), lines.offset(i), lines.raw(i), str(error)))
    return [(np.array(good, dtype=np.int64), pa.Table.from_pylist(rows, schema=dialect.rows()))]
