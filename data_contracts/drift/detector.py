"""The e-detector: daily deviations become e-values, their Shiryaev-Roberts sums raise an alarm.

Source: statistics.md section 5; Shin, Ramdas & Rinaldo 2024, "E-detectors: a nonparametric framework for
sequential change detection".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.drift.monitors import Measured
from data_contracts.drift.records import WEIGHTS, Kind

BLOCK_AT: Final = 600.0  # E[SR after D cells] <= D, so an alarm within 30 clean cells has probability <= 30 / 600
WARN_AT: Final = 150.0
STAKES: Final = np.array([0.75, 1.5, 3.0])
TOLERANCE: Final = 0.4  # deviations; absorbs the error of a reference of 30 cells ...
REFERENCE_ERRORS: Final = 2.2  # ... which is 2.2 of its standard errors: the rule for shorter ones
PSEUDO_DAYS: Final = 30
RARE_EVENTS: Final = 20.0  # with fewer, counts are too skewed for STAKES; see Baseline
MINIMUM_COUNT: Final = 50  # rows behind a measured mean
LARGEST_Z: Final = 37.0  # keeps exp() finite

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False)
class Baseline:
    """What the reference says of M monitors, arrays (M,).

    The variance of a cell's mean is max(row_variance / n, 20 reach^2 / n^2) + day_variance. By Bennett's inequality
    the floor keeps E exp(3 (z - 0.4) - 4.5) <= 1 also for events that a cell sees once or never.
    """

    mean: Floats
    row_variance: Floats
    reach: Floats  # largest distance of one row from the mean
    day_variance: Floats  # between cells, beyond what rows explain
    mean_variance: Floats  # of `mean` itself
    degrees: Floats  # of freedom of the between-cell variance; NaN: the reference cannot say


def learn_baseline(reference: Measured, *, row_variance: Floats, reach: Floats, kinds: tuple[Kind, ...]) -> Baseline:
    """Mean and between-day variance of every monitor, the latter shrunk towards its kind's median ratio.

    ratio_j = sum over days of (m_d - mean)^2 / row part of the variance, / (D - 1); shrunk by up to 30 pseudo-days to
    the median ratio of the kind; day_variance = max(0, ratio - 1) times the mean row part. Additive, so that a large
    cell is not taken to be as steady as its rows alone would make it.
    """
    known = reference.count >= MINIMUM_COUNT
    count = np.where(known, reference.count, 0.0)
    total, n_days = count.sum(axis=0), known.sum(axis=0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, reference.mean * count, 0.0).sum(axis=0) / total
        rows_part = np.where(known, _rows_part(count, row_variance, reach), np.nan)
        squares = np.where(known, (reference.mean - mean) ** 2 / rows_part, 0.0).sum(axis=0)
        ratio = squares / (n_days - 1)
    ratio, degrees = _shrink(ratio, n_days, kinds)
    typical = np.where(known, rows_part, 0.0).sum(axis=0) / np.maximum(n_days, 1)
    day_variance = np.maximum(0.0, ratio - 1) * typical
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_variance = row_variance / total + day_variance / n_days
    return Baseline(mean, row_variance, reach, day_variance, mean_variance, degrees)


def standardise(new: Measured, baseline: Baseline) -> tuple[Floats, Floats]:
    """z and tolerance of every monitor in every cell, both (C, M); NaN where one of the two cannot say."""
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = _rows_part(new.count, baseline.row_variance, baseline.reach) + baseline.day_variance
        variance = variance + baseline.mean_variance
        t = (new.mean - baseline.mean) / np.sqrt(variance)
        tolerance = np.maximum(TOLERANCE, REFERENCE_ERRORS * np.sqrt(baseline.mean_variance / variance))
        z = np.clip(_normal_of_t(t, baseline.degrees), -LARGEST_Z, LARGEST_Z)
    return np.where(new.count >= MINIMUM_COUNT, z, np.nan), tolerance


def e_values(z: Floats, tolerance: Floats) -> Floats:
    """Mean over both signs and l in STAKES of exp(l (+-z - tolerance) - l^2 / 2); NaN stays NaN.

    An e-value while |E z| <= tolerance and z is sub-Gaussian with variance 1.
    """
    stakes = STAKES[:, None, None]
    up = np.exp(stakes * (z - tolerance) - stakes**2 / 2)
    down = np.exp(stakes * (-z - tolerance) - stakes**2 / 2)
    mean: Floats = ((up + down) / 2).mean(axis=0)
    return mean


def monitor_weights(kinds: tuple[Kind, ...], usable: NDArray[np.bool_]) -> Floats:
    """(M,) weights that sum to 1: each kind's share of the budget, spread evenly over its usable monitors."""
    shares = {kind: share for kind, share in WEIGHTS.items() if any(_of(kinds, kind) & usable)}
    total = sum(shares.values())
    weights = np.zeros(len(kinds))
    for kind, share in shares.items():
        members = _of(kinds, kind) & usable
        weights[members] = share / total / members.sum()
    return weights


