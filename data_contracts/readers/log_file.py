"""A log file by its suffix: .jsonl, .ndjson, .json, .csv (each also .gz) and .parquet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from data_contracts.errors import InputError
from data_contracts.log_columns import LogColumn
from data_contracts.readers.block import Block
from data_contracts.readers.csv_file import read_csv
from data_contracts.readers.jsonl import read_jsonl
from data_contracts.readers.parquet_file import read_parquet

READERS = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}


def read_blocks(path: Path, columns: tuple[LogColumn, ...]) -> Iterator[Block]:
    """Blocks of whole lines of one log file, in order.

    Raises InputError when the suffix is unknown, nothing is in the file, or it cannot be read as a whole.
    """
    read = READERS.get(path.suffixes[-2] if path.suffix == ".gz" and len(path.suffixes) > 1 else path.suffix)
    if read is None or path.suffixes[-2:] == [".parquet", ".gz"]:
        raise InputError(
            f"unknown kind of file {path}: expected one of {', '.join(READERS)} (text also .gz), "
            f"got {path.suffix or 'no suffix'}. Rename or convert it.",
            path=str(path),
        )
    empty = True
    for block in read(path, columns):
        empty = empty and not block.n_lines
        yield block
    if empty:
        raise InputError(
            f"empty file {path}: expected at least one interaction or outcome, got none. Leave it out.", path=str(path)
        )


def raw_lines(path: Path, columns: tuple[LogColumn, ...], wanted: Collection[int]) -> dict[int, bytes]:
    """The bytes of some lines of a file that was read before, by line number."""
    found: dict[int, bytes] = {}
    for block in read_blocks(path, columns):
        rows = [i for i, line in enumerate(block.line.tolist()) if line in wanted]
        found.update({int(block.line[i]): block.raw(i) for i in rows})
    return found
