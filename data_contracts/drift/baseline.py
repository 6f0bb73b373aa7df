"""What the reference expects of every monitor: its mean, on weekdays of their own where it follows the week."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.drift.monitors import Measured
from data_contracts.drift.records import WEIGHTS, Kind

TOLERANCE: Final = 0.4  # deviations; absorbs the error of a reference of 30 cells ...
REFERENCE_ERRORS: Final = 2.2  # ... which is 2.2 of its standard errors: the rule for shorter ones
PSEUDO_DAYS: Final = 30
RARE_EVENTS: Final = 21.0  # with fewer, counts are too skewed for the detector's stakes; see Baseline
MINIMUM_COUNT: Final = 50  # rows behind a measured mean
LARGEST_Z: Final = 37.0  # keeps exp() finite
WEEKS: Final = 4  # of every weekday, before a monitor may be said to follow the week
WEEK_LEVEL: Final = 0.01  # of the F test that says so; a monitor that does not pays no price

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, repr=False)
class Baseline:
    """What the reference says of M monitors.

    The variance of a cell's mean is max(row_variance / n, 21 reach^2 / n^2) + day_variance. By Bennett's inequality
    the floor keeps E exp(3 (z - 0.4) - 4.5) <= 1 also for events that a cell sees once or never.
    """

    mean: Floats  # (7, M) per weekday, Monday first; seven times the same where `weekly` is False
    weekly: Flags  # (M,)
    row_variance: Floats  # (M,)
    reach: Floats  # (M,) largest distance of one row from the mean
    day_variance: Floats  # (M,) between cells, beyond what rows and weekdays explain
    mean_variance: Floats  # (7, M) of `mean` itself
    degrees: Floats  # (M,) of freedom of the between-cell variance; NaN: the reference cannot say


def learn_baseline(
    reference: Measured,
    *,
    row_variance: Floats,
    reach: Floats,
    kinds: tuple[Kind, ...],
    weekday: NDArray[np.int64],
) -> Baseline:
    """Mean and between-day variance of every monitor, the latter shrunk towards its kind's median ratio.

    ratio_j = sum over days of (m_d - mean)^2 / row part of the variance, / degrees of freedom; shrunk by up to 30
    pseudo-days to the median ratio of the kind; day_variance = max(0, ratio - 1) times the mean row part. Additive,
    so that a large cell is not taken to be as steady as its rows alone would make it.

    With four cells or more of every weekday, a monitor whose F ratio between weekdays is beyond the 1 % point has
    seven means and D - 7 degrees of freedom; all others have one mean, and a weekly pattern too weak to be seen is
    part of their day_variance. `weekday` (D,) of the reference's cells, -1 where a cell has several.
    """
    known = reference.count >= MINIMUM_COUNT
    count = np.where(known, reference.count, 0.0)
    total, n_days = count.sum(axis=0), known.sum(axis=0).astype(np.float64)
    values = np.where(known, reference.mean, 0.0)
    day = np.eye(7)[weekday] * (weekday >= 0)[:, None]  # (D, 7)
    with np.errstate(invalid="ignore", divide="ignore"):
        rows_part = np.where(known, _rows_part(count, row_variance, reach), np.nan)
        one_mean = (values * count).sum(axis=0) / total
        one = np.nansum((values - one_mean) ** 2 / rows_part, axis=0)
        seven_means = day.T @ (values * count) / (day.T @ count)
        seven = np.nansum((values - day @ np.nan_to_num(seven_means)) ** 2 / rows_part, axis=0)
        weekly = _follow_the_week(one, seven, n_days, day.T @ known, bool((weekday >= 0).all()))
        ratio = np.where(weekly, seven, one) / (n_days - np.where(weekly, 7, 1))
    ratio, degrees = _shrink(ratio, n_days - np.where(weekly, 7, 1), kinds, varies=row_variance > 0)
    typical = np.nansum(rows_part, axis=0) / np.maximum(n_days, 1)
    day_variance = np.maximum(0.0, ratio - 1) * typical
    with np.errstate(invalid="ignore", divide="ignore"):
        one_variance = row_variance / total + day_variance / n_days
        seven_variances = row_variance / (day.T @ count) + day_variance / (day.T @ known)
    return Baseline(
        mean=np.where(weekly, seven_means, one_mean),
        weekly=weekly,
        row_variance=row_variance,
        reach=reach,
        day_variance=day_variance,
        mean_variance=np.where(weekly, seven_variances, one_variance),
        degrees=degrees,
    )


def standardise(new: Measured, baseline: Baseline, *, week: Floats) -> tuple[Floats, Floats, Floats]:
    """Expected mean, z and tolerance of every monitor in every cell, all (C, M); z is NaN where one cannot say.

    `week` (C, 7) is the share of each cell's rows per weekday.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = week @ baseline.mean
        errors = np.where(baseline.weekly, week**2 @ baseline.mean_variance, baseline.mean_variance[0])
        variance = _rows_part(new.count, baseline.row_variance, baseline.reach) + baseline.day_variance + errors
        t = (new.mean - expected) / np.sqrt(variance)
        # the errors of seven means are independent: over a week they add up to no more than the error of one mean
        lasting = np.where(baseline.weekly, baseline.mean_variance.mean(axis=0) / 7, baseline.mean_variance[0])
        tolerance = np.maximum(TOLERANCE, REFERENCE_ERRORS * np.sqrt(lasting / variance))
        z = np.clip(_normal_of_t(t, baseline.degrees), -LARGEST_Z, LARGEST_Z)
    return expected, np.where(new.count >= MINIMUM_COUNT, z, np.nan), tolerance