@dataclass(frozen=True, slots=True, repr=False)
class Detected:
    """One detector's walk over C cells: `statistic` (C,) before a restart, `share` (C, M) of it per monitor."""

    statistic: Floats
    share: Floats
    alarm: NDArray[np.bool_]


def detect(e: Floats, weights: Floats, *, threshold: float) -> Detected:
    """SR_d = (SR_{d-1} + 1) e_d per monitor; alarm when sum of weights SR >= threshold; then all restart at 0.

    `e` (C, M) in the order of the cells; a monitor that a cell does not measure (NaN) keeps its sum.
    """
    share = np.zeros_like(e)
    alarm = np.zeros(len(e), np.bool_)
    sums = np.zeros(e.shape[1])
    for d, today in enumerate(e):
        sums = np.where(np.isnan(today), sums, (sums + 1) * today)
        share[d] = weights * sums
        alarm[d] = share[d].sum() >= threshold
        if alarm[d]:
            sums = np.zeros_like(sums)
    return Detected(statistic=share.sum(axis=1), share=share, alarm=alarm)


def _rows_part(count: Floats, row_variance: Floats, reach: Floats) -> Floats:
    part: Floats = np.maximum(row_variance / count, RARE_EVENTS * (reach / count) ** 2)
    return part


def _shrink(ratio: Floats, n_days: Floats, kinds: tuple[Kind, ...]) -> tuple[Floats, Floats]:
    """Shrunk ratios and their degrees of freedom; a kind lends as many pseudo-days as its other monitors saw."""
    shrunk, degrees = np.full_like(ratio, np.nan), np.full_like(ratio, np.nan)
    for kind in WEIGHTS:
        usable = _of(kinds, kind) & (n_days >= 2)
        if not usable.any():
            continue
        own = n_days[usable] - 1
        # the median of chi-square / degrees lies below 1 (Wilson & Hilferty 1931)
        median = np.median(ratio[usable] / (1 - 2 / (9 * own)) ** 3)
        pseudo = np.minimum(PSEUDO_DAYS, (usable.sum() - 1) * own)
        shrunk[usable] = (own * ratio[usable] + pseudo * median) / (own + pseudo)
        degrees[usable] = own + pseudo
    return shrunk, degrees


def _normal_of_t(t: Floats, degrees: Floats) -> Floats:
    """The normal deviate with the tail of Student's t. Source: Wallace 1959, "Bounds on normal approximations"."""
    scale = (8 * degrees + 1) / (8 * degrees + 3)
    deviate: Floats = np.sign(t) * scale * np.sqrt(degrees * np.log1p(t**2 / degrees))
    return deviate


def _of(kinds: tuple[Kind, ...], kind: Kind) -> NDArray[np.bool_]:
    return np.array([k == kind for k in kinds])
