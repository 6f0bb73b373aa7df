"""How the weight of a log is spread over its units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

TOP_SHARE: Final = 0.01  # of the units: the top of them
FEW_UNITS_FACTOR: Final = 5.0  # a top of less than one unit in a hundred may carry so many even shares


@dataclass(frozen=True, slots=True)
class Concentration:
    """Shares of the weight, in [0, 1]."""

    n_units: int
    n_top: int  # units in the top 1 %, at least one
    top: float  # carried by them
    largest: float  # carried by the largest unit
    effective_units: float  # (sum w)^2 / sum w^2 of the units' weights


def measure_concentration(weight: NDArray[np.float64], unit: NDArray[np.int64]) -> Concentration:
    """Weights (n,) > 0 summed by `unit` (n,) codes 0 ... G - 1, n >= 1. The top is ceil(1 % of G) units.

    >>> measure_concentration(np.array([1.0, 1.0, 2.0]), np.array([0, 1, 2])).largest
    0.5
    """
    totals = np.sort(np.bincount(unit, weights=weight))[::-1]
    whole = float(totals.sum())
    n_top = math.ceil(TOP_SHARE * len(totals))
    return Concentration(
        n_units=len(totals),
        n_top=n_top,
        top=float(totals[:n_top].sum()) / whole,
        largest=float(totals[0]) / whole,
        effective_units=whole**2 / float((totals**2).sum()),
    )


def largest_top(found: Concentration, *, alarm_share: float) -> float:
    """The share that the top may carry: `alarm_share`; with few units, where the top is one of fewer than a hundred,
    at least five times what it would carry if all were even (1 and more: no alarm, one of five units is not a crowd).
    """
    return max(alarm_share, FEW_UNITS_FACTOR * found.n_top / found.n_units) if found.n_units < 100 else alarm_share
