"""Quarantined lines as files again, so that the readers of their format judge them as they would today."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.readers.lines import BYTE_ORDER_MARK

LONGEST_HEADER: Final = 1 << 20  # bytes
NO_HEADER: Final = "no header kept: expected the first line of its CSV file, got a line of an older store"


def csv_header(path: Path) -> bytes | None:
    """The first line of a CSV file, by which its other lines are read; None for other files.

    Also None where the file cannot be read: its reader says so.
    """
    if ".csv" not in path.suffixes[-2:]:
        return None
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            return stream.readline(LONGEST_HEADER).removeprefix(BYTE_ORDER_MARK).rstrip(b"\n")
    except (OSError, EOFError, zlib.error):
        return None


def line_files(lines: pa.Table, folder: Path, unreadable: dict[int, str]) -> Iterator[tuple[Path, NDArray[np.int64]]]:
    """A file of raw lines for each file the `lines` (n rows of the quarantine) came from.

    Yields its path, and (m,) the row in `lines` of each of its lines; -1 for a header. Rows that cannot be read
    again are named in `unreadable`, with the reason. A Parquet row was kept as JSON, and is read as such.
    """
    names = lines["file"].to_pylist()
    raw, headers = lines["raw"].to_pylist(), lines["header"].to_pylist()
    for number, sha256 in enumerate(pc.unique(lines["file_sha256"]).to_pylist()):
        index = np.flatnonzero(pc.equal(lines["file_sha256"], sha256).to_numpy())
        first = int(index[0])
        header = headers[first]
        is_csv = ".csv" in Path(names[first]).suffixes[-2:]
        if is_csv and header is None:
            unreadable |= dict.fromkeys(index.tolist(), NO_HEADER)
            continue
        path = folder / f"lines-{number}{'.csv' if is_csv else '.jsonl'}"
        content = [*([header] if is_csv else []), *(raw[i] for i in index)]
        # A mark of our own: the readers skip it, and leave one that a line begins with where it is.
        path.write_bytes(BYTE_ORDER_MARK + b"".join(line + b"\n" for line in content))
        yield path, np.concatenate([[-1], index]) if is_csv else index


def fields_of(raw: bytes, header: bytes | None) -> dict[str, object]:
    """Word -> value of one line as far as it can be made out: JSON, or CSV under its header; else nothing."""
    text = raw.decode("utf-8", "replace")
    try:
        if header is None:
            found = json.loads(text)
            return found if isinstance(found, dict) else {}
        words, values = csv.reader([header.decode("utf-8", "replace"), text])
    except (ValueError, RecursionError, csv.Error):
        return {}
    return dict(zip(words, values, strict=False))
