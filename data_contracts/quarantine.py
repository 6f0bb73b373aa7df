"""Lines that were not accepted: their raw bytes, where they stood, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.home import Home
from data_contracts.store import read_quarantine

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
    rows = read_quarantine(home, task)
    if batch_id is not None:
        rows = rows.filter(pc.equal(rows["batch_id"], batch_id))
    return rows.sort_by([("quarantined_at", "descending"), ("file", "ascending"), ("line", "ascending")]).slice(
        0, limit
    )
