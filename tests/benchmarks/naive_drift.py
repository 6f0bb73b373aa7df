"""The checks that drift tools ship with, on the same months: one flag a day for "some column drifted".

Re-implementations of the documented defaults (10 bins), not the packages: those do not run on this stack.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from scipy import stats

from tests.benchmarks.drift_world import CATEGORIES, NUMBERS

BINS: Final = 10
NAMES: Final = ("KS / chi-square p < .05, any column", "PSI > .2, any column", "JS > mean + 3 sd, any column")


def daily_flags(reference: pa.Table, new: pa.Table) -> dict[str, np.ndarray]:
    """(days,) whether each check raises an alarm on that day."""
    columns = [_column(reference, new, name) for name in (*NUMBERS, *CATEGORIES, "action")]
    tests = np.array([_p_values(reference, new, name) for name in (*NUMBERS, *CATEGORIES, "action")])
    psi = np.array([_psi(before.sum(axis=0), after) for before, after in columns])
    js, limit = zip(*[_js(before, after) for before, after in columns], strict=True)
    flags = [(tests < 0.05).any(axis=0), (psi > 0.2).any(axis=0), (np.array(js) > np.array(limit)[:, None]).any(axis=0)]
    return dict(zip(NAMES, flags, strict=True))


def _days(table: pa.Table) -> np.ndarray:
    day = table["occurred_at"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return day - day.min()


def _column(reference: pa.Table, new: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Counts per day and bin, (days, bins) each; bins are deciles of the reference, or the categories."""
    before, after = _values(reference, name), _values(new, name)
    if name in NUMBERS:
        borders = np.quantile(before, np.linspace(0, 1, BINS + 1)[1:-1])
        before, after = np.searchsorted(borders, before), np.searchsorted(borders, after)
    n = int(max(before.max(), after.max())) + 1
    return _counts(_days(reference), before, n), _counts(_days(new), after, n)


def _values(table: pa.Table, name: str) -> np.ndarray:
    if name in NUMBERS:
        return table[name].to_numpy()
    letters = table[name].to_numpy().astype("U1")
    codes: np.ndarray = letters.view(np.int32) - ord("a")
    return codes


def _counts(day: np.ndarray, code: np.ndarray, n: int) -> np.ndarray:
    n_days = int(day.max()) + 1
    counts: np.ndarray = np.bincount(day * n + code, minlength=n_days * n).reshape(n_days, n)
    return counts


def _p_values(reference: pa.Table, new: pa.Table, name: str) -> np.ndarray:
    """(days,) of each day against the whole reference: Kolmogorov-Smirnov, or chi-square of homogeneity."""
    if name not in NUMBERS:
        before, after = _column(reference, new, name)
        keep = before.sum(axis=0) > 0
        return np.array([stats.chi2_contingency([before.sum(axis=0)[keep], day[keep]]).pvalue for day in after])
    known, values, day = np.sort(_values(reference, name)), _values(new, name), _days(new)
    return np.array([_ks(known, np.sort(values[day == d])) for d in range(day.max() + 1)])


def _ks(known: np.ndarray, values: np.ndarray) -> float:
    at = np.searchsorted(known, values) / len(known)
    steps = np.arange(len(values) + 1) / len(values)
    distance = max(np.abs(at - steps[1:]).max(), np.abs(at - steps[:-1]).max())
    size = np.sqrt(len(known) * len(values) / (len(known) + len(values)))
    return float(stats.kstwobign.sf(size * distance))


def _psi(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    p, q = _shares(before), _shares(after)
    psi: np.ndarray = ((q - p) * np.log(q / p)).sum(axis=-1)
    return psi


def _js(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, float]:
    """Distance of each new day from the reference, and mean + 3 sd of the reference's own days."""
    whole = before.sum(axis=0)
    own = _distance(before, whole)
    return _distance(after, whole), float(own.mean() + 3 * own.std())


def _distance(days: np.ndarray, whole: np.ndarray) -> np.ndarray:
    p, q = _shares(whole), _shares(days)
    middle = (p + q) / 2
    js: np.ndarray = np.sqrt(((p * np.log2(p / middle)) + (q * np.log2(q / middle))).sum(axis=-1) / 2)
    return js


def _shares(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = (counts + 1e-4) / (counts + 1e-4).sum(axis=-1, keepdims=True)
    return shares
