"""The first rows of a log as plain values, and what each of its columns holds."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TextIO

from data_contracts.errors import InputError

ROWS: Final = 20_000  # of the log; enough to see a value that one row in a thousand has
TEXT_SUFFIXES: Final = (".jsonl", ".ndjson", ".json", ".csv")
MOST_VALUES: Final = 1000  # distinct values of a column that are counted

Kind = Literal["string", "number", "integer", "boolean", "timestamp", "array"]
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|[+-]\d\d(:?\d\d)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SampleColumn:
    """One column of a log, in the log's words. `values` maps a value's text to how often it came (most frequent)."""

    name: str
    kind: Kind
    n: int  # rows of the sample
    n_missing: int
    n_distinct: int
    values: dict[str, int]
    minimum: float | None = None  # of numbers
    maximum: float | None = None
    has_offset: bool = True  # of timestamps
    length: int | None = None  # of arrays, when all have the same
    written_as_number: bool = False  # a number or a boolean in the file, not text

    @property
    def is_unique(self) -> bool:
        return self.n_missing == 0 and self.n_distinct == self.n


@dataclass(frozen=True, slots=True)
class Sample:
    """The columns of a log in its order; `n_broken` lines could not be read."""

    path: Path
    n: int
    n_broken: int
    columns: tuple[SampleColumn, ...]

    def column(self, name: str) -> SampleColumn | None:
        return next((c for c in self.columns if c.name == name), None)


def read_sample(path: Path, *, most: int = ROWS) -> Sample:
    """The first `most` rows of a JSONL, CSV (each also .gz) or Parquet file, described column by column.

    Raises InputError when the suffix is unknown, the file cannot be opened, or no row of it can be read.
    """
    try:
        rows, n_broken = _rows(path, most)
    except (OSError, EOFError, ValueError, csv.Error) as error:  # ArrowInvalid is a ValueError
        raise _unreadable(path, str(error)) from error
    if not rows:
        raise _unreadable(path, f"none ({n_broken} broken lines)")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = tuple(_describe(name, [row.get(name) for row in rows]) for name in names)
    return Sample(path, len(rows), n_broken, columns)


def _rows(path: Path, most: int) -> tuple[list[dict[str, object]], int]:
    kind = path.suffixes[-2] if path.suffix == ".gz" and len(path.suffixes) > 1 else path.suffix
    if path.suffix == ".parquet":
        return _parquet_rows(path, most), 0
    if kind not in TEXT_SUFFIXES:
        raise _unreadable(path, f"suffix {path.suffix!r}")
    with _open(path) as stream:
        return _csv_rows(stream, most) if kind == ".csv" else _json_rows(stream, most)


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="")
    return path.open(encoding="utf-8", errors="replace", newline="")


def _json_rows(stream: TextIO, most: int) -> tuple[list[dict[str, object]], int]:
    lines = list(islice(stream, most))
    rows = [row for line in lines for row in _objects(line)]
    return rows, len(lines) - len(rows)


def _objects(line: str) -> Iterator[dict[str, object]]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return
    if isinstance(row, dict):
        yield row


def _csv_rows(stream: TextIO, most: int) -> tuple[list[dict[str, object]], int]:
    header, *lines = list(islice(csv.reader(stream), most + 1)) or [[]]
    whole = [line for line in lines if len(line) == len(header)]
    return [{k: v or None for k, v in zip(header, line, strict=True)} for line in whole], len(lines) - len(whole)


def _parquet_rows(path: Path, most: int) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, object]] = []
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(most):
            rows += batch.to_pylist()
            if len(rows) >= most:
                break
    return rows[:most]


def _describe(name: str, values: list[object]) -> SampleColumn:
    known = [v for v in values if v is not None and v == v]  # NaN is missing
    kind = _kind(known)
    texts = Counter(_text(v) for v in known)
    numbers = [float(str(v)) for v in known] if kind in ("number", "integer") else []
    lengths = {len(v) for v in known if isinstance(v, list)}
    return SampleColumn(
        name=name,
        kind=kind,
        n=len(values),
        n_missing=len(values) - len(known),
        n_distinct=len(texts),
        values=dict(texts.most_common(MOST_VALUES)),
        minimum=min(numbers, default=None),
        maximum=max(numbers, default=None),
        has_offset=kind != "timestamp" or all(_has_offset(v) for v in known),
        length=lengths.pop() if len(lengths) == 1 else None,
        written_as_number=bool(known) and not any(isinstance(v, str) for v in known),
    )


def _kind(known: list[object]) -> Kind:
    """The narrowest kind that every value has; text where they have none in common, or there is no value."""
    for kind, fits in _FITS:
        if known and all(fits(v) for v in known):
            return kind
    return "string"


def _is_boolean(v: object) -> bool:
    return isinstance(v, bool) or (isinstance(v, str) and v in ("true", "false", "True", "False", "TRUE", "FALSE"))


def _is_integer(v: object) -> bool:
    return (isinstance(v, int) and not isinstance(v, bool)) or (isinstance(v, str) and bool(_INTEGER.fullmatch(v)))


def _is_number(v: object) -> bool:
    return _is_integer(v) or isinstance(v, float) or (isinstance(v, str) and bool(_NUMBER.fullmatch(v)))


def _is_time(v: object) -> bool:
    return isinstance(v, datetime) or (isinstance(v, str) and bool(_TIME.fullmatch(v)))


def _is_array(v: object) -> bool:
    return isinstance(v, list) and all(_is_number(item) and not isinstance(item, str) for item in v)


_FITS: Final[tuple[tuple[Kind, Callable[[object], bool]], ...]] = (
    ("boolean", _is_boolean),
    ("integer", _is_integer),
    ("number", _is_number),
    ("timestamp", _is_time),
    ("array", _is_array),
)


def _has_offset(v: object) -> bool:
    if isinstance(v, datetime):
        return v.tzinfo is not None
    return bool(re.search(r"(Z|[+-]\d\d(:?\d\d)?)$", str(v)[10:]))


def _text(v: object) -> str:
    return str(v).lower() if isinstance(v, bool) else str(v)


def _unreadable(path: Path, got: str) -> InputError:
    return InputError(
        f"no sample in {path}: expected rows of JSON lines, CSV (each also .gz) or Parquet, got {got}. "
        "Give a file of the log as it is written.",
        path=str(path),
    )
