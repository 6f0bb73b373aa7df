"""Decision relevance: would the gate's last verdict stand if its rows had the covariates of today?

The rows that the gate has read are weighted to look like the new ones, and their paired differences are averaged
again. Drift that leaves the verdict as it is needs no person; drift that changes it, or that leads to where the gate
has no rows, does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import UsageError
from policies.gate.judging.betting import first_stake
from policies.gate.judging.interval import Interval
from policies.gate.judging.statistic import paired_differences
from policies.gate.records import GateRows, Plan, Verdict
from policies.gate.soundness.density_ratio import density_ratio, design

LARGEST_WEIGHT: Final = 20.0  # of a row, relative to the mean; more is cut
MINIMUM_ROWS: Final = 200  # of either side; fewer say nothing about a density
MINIMUM_EFFECTIVE_UNITS: Final = 100.0
MINIMUM_COVERED: Final = 0.8  # of the new rows' mass that the old rows reach: mean weight before normalising
LARGEST_IMBALANCE: Final = 0.25  # standard deviations between a weighted old mean and the new one

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Relevance:
    """Whether drift touches the decision. `changed` is True as well where that cannot be told."""

    changed: bool
    difference: float  # mean paired difference on the rows as they are, in units of reward
    interval: Interval
    reweighted: float | None  # the same with the old rows weighted to the new covariates; None where they cannot be
    reweighted_interval: Interval | None
    effective_sample_size: float  # of the weights, in units
    covered: float | None  # share of the new rows' mass that the old rows reach
    imbalance: float | None  # largest distance between a weighted old mean and the new one, in standard deviations
    note: str


def evaluated_differences(rows: GateRows, *, plan: Plan, threshold: float) -> Floats:
    """(n,) the gate's paired differences (DR version) of the rows that its looks have read."""
    stake = first_stake(plan, threshold=threshold)
    return paired_differences(rows, plan=plan, first_stake=stake)[1].value


def weigh_relevance(
    *,
    old: Floats,
    new: Floats,
    difference: Floats,
    unit_id: NDArray[np.str_],
    verdict: Verdict,
    threshold: float,
    coverage: float = 0.95,
    row_weight: Floats | None = None,
    new_row_weight: Floats | None = None,
) -> Relevance:
    """Whether the last verdict changes when the rows it rests on are weighted to the new covariates.

    w(x) = p_new(x) / p_old(x), from a logistic regression of new against old on features, squares and products,
    predicted for rows of other folds (all rows of a unit in one fold), cut at LARGEST_WEIGHT times its mean;
    reweighted = sum w Gamma / sum w, with a standard error clustered by unit.

    promote (or block) changes when the reweighted interval no longer lies above (below) 0; hold and stage change when
    the reweighted mean is so far from 0 that the gate would decide: z^2 / 2 >= log(threshold). A refusal rests on no
    difference and cannot change. Without overlap it counts as changed: few effective units, mass of the new rows that
    no old row reaches, or weights that do not balance the features.

    Args:
        old: (n, d) encoded features of the rows that the gate has read.
        new: (m, d) of the rows that drifted, same encoding.
        difference: (n,) of `evaluated_differences`, in units of reward.
        unit_id: (n,) of the old rows.
        verdict: of the last look.
        threshold: e-value at which the gate decides.
        row_weight: (n,) 1 / sampling_rate of the old rows; None: 1 each.
        new_row_weight: (m,) likewise of the new ones.

    Raises UsageError when shapes do not fit or a number is not finite.
    Caveat: assumes that only covariates moved (the difference given x stays); reward drift is another alarm.
    """
    _require(old, new, difference, unit_id)
    share, new_share = _shares(row_weight, len(old)), _shares(new_row_weight, len(new))
    _, unit = np.unique(unit_id, return_inverse=True)
    z = _normal_quantile(coverage)
    plain, plain_error = _clustered_mean(difference, share, unit)
    interval = Interval(plain - z * plain_error, plain + z * plain_error)
    if verdict == "refuse":
        return _unweighted(plain, interval, changed=False, note="the last look refused: there is no verdict to change")
    if min(len(old), len(new)) < MINIMUM_ROWS:
        note = f"too few rows to weigh: expected {MINIMUM_ROWS} read by the gate and {MINIMUM_ROWS} new ones, got "
        return _unweighted(plain, interval, changed=True, note=f"{note}{len(old):,} and {len(new):,}")
    features = design(old, new)
    ratio = density_ratio(*features, unit=unit, row_weight=share, new_row_weight=new_share)
    ratio = np.minimum(ratio, LARGEST_WEIGHT * float(share @ ratio))
    covered, weights = float(share @ ratio), share * ratio
    if not covered > 0:
        return _unweighted(plain, interval, changed=True, note="no overlap: no old row looks like a new one")
    mean, error = _clustered_mean(difference, weights, unit)
    reweighted_interval = Interval(mean - z * error, mean + z * error)
    size = _effective_units(weights, unit)
    imbalance = _imbalance(*features, weights, new_share)
    refusal = _no_overlap(size, covered, imbalance)
    changed, note = (True, refusal) if refusal else _compare(verdict, mean, error, reweighted_interval, threshold)
    return Relevance(changed, plain, interval, mean, reweighted_interval, size, min(covered, 1.0), imbalance, note)


