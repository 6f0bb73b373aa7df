"""Do actions happen as often as their whole logged distribution says? Counted by the size of the probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.propensities.propensity_health import mean_e_value

N_BINS: Final = 12  # bin b > 0 holds 2^(b - 11) <= p < 2^(b - 10), the last only p = 1; the first all below 2^-10
ONE: Final = 1023  # biased exponent of 1.0
# Relative errors that are bet on, in either direction; fixed before any row is seen.
TILTS: Final = np.array([-0.3, -0.1, -0.05, 0.05, 0.1, 0.3])
CHUNK_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True, repr=False)
class CalibrationBins:
    """Sums over the rows of one policy version whose whole distribution is known; B bins, T tilts.

    P_b is the probability that a row's distribution gives, together, to its actions in bin b.
    """

    n: int
    n_partial: int  # rows that give a declared action the probability 0
    taken: NDArray[np.int64]  # (B,) rows whose action lies in the bin
    expected: NDArray[np.float64]  # (B,) sum of P_b
    variance: NDArray[np.float64]  # (B,) sum of P_b (1 - P_b)
    growth: NDArray[np.float64]  # (B, T) sum of log(1 + tilt P_b)

    def merge(self, other: CalibrationBins) -> CalibrationBins:
        return CalibrationBins(
            n=self.n + other.n,
            n_partial=self.n_partial + other.n_partial,
            taken=self.taken + other.taken,
            expected=self.expected + other.expected,
            variance=self.variance + other.variance,
            growth=self.growth + other.growth,
        )

    @property
    def log_e(self) -> float:
        """log e-value against "every action was drawn from its logged distribution".

        e = mean over bins b and tilts d of prod (1 + d 1{action in b}) / (1 + d P_b): likelihood ratios of the
        distributions that give the actions of one bin more (or less) than logged. Valid at any number of rows,
        P(e ever >= c) <= 1 / c, whatever the support; no bound on a weight is needed.
        Source: Ramdas, Gruenwald, Vovk & Shafer 2023, "Game-theoretic statistics and SAVI", section 3.
        Caveat: blind to errors that cancel inside every bin.
        """
        wealth = np.multiply.outer(self.taken, np.log1p(TILTS)) - self.growth
        return mean_e_value(wealth.ravel())

    @property
    def deviations(self) -> NDArray[np.float64]:
        """(B,) (taken - expected) / sd under the logged distributions; 0 where nothing varies."""
        sd = np.sqrt(self.variance)
        return np.divide(self.taken - self.expected, sd, out=np.zeros(N_BINS), where=sd > 0)

    def __repr__(self) -> str:
        return f"CalibrationBins(n={self.n}, taken={self.taken.tolist()})"


def calibration_bins(action: NDArray[np.int64], distribution: NDArray[np.float64]) -> CalibrationBins:
    """Count rows with actions (n,) in [0, K) and distributions (n, K); memory is bounded by CHUNK_ROWS rows."""
    total = _of_chunk(action[:0], distribution[:0])
    for start in range(0, len(action), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        total = total.merge(_of_chunk(action[rows], distribution[rows]))
    return total


def bin_name(b: int) -> str:
    """`0.125 - 0.25`, for people."""
    edges = [0.0, *(0.5 ** np.arange(N_BINS - 2, -1, -1)).tolist()]
    return "1" if b == N_BINS - 1 else f"{edges[b]:.3g} - {edges[b + 1]:.3g}"


def _of_chunk(action: NDArray[np.int64], distribution: NDArray[np.float64]) -> CalibrationBins:
    n = len(action)
    exponent = (np.ascontiguousarray(distribution).view(np.int64) >> 52) - ONE
    bins = np.clip(exponent + N_BINS - 1, 0, N_BINS - 1)  # (n, K)
    cell = bins + N_BINS * np.arange(n)[:, None]
    inside = np.bincount(cell.ravel(), weights=distribution.ravel(), minlength=n * N_BINS).reshape(n, N_BINS)
    return CalibrationBins(
        n=n,
        n_partial=int((distribution <= 0).any(axis=1).sum()),
        taken=np.bincount(bins[np.arange(n), action], minlength=N_BINS),
        expected=inside.sum(axis=0),
        variance=(inside * (1 - inside)).sum(axis=0),
        growth=np.stack([np.log1p(tilt * inside).sum(axis=0) for tilt in TILTS], axis=1),
    )
