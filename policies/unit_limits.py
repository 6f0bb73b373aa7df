"""Rows of a log within the limits of the task: no unit brings too many rows, or too much weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_contracts.units.influence_settings import InfluenceSettings
from data_contracts.units.unit_caps import cap_unit_weights, largest_total, rank_in_unit
from policies.logged_interactions import LoggedInteractions


@dataclass(frozen=True, slots=True)
class Limited:
    """What is left of some rows, and how much was cut."""

    rows: LoggedInteractions  # weights of capped units scaled down
    n_over_limit: int  # rows left out: later ones of units with too many


class GateLimit(NamedTuple):
    """Rows a look may read: a mask (n,), and the most rows of one unit over all looks (None: no unit is cut)."""

    keep: NDArray[np.bool_]
    rows_per_unit: int | None


def limit_units(rows: LoggedInteractions, *, settings: InfluenceSettings) -> Limited:
    """Rows to learn from or to choose on: the earliest `max_rows_per_unit` of each unit, weights capped by unit.

    A log in which no unit exceeds a limit comes back as it is. See `cap_unit_weights` for the bound.
    """
    kept = rows
    if settings.max_rows_per_unit is not None and rows.n:
        rank = rank_in_unit(_codes(rows.unit_id), rows.occurred_at, rows.interaction_id)
        kept = rows.select(rank < settings.max_rows_per_unit) if rank.max() >= settings.max_rows_per_unit else rows
    if not kept.n:
        return Limited(kept, rows.n - kept.n)
    weight = cap_unit_weights(kept.weight, _codes(kept.unit_id), share=settings.max_weight_share_per_unit)
    if weight is not kept.weight:
        kept = replace(kept, weight=weight)
    return Limited(kept, rows.n - kept.n)


def limit_gate_rows(
    unread: LoggedInteractions, read_units: NDArray[np.str_], *, settings: InfluenceSettings
) -> GateLimit:
    """Which of the `unread` rows the next look may read, when rows of `read_units` (m,) have been read before.

    Over all looks, a unit has at most its share of the rows (and at most `max_rows_per_unit`); its earliest unread
    rows stay. The limit follows from how many rows each unit has, never from actions or rewards, so that every row's
    conditional mean, and with it the e-process, is as without a limit.
    """
    names, code = np.unique(np.concatenate([read_units, unread.unit_id]), return_inverse=True)
    totals = np.bincount(code, minlength=len(names)).astype(np.float64)
    limit = largest_total(totals, share=settings.max_weight_share_per_unit)
    if settings.max_rows_per_unit is not None:
        limit = min(limit, settings.max_rows_per_unit)
    if not len(totals) or totals.max() <= limit:
        return GateLimit(np.ones(unread.n, np.bool_), None)
    per_unit = max(1, int(limit))
    before = np.bincount(code[: len(read_units)], minlength=len(names))
    own = code[len(read_units) :].astype(np.int64)
    rank = rank_in_unit(own, unread.occurred_at, unread.interaction_id)
    return GateLimit(before[own] + rank < per_unit, per_unit)


def _codes(unit_id: NDArray[np.str_]) -> NDArray[np.int64]:
    return np.unique(unit_id, return_inverse=True)[1].astype(np.int64)
