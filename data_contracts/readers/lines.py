"""Physical lines of a text file, plain or gzip, in blocks of whole lines with their byte offsets."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import InputError

BLOCK_BYTES = 12 << 20  # about 30,000 lines of 400 bytes: few calls for many lines, and not too much for the caches
ROOM = 1 << 12  # for the rest of the last line; a longer one has the block copied
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NEWLINE, RETURN = 10, 13


@dataclass(frozen=True, slots=True, repr=False)
class Lines:
    """Consecutive lines; line i is data[starts[i]:ends[i]], without its newline (a carriage return stays).

    `data` always ends in a newline, added where the file lacks the last one.
    """

    data: bytearray
    codes: NDArray[np.uint8]  # the same bytes as numbers
    starts: NDArray[np.int64]  # (n,)
    ends: NDArray[np.int64]  # (n,)
    first: int  # number of line 0, 1-based in the file
    base: int  # offset of data[0] in the file

    @property
    def n(self) -> int:
        return len(self.starts)

    def raw(self, i: int) -> bytes:
        return bytes(self.data[self.starts[i] : self.ends[i]])

    def line(self, i: int) -> int:
        return self.first + int(i)

    def offset(self, i: int) -> int:
        return self.base + int(self.starts[i])

    def text_ends(self) -> NDArray[np.int64]:
        """(n,) ends without a trailing carriage return."""
        returned = (self.ends > self.starts) & (self.codes[np.maximum(self.ends - 1, 0)] == RETURN)
        ends: NDArray[np.int64] = self.ends - returned
        return ends

    def decodable(self) -> NDArray[np.bool_]:
        """(n,) True where the line is valid UTF-8."""
        try:
            self.data.decode()
        except UnicodeDecodeError:
            return np.array([_is_text(self.raw(i)) for i in range(self.n)], dtype=np.bool_)
        return np.ones(self.n, dtype=np.bool_)

    def count(self, marked: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(n,) how many bytes of each line, its newline included, are `marked`."""
        at = np.flatnonzero(marked)
        return np.diff(np.searchsorted(at, self.starts), append=len(at))

    def join(self, index: NDArray[np.int64]) -> memoryview:
        """Bytes of the lines `index` (ascending), each with a newline; no copy where they are neighbours."""
        view = memoryview(self.data)
        gaps = np.flatnonzero(np.diff(index) != 1)
        first, last = index[np.append(0, gaps + 1)], index[np.append(gaps, len(index) - 1)]
        runs = [view[a : b + 1] for a, b in _pairs(self.starts[first], self.ends[last])]
        return runs[0] if len(runs) == 1 else memoryview(b"".join(runs))


def read_lines(path: Path) -> Iterator[Lines]:
    """All lines of `path` in blocks; a byte order mark is skipped. Raises InputError when the bytes end in error."""
    first, base = 1, 0
    for number, chunk in enumerate(_chunks(path)):
        if number == 0 and chunk.startswith(BYTE_ORDER_MARK):
            base = len(BYTE_ORDER_MARK)
            del chunk[:base]
        if chunk:
            lines = _split(chunk if chunk.endswith(b"\n") else chunk + b"\n", first, base)
            yield lines
            first, base = first + lines.n, base + len(lines.data)


def _chunks(path: Path) -> Iterator[bytearray]:
    """Whole lines of about BLOCK_BYTES; the first has the byte order mark, if there is one. A file that grows ends."""
    try:
        end = math.inf if path.suffix == ".gz" else path.stat().st_size
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            while stream.tell() < end:
                chunk = bytearray(max(BLOCK_BYTES, len(BYTE_ORDER_MARK)) + ROOM)
                with memoryview(chunk) as view:
                    size = stream.readinto(view[:-ROOM])
                chunk[size:] = stream.readline()
                if not chunk:
                    return
                yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"unreadable bytes in {path}: expected a whole {'gzip' if path.suffix == '.gz' else 'text'} file, "
            f"got {error}. Nothing of this batch was kept; replace the file and ingest again.",
            path=str(path),
        ) from error


def _split(data: bytearray, first: int, base: int) -> Lines:
    codes = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(codes == NEWLINE)
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    return Lines(data, codes, starts, ends, first, base)


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pairs(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    return zip(starts.tolist(), ends.tolist(), strict=True)
