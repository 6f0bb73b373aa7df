"""Branch G of the gate: a normal test at planned looks, made safe against the tails that a log has not shown yet.

At each look z = (mean - margin - bias) / sqrt(max(empirical, floor) / n), corrected for skewness, is held against an
O'Brien-Fleming boundary. The floor is the variance that the policies imply, so that no heavy event has to have
happened; the tail rule asks whether enough of them could have. Source: statistics of the gate, section 4.3;
skewness: Johnson 1978, "Modified t tests", the first
Edgeworth term of a standardised mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.differences import Differences

LEAST_LOWER_TAIL: Final = 30.0  # effective number of observations in the tail that could hurt
LEAST_EVENTS: Final = 10.0  # observations that differ and were rewarded
LEAST_FLOOR: Final = 0.4  # of the empirical variance: below, something varies that the policies do not explain


@dataclass(frozen=True, slots=True)
class Moments:
    """What the branch knows at one look, of all n observations read so far."""

    look: int
    n: float  # observations
    n_units: float
    information: float  # variance of the sum that the policies imply, in residual variances: sum share^2 E[dw^2 | x]
    mean: float  # in reward, weighted by share
    clustered: float  # variance of the sum of share * (value - mean), by units, as seen
    standard_error: float  # of the mean: clustered by unit; at least the floor
    floor_used: bool  # the policies imply more variance than was seen
    skewness: float  # of the units' sums
    lower_tail: float  # effective number of observations in the lower tail
    events: float  # expected number of informative observations
    floor_ratio: float  # variance implied by the policies / seen, per observation

    @property
    def tail_rule(self) -> bool:
        return self.lower_tail >= LEAST_LOWER_TAIL and self.events >= LEAST_EVENTS and self.floor_ratio > LEAST_FLOOR


def moments_at_looks(differences: Differences) -> tuple[Moments, ...]:
    """The cumulative moments at every look from 1 to the last that read an observation, in one pass.

    A look that read nothing repeats the one before. Looks before the first observation have n = 0 and nothing else.
    Kept with the stream, which is asked about many margins.
    """
    try:
        return differences.kept_moments
    except AttributeError:
        object.__setattr__(differences, "kept_moments", _cumulative(differences))
        return differences.kept_moments


def _cumulative(differences: Differences) -> tuple[Moments, ...]:
    last = int(differences.look[-1]) if differences.n else 0
    ends = np.searchsorted(differences.look, np.arange(1, last + 1), side="right")
    rows = _row_sums(differences, ends)
    units = _unit_sums(differences, ends)
    return tuple(_moments(look, rows[look - 1], units[look - 1]) for look in range(1, last + 1))


def needed_z(boundary: float, *, skewness: float, n: float) -> float:
    """The least z with z + min(skewness, 0) (1 + 2 z^2) / (6 sqrt(n)) >= boundary; infinity where none is.

    A mean whose observations have a long lower tail is less far above 0 than it seems; upper tails need nothing.
    """
    a = min(skewness, 0.0) / (6 * math.sqrt(n))
    if a == 0 or not math.isfinite(boundary):
        return boundary
    inside = 1 - 8 * a * (a - boundary)  # of 2 a z^2 + z + a - boundary = 0
    return (-1 + math.sqrt(inside)) / (4 * a) if inside >= 0 else math.inf


def sums_up_to(values: NDArray[np.float64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """(len(ends),) sums of the first `ends` of the values (n,); `ends` in [0, n], never decreasing."""
    parts = [values[start:end].sum() for start, end in pairwise((0, *ends.tolist()))]
    sums: NDArray[np.float64] = np.cumsum(parts, dtype=np.float64)
    return sums


def _row_sums(differences: Differences, ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """(looks, 18) cumulative sums over observations, in the order in which `_moments` names them."""
    return np.stack([sums_up_to(term * differences.count, ends) for term in _terms(differences)], axis=1)


def _terms(d: Differences) -> Iterator[NDArray[np.float64]]:
    """One at a time: a million rows of each are 8 MB."""
    yield np.ones(d.n)
    yield from (d.share, d.share**2)
    yield from (d.share * d.value, (share2 := d.share**2) * d.value**2, share2 * d.value)
    yield from (d.share * d.direct, share2 * d.direct**2, share2 * d.direct)
    yield from (share2 * d.spread, share2 * d.residual_squared, d.share * d.change)
    yield from (share2**2 * d.fourth_down, share2**2 * d.fourth_up)
    yield from (d.reward**2, np.maximum(d.reward, 0) ** 4, np.minimum(d.reward, 0) ** 4, (d.reward != 0) * 1.0)


def _unit_sums(differences: Differences, ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """(looks, 8) n_units and the sums over units of u^2, u w, w^2, u^3, u^2 w, u w^2, w^3 for u = sum share * value,
    w = sum share, of what each unit had at each look."""
    d = differences
    n_units = int(d.unit.max(initial=-1)) + 1
    total_u, total_w = np.zeros(n_units), np.zeros(n_units)
    found, running, start = [], np.zeros(8), 0
    for end in ends:
        rows = slice(start, int(end))
        units, code = np.unique(d.unit[rows], return_inverse=True)
        u, w = total_u[units], total_w[units]
        count = np.ones(len(units))
        count[code] = d.count[rows]
        new_u = u + np.bincount(code, weights=d.share[rows] * d.value[rows], minlength=len(units))
        new_w = w + np.bincount(code, weights=d.share[rows], minlength=len(units))
        running = running + (_powers(new_u, new_w) - _powers(u, w)) @ count
        total_u[units], total_w[units] = new_u, new_w
        found.append(running)
        start = int(end)
    return np.array(found).reshape(len(ends), 8)


def _powers(u: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([(w > 0) * 1.0, u * u, u * w, w * w, u**3, u * u * w, u * w * w, w**3])


def _moments(look: int, rows: NDArray[np.float64], units: NDArray[np.float64]) -> Moments:
    n, s, ss, sv, svv, ssv, sd, sdd, ssd, spread, residual, change, down, up, r2, r4_up, r4_down, rewarded = (
        rows.tolist()
    )
    if n == 0:
        return Moments(look, 0, 0, 0.0, 0.0, 0.0, math.inf, False, 0.0, 0.0, 0.0, 0.0)
    n_units, uu, uw, ww, uuu, uuw, uww, www = units.tolist()
    mean = sv / s
    clustered = _positive(uu - 2 * mean * uw + mean**2 * ww) * (n_units / (n_units - 1) if n_units > 1 else math.inf)
    alone = _positive(svv - 2 * mean * ssv + mean**2 * ss)
    known = sd / s
    implied = spread * residual / ss + _positive(sdd - 2 * known * ssd + known**2 * ss)
    variance = max(clustered, implied)
    third = uuu - 3 * mean * uuw + 3 * mean**2 * uww - mean**3 * www
    tail = down * r4_up + up * r4_down
    return Moments(
        look=look,
        n=n,
        n_units=n_units,
        information=spread,
        mean=mean,
        clustered=clustered,
        standard_error=math.sqrt(variance) / s,
        floor_used=implied > clustered,
        skewness=third * math.sqrt(n_units) / variance**1.5 if variance > 0 else 0.0,
        lower_tail=(spread * r2 / n) ** 2 / (tail / n) if tail > 0 else math.inf,
        events=change**2 / spread * rewarded / n if spread > 0 else 0.0,
        floor_ratio=implied / alone if alone > 0 else math.inf,
    )


def _positive(value: float) -> float:
    return max(value, 0.0)  # rounding of a difference of sums
