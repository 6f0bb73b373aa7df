"""How far a few units could have moved the estimated lift, had they given any rewards they liked."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.records import GateRows, Plan

HANDFUL: Final = 10  # units


def lift_bounds(rows: GateRows, plan: Plan) -> NDArray[np.float64]:
    """(G,) the most that each unit's rewards alone could have moved the lift, largest first, in units of reward.

    range * sum_{i of the unit} weight_i |d_i / p_i| / sum_i weight_i, d = challenger - champion, p = propensity of the
    logged action: IPS and DR are sums over rows, linear in each reward with that slope, and a reward lies in its
    range. k units together move the lift by at most the sum of the k largest, whatever they do. Exact, not a
    probability. Caveat: of the estimate, given which rows they have; rewards they gave before the window are in the
    policies themselves.
    """
    index = np.arange(rows.n)
    slope = np.abs(rows.challenger - rows.champion)[index, rows.action] / rows.propensity * rows.weight
    by_unit = np.bincount(rows.units[1], weights=slope) / rows.weight.sum()
    largest_first: NDArray[np.float64] = np.sort(by_unit)[::-1] * (plan.reward_maximum - plan.reward_minimum)
    return largest_first


def influence_evidence(
    rows: GateRows, plan: Plan, *, n_over_limit: int, rows_per_unit: int | None
) -> dict[str, float | int | None]:
    """JSON-ready: bounds on what one unit and a handful could have done, and what the limit on rows left out."""
    bounds = lift_bounds(rows, plan)
    sizes = np.bincount(rows.units[1])
    found: dict[str, Any] = {
        "largest_unit_rows": int(sizes.max()),
        "rows_per_unit": rows_per_unit,
        "n_over_limit": n_over_limit,
        "lift_bound_of_one": float(bounds[0]),
        "lift_bound_of_handful": float(bounds[:HANDFUL].sum()),
        "handful": HANDFUL,
    }
    return found
