"""Lines that were not accepted: their raw bytes, where they stood, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.home import Home
from data_contracts.store import read_quarantine

SHOWN = 2_000  # bytes of a line that are printed
_WHAT = (  # beginnings of reasons that are not about one column's value
    "blank line",
    "invalid UTF-8",
    "broken JSON",
    "two objects on one line",
    "text after the object",
    "not an object",
    "unknown key",
    "duplicate key",
    "broken quotes",
    "broken record",
    "wrong number of fields",
    "conflicting payload",
    "no header kept",
    "unreadable file",
)
_VALUE = re.compile(r"(?P<column>\S+) .*: expected (?P<rule>.*)", re.DOTALL)


def reason_class(reason: str) -> str:
    """A reason without its value, so that equal mistakes count as one: `propensity: expected (0, 1]`."""
    if what := next((what for what in _WHAT if reason.startswith(what)), None):
        return what
    value = _VALUE.fullmatch(reason)
    return f"{value['column']}: expected {value['rule']}" if value else reason


def count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Reason class -> lines, most frequent first."""
    counts = Counter(reason_class(reason) for reason in reasons)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def summarize(home: Home, task: str) -> list[tuple[str, int]]:
    """(reason class, number of lines) of a task's quarantine, most frequent first."""
    return list(count_reasons(read_quarantine(home, task)["reason"].to_pylist()).items())


def list_rows(home: Home, task: str, limit: int = 20, *, batch_id: str | None = None) -> pa.Table:
    """The first `limit` quarantined lines (of one batch), newest batch first, in order of file and line."""
    return in_order(select_rows(read_quarantine(home, task), batch=batch_id)).slice(0, limit)


def in_order(lines: pa.Table) -> pa.Table:
    """Newest batch first, then by file and line."""
    return lines.sort_by([("quarantined_at", "descending"), ("file", "ascending"), ("line", "ascending")])


def select_rows(lines: pa.Table, *, reason: str | None = None, batch: str | None = None) -> pa.Table:
    """The lines whose reason class begins with `reason`, of the batch whose id begins with `batch` (None: any)."""
    if batch is not None:
        lines = lines.filter(pc.starts_with(lines["batch_id"], batch))
    if reason is not None:
        wanted = [reason_class(why).startswith(reason) for why in lines["reason"].to_pylist()]
        lines = lines.filter(pa.array(wanted, pa.bool_()))
    return lines


def count_by(lines: pa.Table, column: str) -> dict[str, int]:
    """Value of `column` (`batch_id`, `file`, `kind`) -> lines, most frequent first."""
    counts = Counter(lines[column].to_pylist())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def printable(raw: bytes, limit: int = SHOWN) -> str:
    """Raw bytes as one line of text that cannot steer a terminal, and loses nothing: what is not printable is
    escaped; beyond `limit` characters it says how many bytes the line has."""
    text = raw[:limit].decode("utf-8", "backslashreplace").replace("\\", "\\\\")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(raw) <= limit else f"{shown}… ({len(raw):,} bytes)"