def _follow_the_week(one: Floats, seven: Floats, n_days: Floats, days: Floats, pure: bool) -> Flags:
    """(M,) from the squares around one mean and around seven, and the cells (7, M) of each weekday."""
    may = pure & (days >= WEEKS).all(axis=0)
    if not may.any():
        return np.zeros(len(one), np.bool_)
    from scipy.special import fdtrc

    left = np.where(may, n_days - 7, 1.0)
    ratio = np.divide((one - seven) / 6, seven / left, out=np.zeros_like(one), where=may & (seven > 0))
    return np.asarray(may & (fdtrc(6.0, left, np.maximum(ratio, 0.0)) < WEEK_LEVEL), np.bool_)


def _rows_part(count: Floats, row_variance: Floats, reach: Floats) -> Floats:
    part: Floats = np.maximum(row_variance / count, RARE_EVENTS * (reach / count) ** 2)
    return part


def _shrink(ratio: Floats, own_degrees: Floats, kinds: tuple[Kind, ...], *, varies: Flags) -> tuple[Floats, Floats]:
    """Shrunk ratios and their degrees of freedom; a kind lends as many pseudo-days as its other monitors saw.

    What the reference has never seen (a share of 0) says nothing about the days of the others, so the median leaves
    it out where it can.
    """
    shrunk, degrees = np.full_like(ratio, np.nan), np.full_like(ratio, np.nan)
    for kind in WEIGHTS:
        usable = np.array([k == kind for k in kinds], np.bool_) & (own_degrees >= 1)
        if not usable.any():
            continue
        own = own_degrees[usable]
        seen = varies[usable] if varies[usable].any() else usable[usable]
        # the median of chi-square / degrees lies below 1 (Wilson & Hilferty 1931)
        median = np.median((ratio[usable] / (1 - 2 / (9 * own)) ** 3)[seen])
        pseudo = np.minimum(PSEUDO_DAYS, (usable.sum() - 1) * own)
        shrunk[usable] = (own * ratio[usable] + pseudo * median) / (own + pseudo)
        degrees[usable] = own + pseudo
    return shrunk, degrees


def _normal_of_t(t: Floats, degrees: Floats) -> Floats:
    """The normal deviate with the tail of Student's t. Source: Wallace 1959, "Bounds on normal approximations"."""
    scale = (8 * degrees + 1) / (8 * degrees + 3)
    deviate: Floats = np.sign(t) * scale * np.sqrt(degrees * np.log1p(t**2 / degrees))
    return deviate
