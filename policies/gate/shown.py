"""What people are shown of a look's rows beside the verdict: estimates, weights, influence, and how much longer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import numpy as np

from policies.gate.judging import anytime_branch
from policies.gate.judging.differences import TwoSided
from policies.gate.outlook.hold_plan import plan_hold
from policies.gate.outlook.hold_plan_episodes import plan_more_episodes
from policies.gate.question import Question
from policies.gate.reading import Reading
from policies.gate.records import GateRows
from policies.gate.settings import GateSettings
from policies.gate.soundness.unit_influence import influence_evidence
from policies.ope import Estimate, estimate_all
from policies.ope.diagnostics import (
    ExpectedWeight,
    effective_sample_size,
    unsupported_mass,
    weight_histogram,
    weight_quantiles,
)

TRAJECTORY_POINTS: Final = 60


def estimates_of(rows: GateRows) -> tuple[Estimate, ...]:
    """Every one-step estimator for champion, challenger and difference."""
    return estimate_all(
        action=rows.action,
        reward=rows.reward,
        propensity=rows.propensity,
        champion=rows.champion,
        challenger=rows.challenger,
        reward_model=rows.reward_model,
        unit_id=rows.unit_id,
        weight=rows.weight,
        units=rows.units,
    )


def weights_of(rows: GateRows, expected: tuple[ExpectedWeight, ...], settings: GateSettings) -> dict[str, Any]:
    """Of the challenger, with the logged propensities."""
    weights = rows.challenger[np.arange(rows.n), rows.action] / rows.propensity
    histogram = weight_histogram(weights)
    return {
        "effective_sample_size": effective_sample_size(weights * rows.weight, rows.units[1]),
        "quantiles": weight_quantiles(weights),
        "histogram": {"edges": list(histogram.edges), "counts": list(histogram.counts)},
        "unsupported_mass": unsupported_mass(
            rows.behavior, rows.challenger, support_propensity=settings.support_propensity, weight=rows.weight
        ),
        "expected_weight": [asdict(found) for found in expected],
    }


def influence_of(rows: GateRows, question: Question) -> dict[str, float | int | None]:
    """What one unit and a handful could have done."""
    inputs = question.inputs
    return influence_evidence(rows, question.plan, n_over_limit=inputs.n_over_limit, rows_per_unit=inputs.rows_per_unit)


def trajectory_of(stream: TwoSided, question: Question) -> list[list[float]]:
    """[rows, log e for the challenger] at up to 60 points, for the chart."""
    bets = anytime_branch.place(stream.lift, plan=question.plan, threshold=question.inputs.alpha.threshold)
    points = np.unique(np.linspace(1, len(bets.share), TRAJECTORY_POINTS).astype(np.int64))
    rows = np.cumsum(bets.size)[points - 1]
    path = anytime_branch.log_e_at(bets, points, mean=0.0 - question.inputs.margin)
    return [[int(n), float(log_e)] for n, log_e in zip(rows, path, strict=True)]


def how_much_longer(rows: GateRows, reading: Reading, lift: dict[str, Any], question: Question) -> dict[str, Any]:
    """The plan that a hold is; of episodes, how many more, as things are."""
    settings, inputs, stream = question.settings, question.inputs, reading.stream
    per_look = max(settings.min_rows_per_look, int(inputs.rows_per_day * (settings.close_on_days or 0)))
    left = (settings.looks - inputs.look) * per_look
    if stream.lift.n != rows.n:
        return asdict(plan_more_episodes(rows.n, stream.lift, lift=lift, question=question, rows_left=left))
    found = plan_hold(
        rows,
        stream.lift,
        plan=question.plan,
        alpha=inputs.alpha,
        n_looks=settings.looks,
        minimum_lift=settings.minimum_lift,
        champion_value=lift["champion_value"],
        estimate=lift["estimate"],
        lower=lift["lower"],
        rows_per_day=inputs.rows_per_day,
        rows_left=left,
        no_carry_over=settings.stage.carry_over == "none",
    )
    return asdict(found)
