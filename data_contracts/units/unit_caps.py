"""Caps on what one unit may contribute: rows (the earliest stay) and weight. Pure functions on arrays."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FAIR_SHARES: Final = 10.0  # a cap never falls below so many times the even share: it must not level a small log


def capped_share(n_units: int, share: float) -> float:
    """The share that one of `n_units` may carry: `share`, or ten even shares where units are few; at most 1."""
    return min(1.0, max(share, FAIR_SHARES / max(n_units, 1)))


def largest_total(totals: NDArray[np.float64], *, share: float) -> float:
    """The cap c on each unit's total that leaves none more than its share of what remains: c = share sum min(t, c).

    `totals` (G,) > 0, one a unit. Returns infinity when no unit is above its share already; exact otherwise.
    Where `share` is less than ten even shares, those stand in (`capped_share`), so that a solution exists.

    >>> largest_total(np.array([1.0] * 98 + [51.0, 51.0]), share=0.1)  # c = (98 + 2 c) / 10
    12.25
    """
    allowed = capped_share(len(totals), share)
    if not len(totals) or totals.max() <= allowed * totals.sum():
        return float("inf")
    ordered = np.sort(totals)[::-1]
    rest = ordered.sum() - np.cumsum(ordered)  # beyond the k largest
    k = np.arange(1, len(ordered) + 1)
    room = 1 - allowed * k
    caps = np.divide(allowed * rest, room, out=np.full(len(ordered), np.inf), where=room > 0)
    below = np.append(ordered[1:], 0.0)  # the k largest are cut, the next is not
    return float(caps[int(np.argmax(caps >= below))])


def cap_unit_weights(weight: NDArray[np.float64], unit: NDArray[np.int64], *, share: float) -> NDArray[np.float64]:
    """Weights (n,) scaled down, unit by unit, so that none carries more than its share of their sum.

    `weight` (n,) > 0, `unit` (n,) codes 0 ... G - 1. What needs no cap is returned as it is, to the bit. With k
    units of arbitrary rewards, a mean under these weights moves by at most k share (the reward's range).
    Source: winsorised weights, Cole & Hernan 2008, by cluster. Caveat: a cap that binds trades bias for a bound.
    """
    totals = np.asarray(np.bincount(unit, weights=weight), np.float64)
    cap = largest_total(totals, share=share)
    if np.isinf(cap):
        return weight
    factor = np.minimum(1.0, cap / totals)
    capped: NDArray[np.float64] = weight * factor[unit]
    return capped


def rank_in_unit(
    unit: NDArray[np.int64], occurred_at: NDArray[np.datetime64], interaction_id: NDArray[np.str_]
) -> NDArray[np.int64]:
    """(n,) how many rows of the same unit come before each row by (occurred_at, interaction_id), 0 first.

    It looks only back, and at neither action nor reward: leaving out rows of high rank is no selection by outcome.
    """
    order = np.lexsort((interaction_id, occurred_at, unit))
    sizes = np.bincount(unit)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(unit), np.int64)
    rank[order] = np.arange(len(unit)) - np.repeat(starts, sizes)
    return rank
