"""CSV with a header, comma and double quotes (RFC 4180); one physical line is one record.

Lines without quotes are cut at their commas, a block at a time; those with another number of fields and
the others are read one by one. A quoted newline therefore breaks both of its lines, and both are kept with a reason.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import InputError
from data_contracts.log_columns import LogColumn, by_word, detect_naming
from data_contracts.readers.block import Block, Rejected
from data_contracts.readers.cells import typed_block
from data_contracts.readers.commas import Cells, cut_at_commas, texts
from data_contracts.readers.lines import RETURN, Lines, read_lines

QUOTE = ord('"')
_FIELD = rb'(?:"(?:[^"\r]|"")*+"|[^",\r]*+)'
_RECORD = re.compile(rb"%b(?:,%b)*+\r?" % (_FIELD, _FIELD))


def read_csv(path: Path, columns: tuple[LogColumn, ...]) -> Iterator[Block]:
    """Blocks of `path`. Raises InputError when the header does not fit the contract."""
    header: tuple[LogColumn, ...] | None = None
    for lines in read_lines(path):
        if header is None:
            header = _header(lines, path, columns)
            lines = _rest(lines)
        if lines.n:
            yield _block(lines, header)


def _rest(lines: Lines) -> Lines:
    return replace(lines, starts=lines.starts[1:], ends=lines.ends[1:], first=lines.first + 1)


def _header(lines: Lines, path: Path, columns: tuple[LogColumn, ...]) -> tuple[LogColumn, ...]:
    """The file's columns in its order."""
    try:
        words = _fields(lines.raw(0))
    except ValueError as error:
        raise _wrong_header(path, "one line of column names", str(error)) from error
    known = by_word(columns, detect_naming(columns, words))
    unknown = [word for word in words if word not in known]
    missing = [word for word, c in known.items() if c.must_come and word not in words]
    if unknown or len(set(words)) != len(words):
        strangers = unknown or sorted({word for word in words if words.count(word) > 1})
        raise _wrong_header(path, "each a column of the contract, once", f"{len(strangers)} others {strangers[:5]}")
    if missing:
        raise _wrong_header(path, f"required columns {missing[:5]}", "none of them")
    order = [word for word, c in known.items() if c.declared and word in words]
    found = [word for word in words if known[word].declared]
    if order != found:
        at = next(i for i, (a, b) in enumerate(zip(order, found, strict=True)) if a != b)
        raise _wrong_header(
            path, f"the contract's order {order[at : at + 5]} from column {at + 1}", str(found[at : at + 5])
        )
    return tuple(known[word] for word in words)


def _wrong_header(path: Path, expected: str, got: str) -> InputError:
    return InputError(
        f"wrong header in {path}, line 1: expected {expected}, got {got}. "
        "Nothing was ingested; correct the header or the contract.",
        path=str(path),
        line=1,
    )


def _block(lines: Lines, header: Sequence[LogColumn]) -> Block:
    rejected: list[Rejected] = []
    index, cells = cut_at_commas(lines, np.flatnonzero(_plain(lines)), len(header))
    rows = pa.table({c.name: _texts(cells, k) for k, c in enumerate(header)})
    others, other_rows = _parse_each(lines, np.delete(np.arange(lines.n), index), header, rejected)
    if len(others):
        index, rows = np.concatenate([index, others]), pa.concat_tables([rows, other_rows])
    return typed_block(lines, index, rows, header, rejected)


def _texts(cells: Cells, k: int) -> pa.Array:
    """The texts of a column; null where there is none."""
    starts, ends = cells.starts[k], cells.ends[k]
    there = ends > starts
    return texts(cells.data, starts, ends, there=None if there.all() else there)


def _plain(lines: Lines) -> NDArray[np.bool_]:
    """(n,) True where the line is valid text without quotes or stray returns, and not blank."""
    returned = lines.ends - lines.text_ends()
    unquoted = (_count(lines, QUOTE) == 0) & (_count(lines, RETURN) == returned)
    plain: NDArray[np.bool_] = unquoted & (lines.ends - returned > lines.starts) & lines.decodable()
    return plain


def _count(lines: Lines, code: int) -> NDArray[np.int64]:
    """(n,) how often the byte stands in each line."""
    return lines.count(lines.codes == code) if code in lines.data else np.zeros(lines.n, dtype=np.int64)


def _parse_each(
    lines: Lines, index: NDArray[np.int64], header: Sequence[LogColumn], rejected: list[Rejected]
) -> tuple[NDArray[np.int64], pa.Table]:
    good: list[int] = []
    rows: list[list[str | None]] = []
    for i in index.tolist():
        try:
            rows.append(_record(lines.raw(i), len(header)))
            good.append(i)
        except ValueError as error:
            rejected.append(Rejected(lines.line(i), lines.offset(i), lines.raw(i), str(error)))
    cells = {c.name: pa.array([row[k] for row in rows], pa.string()) for k, c in enumerate(header)}
    return np.array(good, dtype=np.int64), pa.table(cells)


def _record(raw: bytes, n_fields: int) -> list[str | None]:
    """Fields of one line, empty ones None; raises ValueError with the reason when it is not a whole record."""
    if not raw.strip(b"\r"):
        raise ValueError("blank line")
    fields = _fields(raw)
    if len(fields) != n_fields:
        raise ValueError(f"wrong number of fields: expected {n_fields}, got {len(fields)}")
    return [field or None for field in fields]


def _fields(raw: bytes) -> list[str]:
    if not _RECORD.fullmatch(raw):
        raise ValueError("broken quotes: expected one whole record on the line, got a quote that opens or stands alone")
    try:
        return next(csv.reader([raw.decode()], strict=True))
    except UnicodeDecodeError as error:
        raise ValueError(f"invalid UTF-8: expected UTF-8 text, got byte {raw[error.start]:#04x}") from error
    except csv.Error as error:
        raise ValueError(f"broken record: expected one whole record on the line, got {error}") from error
