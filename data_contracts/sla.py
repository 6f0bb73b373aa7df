"""Is the log there, and is it whole? The contract's service levels, judged on the accepted rows at a moment.

Freshness: the newest accepted interaction is at most `freshness` old, by event time.
Completeness of interactions: the newest UTC day that should be whole (it ended at least `freshness` ago) has at least
`value` % of the rows that are usual: the median of the same weekday of the four weeks before it, as far as the log
reaches back (its first day, which may have begun at noon, does not count). A weekend is thus compared with weekends,
one lost day moves no median, and nothing is judged in the first week.
Completeness of outcomes: at least `value` % of the matured interactions have an outcome (or a reward in the row).
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.checks import CheckResult, FactTable, Section
from data_contracts.contract import Completeness, Contract
from data_contracts.rewards.outcomes import utc64

WEEKS: Final = 4
FRESHNESS: Final = "freshness"
COMPLETENESS: Final = "completeness"
DAY: Final = np.timedelta64(1, "D")


def sla_section(
    contract: Contract,
    occurred_at: pa.ChunkedArray,
    *,
    now: datetime,
    matured: NDArray[np.bool_] | None = None,
    answered: NDArray[np.bool_] | None = None,
) -> Section:
    """The promised service levels at `now`; without a promise, no check.

    Args:
        occurred_at: (n,) event times of the accepted interactions; those after `now` do not count.
        matured, answered: (n,) is the interaction old enough that its reward is final, and is there an outcome (or a
            reward in the row)? Needed where completeness of outcomes is promised; a check without them fails.
    """
    times = occurred_at.to_numpy()
    seen = times <= utc64(now)
    checks, tables = [], []
    if contract.freshness_hours is not None:
        checks.append(_freshness(contract, contract.freshness_hours, times[seen], now))
    for promise in contract.completeness:
        if promise.element == "interactions":
            check, table = _whole_day(contract, promise, times[seen], now)
            checks.append(check)
            tables += [table] if table is not None else []
        else:
            due = None if matured is None or answered is None else answered[matured & seen]
            checks.append(_answered(contract, promise, due))
    return Section("sla", "Service levels", tuple(checks), tuple(tables))


def daily_counts(times: NDArray[np.datetime64], *, last: date) -> dict[date, int]:
    """Rows of every UTC day from the first day of `times` (n,) to `last`, days without any included."""
    if not len(times):
        return {}
    days = times.astype("datetime64[D]")
    n_days = max(int((np.datetime64(last, "D") - days.min()) / DAY) + 1, 0)
    places = ((days - days.min()) / DAY).astype(np.int64)
    counts = np.bincount(places[places < n_days], minlength=n_days)
    first: date = days.min().astype(date)
    return {first + timedelta(days=i): int(n) for i, n in enumerate(counts)}


def usual_rows(counts: dict[date, int], day: date) -> float | None:
    """Median rows of the same weekday in the four weeks before `day`; None where the log reaches back less than one.

    `counts` has every day of the log; its first day may be a part of one and does not count.
    """
    first = min(counts, default=day)
    earlier = [day - timedelta(weeks=k) for k in range(1, WEEKS + 1)]
    usual = [counts[d] for d in earlier if d > first and d in counts]
    return float(np.median(usual)) if usual else None


def _freshness(contract: Contract, hours: float, times: NDArray[np.datetime64], now: datetime) -> CheckResult:
    age = (utc64(now) - times.max()) / np.timedelta64(1, "h") if len(times) else math.inf
    newest = f", of {np.datetime_as_string(times.max(), unit='m', timezone='UTC')}" if len(times) else ""
    return CheckResult(
        rule=FRESHNESS,
        column="occurred_at",
        level=contract.freshness_severity,
        passed=bool(age <= hours),
        observed=f"newest interaction {age:.1f} h old{newest}" if len(times) else "no interaction",
        limit=f"at most {hours:g} h",
        n_rows=len(times),
        description="the newest accepted interaction is recent, by event time",
    )


def _whole_day(
    contract: Contract, promise: Completeness, times: NDArray[np.datetime64], now: datetime
) -> tuple[CheckResult, FactTable | None]:
    due = now - timedelta(hours=contract.freshness_hours or 0.0)
    day: date = (utc64(due).astype("datetime64[D]") - DAY).astype(date)
    counts = daily_counts(times, last=day)
    usual = usual_rows(counts, day)
    n_rows = counts.get(day, 0)
    if usual is None:
        passed, observed = True, f"{n_rows:,} rows on {day}; not judged before the log has a week of history"
    else:
        passed = bool(n_rows >= promise.percent / 100 * usual)
        observed = f"{n_rows:,} rows on {day}, {_share(n_rows, usual)} of the usual {usual:,.0f}"
    check = CheckResult(
        rule=COMPLETENESS,
        column="interactions",
        level=contract.completeness_severity,
        passed=passed,
        observed=observed,
        limit=f"at least {promise.percent:g} % of the median of the same weekday of {WEEKS} weeks",
        n_rows=n_rows,
        description="the newest whole day has as many interactions as usual",
    )
    return check, _table(counts, day) if counts else None


def _answered(contract: Contract, promise: Completeness, answered: NDArray[np.bool_] | None) -> CheckResult:
    if answered is None:
        passed, observed = False, "not measurable"
    elif not len(answered):
        passed, observed = True, "no matured interaction yet"
    else:
        n = int(answered.sum())
        passed, observed = n >= promise.percent / 100 * len(answered), f"{_share(n, len(answered))} ({n:,})"
    return CheckResult(
        rule=COMPLETENESS,
        column="outcomes",
        level=contract.completeness_severity,
        passed=passed,
        observed=observed,
        limit=f"at least {promise.percent:g} %",
        n_rows=0 if answered is None else len(answered),
        description="matured interactions have an outcome, or a reward in the row",
    )


def _share(n: float, of: float) -> str:
    return f"{100 * n / of:.1f} %" if of else "all"


def _table(counts: dict[date, int], day: date) -> FactTable:
    """The judged day and the days it was compared with."""
    days = [d for k in range(WEEKS + 1) if (d := day - timedelta(weeks=k)) in counts]
    rows = tuple((d.isoformat(), f"{counts[d]:,}") for d in days)
    return FactTable("Interactions a day, same weekday", ("day", "rows"), rows)