def _compare(verdict: Verdict, mean: float, error: float, interval: Interval, threshold: float) -> tuple[bool, str]:
    shown = f"{mean:.4g} [{interval.lower:.4g}, {interval.upper:.4g}] on the new covariates"
    if verdict == "promote":
        stays = interval.lower > 0
    elif verdict == "block":
        stays = interval.upper < 0
    else:
        stays = abs(mean) <= math.sqrt(2 * math.log(threshold)) * error
    return not stays, f"the verdict {verdict} {'stays' if stays else 'changes'}: the difference is {shown}"


def _no_overlap(size: float, covered: float, imbalance: float) -> str | None:
    """Why the old rows cannot stand for the new ones, or None."""
    if size < MINIMUM_EFFECTIVE_UNITS:
        return f"no overlap: {size:.0f} effective units, expected {MINIMUM_EFFECTIVE_UNITS:.0f}"
    if covered < MINIMUM_COVERED:
        return f"no overlap: the gate's rows reach {covered:.0%} of the new ones, expected {MINIMUM_COVERED:.0%}"
    if imbalance > LARGEST_IMBALANCE:
        return f"no overlap: weighted features still differ by {imbalance:.2g} deviations, expected {LARGEST_IMBALANCE}"
    return None


def _imbalance(old: Floats, new: Floats, weights: Floats, new_share: Floats) -> float:
    return float(np.abs(weights @ old / weights.sum() - new_share @ new).max(initial=0.0))


def _shares(weight: Floats | None, n: int) -> Floats:
    """(n,) that sum to 1."""
    return np.full(n, 1 / n) if weight is None else np.asarray(weight / weight.sum())


def _clustered_mean(values: Floats, weights: Floats, unit: NDArray[np.int64]) -> tuple[float, float]:
    """sum w v / sum w and its standard error (linearised ratio, clustered by unit)."""
    total = weights.sum()
    mean = float(weights @ values / total)
    sums = np.bincount(unit, weights=weights * (values - mean))
    return mean, float(np.sqrt((sums**2).sum()) / total)


def _effective_units(weights: Floats, unit: NDArray[np.int64]) -> float:
    sums = np.bincount(unit, weights=weights)
    return float(sums.sum() ** 2 / (sums**2).sum())


def _normal_quantile(coverage: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + coverage / 2))


def _unweighted(plain: float, interval: Interval, *, changed: bool, note: str) -> Relevance:
    return Relevance(changed, plain, interval, None, None, 0.0, None, None, note)


def _require(old: Floats, new: Floats, difference: Floats, unit_id: NDArray[np.str_]) -> None:
    shapes = old.ndim == new.ndim == 2 and old.shape[1] == new.shape[1]
    if not (shapes and len(old) == len(difference) == len(unit_id)):
        raise UsageError(
            f"bad arrays for decision relevance: expected old (n, d), new (m, d), difference and unit_id (n,), got "
            f"{old.shape}, {new.shape}, {difference.shape} and {unit_id.shape}. Encode both with one encoding."
        )
    n_bad = sum(int((~np.isfinite(values)).sum()) for values in (old, new, difference))
    if n_bad:
        raise UsageError(
            f"bad numbers for decision relevance: expected finite ones, got {n_bad:,} others. Leave rows out that "
            "cannot be encoded."
        )
