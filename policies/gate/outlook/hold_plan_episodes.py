"""How much longer, for a log of episodes: more of the same.

Other logging would change every step of an episode at once, which its log cannot say; bounding the head against the
champion is the lever there.
"""

from __future__ import annotations

import math
from typing import Any

from policies.gate.judging.differences import Differences
from policies.gate.judging.planned_branch import moments_at_looks
from policies.gate.outlook.hold_plan import HoldPlan
from policies.gate.outlook.power import POWER, last_boundary, normal_quantile
from policies.gate.question import Question


def plan_more_episodes(
    n_rows: int, differences: Differences, *, lift: dict[str, Any], question: Question, rows_left: int
) -> HoldPlan:
    """Rows (steps) from now on until a lift is proven in 80 % of cases: ((c + z_.8) SE / lift)^2 episodes in all.

    c is the planned branch's last boundary, SE that of all n episodes times sqrt(n); steps at the present length of an
    episode. `differences` are the stream of episodes, `n_rows` their steps. Caveat: the tail rule may ask for more.
    """
    settings, inputs = question.settings, question.inputs
    boundary = last_boundary(inputs.alpha, n_looks=settings.looks)
    per_episode = n_rows / differences.n
    spread = moments_at_looks(differences)[-1].standard_error * math.sqrt(differences.n)
    minimum = settings.minimum_lift * abs(lift["champion_value"])

    def more(target: float) -> int | None:
        known = target > 0 and math.isfinite(boundary) and 0 < spread < math.inf
        needed = ((boundary + normal_quantile(POWER)) * spread / target) ** 2 if known else math.inf
        return math.ceil(max(needed - differences.n, 0) * per_episode) if math.isfinite(needed) else None

    target = minimum if minimum > 0 else lift["estimate"]
    at_estimate, at_minimum = more(lift["estimate"]), more(target)
    rate = inputs.rows_per_day
    return HoldPlan(
        rows_read=n_rows,
        rows_per_day=rate,
        rows_left=rows_left,
        lift=target,
        minimum_lift=settings.minimum_lift,
        power=POWER,
        boundary=boundary if math.isfinite(boundary) else None,
        rows_at_estimate=at_estimate,
        days_at_estimate=_days(at_estimate, rate),
        rows_at_minimum_lift=at_minimum,
        days_at_minimum_lift=_days(at_minimum, rate),
        options=(),
        cheapest=None,
        settles=_settles(target, at_minimum, per_episode),
    )


def _settles(lift: float, rows: int | None, per_episode: float) -> str:
    if rows is None:
        return "No log can tell them apart: the policies act alike, or no lift is worth finding."
    if rows == 0:
        return f"A lift of {lift:.3g} per episode would have shown by now in 4 of 5 cases."
    return (
        f"A lift of {lift:.3g} per episode needs about {float(f'{rows / per_episode:.2g}'):,.0f} more episodes; a head "
        "bounded closer to the champion needs fewer."
    )


def _days(rows: int | None, rows_per_day: float) -> float | None:
    return rows / rows_per_day if rows is not None and rows_per_day > 0 else None
