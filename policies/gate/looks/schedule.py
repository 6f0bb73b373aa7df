"""Which unread rows the next look reads, and when it will: looks are keyed on matured rows and close on whole weeks.

A look that closed in the middle of a week would weigh its Mondays twice, and one whose moment somebody chooses would be
a look for every moment that was considered. So neither is chosen: a look reads all unread rows of the whole weeks that
have matured, as soon as they are enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import UsageError

Moments = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True, repr=False)
class NextLook:
    """What the next look would read, and whether its time has come."""

    reads: NDArray[np.bool_]  # (n,) unread rows of whole matured periods; what it would read also while not ready
    ready: bool
    n_rows: int  # True in `reads`
    closes_at: datetime | None  # end of what it reads, in the time of the log; None without rounding
    why_not: str | None  # None when ready
    n_missing: int  # rows that are missing still; 0 when only the date is
    ready_at: datetime | None  # about when, at present traffic; exact when no rows are missing; None: not by waiting

    def __repr__(self) -> str:
        return f"NextLook(n={len(self.reads)}, ready={self.ready}, n_rows={self.n_rows}, why_not={self.why_not!r})"


def next_look(
    moment: Moments,
    *,
    first_at: datetime | None,
    read_until: datetime | None,
    matured_until: datetime,
    as_of: datetime,
    min_rows: int,
    close_on_days: int | None,
    rows_per_day: float,
) -> NextLook:
    """The rows of the next look, a pure function of what is known as of a moment.

    A period is `close_on_days` days (7: whole weeks; None: no rounding), counted from midnight (UTC) of the first gate
    row's day. A look reads all unread rows before the end of the last period that has matured, once they are at least
    `min_rows` and a period has closed since the look before. Rows that come in late are read by the look after.

    Args:
        moment: (n,) of the unread, matured, usable gate rows, any order, UTC: `occurred_at`, or the first step of the
            row's episode, so that episodes are read whole.
        first_at: of the first gate row that any look at this challenger has read; None before its first look.
        read_until: end of what the look before has read (its `closes_at`); None before the first look.
        matured_until: rows before it have their final reward: as_of minus the attribution window.
        as_of: the moment of the run, from which `ready_at` is counted.
        min_rows: planned rows of a look.
        close_on_days: length of a period, or None.
        rows_per_day: usable rows that mature per day, for `ready_at`.

    Raises UsageError when `matured_until` is after `as_of`, or a count is below 1.
    """
    if matured_until > as_of or min_rows < 1 or (close_on_days is not None and close_on_days < 1):
        raise UsageError(
            f"no schedule of looks: expected matured_until <= as_of and counts of at least 1, got {matured_until} and "
            f"{as_of}, {min_rows} rows and {close_on_days} days. Correct `gate` in the task file."
        )
    if close_on_days is None:
        return _by_rows(moment, np.ones(len(moment), bool), None, as_of, min_rows, rows_per_day)
    origin = first_at if first_at is not None else _earliest(moment)
    if origin is None:
        return _by_rows(moment, np.zeros(len(moment), bool), None, as_of, min_rows, rows_per_day)
    border = _closed(origin, matured_until, close_on_days)
    reads = moment < border
    if read_until is not None and border <= _stamp(read_until):
        return _not_before(reads, border, close_on_days, as_of - matured_until, min_rows)
    found = _by_rows(moment, reads, _datetime(border), as_of, min_rows, rows_per_day)
    if found.ready or len(moment) < min_rows:
        return found
    return _not_before(reads, border, close_on_days, as_of - matured_until, min_rows)


def _by_rows(
    moment: Moments,
    reads: NDArray[np.bool_],
    closes_at: datetime | None,
    as_of: datetime,
    min_rows: int,
    rows_per_day: float,
) -> NextLook:
    n = int(reads.sum())
    missing = max(min_rows - n, 0)
    if not missing:
        return NextLook(reads, True, n, closes_at, None, 0, as_of)
    unread = "" if n == len(moment) else f" ({len(moment):,} with those of the period that has not closed)"
    why = f"expected {min_rows:,} unread matured gate rows, got {n:,}{unread}"
    return NextLook(reads, False, n, closes_at, why, missing, _after(as_of, min_rows - len(moment), rows_per_day))


def _not_before(
    reads: NDArray[np.bool_],
    border: np.datetime64,
    close_on_days: int,
    attribution: Any,
    min_rows: int,
) -> NextLook:
    """Rows would be enough, but the period they lie in has not closed and matured."""
    following = border + np.timedelta64(close_on_days, "D")
    ready_at = _datetime(following) + attribution
    why = (
        f"looks close on whole periods of {close_on_days} days: expected the one that ends "
        f"{_datetime(following):%Y-%m-%d} to have matured, which it will at {ready_at:%Y-%m-%d %H:%M} UTC"
    )
    n = int(reads.sum())
    return NextLook(reads, False, n, _datetime(border), why, 0, ready_at)


def _closed(origin: datetime, matured_until: datetime, close_on_days: int) -> np.datetime64:
    """End of the last whole period that has matured (midnight of the first day where none has)."""
    midnight = _stamp(origin).astype("datetime64[D]").astype("datetime64[us]")
    period = np.timedelta64(close_on_days, "D").astype("timedelta64[us]")
    n_periods = max((_stamp(matured_until) - midnight) // period, 0)
    border: np.datetime64 = midnight + n_periods * period
    return border


def _after(as_of: datetime, n_rows: int, rows_per_day: float) -> datetime | None:
    if not (rows_per_day > 0 and math.isfinite(rows_per_day)):
        return None
    seconds = max(n_rows, 0) / rows_per_day * 86_400
    return _datetime(_stamp(as_of) + np.timedelta64(round(min(seconds, 3e9)), "s"))


def _earliest(moment: Moments) -> datetime | None:
    return _datetime(moment.min()) if len(moment) else None


def _stamp(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _datetime(moment: np.datetime64) -> datetime:
    found: datetime = moment.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)
