"""The verdict as formulas 1 and 2 reached it, so that their stored evidence verifies for as long as it is kept.

One e-process per direction against one threshold; nothing here decides any more. Formula 1 knew no row weights.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from policies.gate.judging.betting import Bets, log_e_at, log_e_path, place_bets
from policies.gate.judging.interval import lift_interval
from policies.gate.judging.statistic import swap
from policies.gate.records import GateDecision, GateRows, Plan, Verdict
from policies.gate.refusals import Check, check_evaluability, check_inputs, weights_of_versions
from policies.gate.settings import GateSettings
from policies.ope import Estimate, estimate_all

TRAJECTORY_POINTS: Final = 60
KEPT: Final = (
    "support_propensity",
    "max_unsupported_mass",
    "min_matured_share",
    "weight_e_value",
    "propensity_tolerance",
)


@dataclass(frozen=True, slots=True)
class _Wealth:
    """The bets of both directions and their log e-values at the looks so far."""

    for_lift: Bets
    for_harm: Bets
    lift_at_looks: tuple[float, ...]
    harm_at_looks: tuple[float, ...]


def decide_again(rows: GateRows, *, plan: Plan, stored: dict[str, Any]) -> GateDecision:
    """Verdict and numbers of one look, from its rows and what its evidence says it was told.

    `rows` are those of all looks up to it. The answer has no words: reasons are `()`, and the evidence holds the
    numbers that decide and what they rest on.
    """
    written, inputs = stored["settings"], stored["inputs"]
    settings = GateSettings.model_validate({name: written[name] for name in KEPT})
    look_ends = tuple(inputs["look_ends"])
    checks = check_inputs(rows, plan, n_without_distribution=inputs["n_without_distribution"])
    sound = all(check.passed for check in checks)
    if sound:
        checks += check_evaluability(
            rows,
            weights_of_versions(rows, plan),
            settings=settings,
            overlap=inputs["overlap"],
            matured_share=math.nan if inputs["matured_share"] is None else inputs["matured_share"],
        )
    failed = [check for check in checks if not check.passed]
    estimates = _estimates(rows) if sound else ()
    wealth = None if failed else _wealth(rows, plan, written["threshold"], look_ends)
    evidence = {
        "n": rows.n,
        "n_units": len(np.unique(rows.unit_id)),
        "log_threshold": math.log(written["threshold"]),
        **_wealth_evidence(wealth),
        "lift": _lift(wealth, estimates, written["interval"], plan, look_ends) if wealth else None,
        "estimates": [asdict(estimate) for estimate in estimates if stored["formula"] > 1 or _in_first(estimate)],
        "refusals": [as_compared(asdict(check)) for check in checks if stored["formula"] > 1 or _in_first(check)],
    }
    return GateDecision(_verdict(failed, wealth, math.log(written["threshold"])), (), evidence)


def as_compared(check: dict[str, Any]) -> dict[str, Any]:
    """A refusal's numbers; its words may be put better in later releases."""
    return {name: value for name, value in check.items() if name != "words"}


def _in_first(found: Estimate | Check) -> bool:
    """Formula 1 knew no row weights and no median of means."""
    return found.name != "row_weight" if isinstance(found, Check) else found.estimator != "median_of_means"


def _estimates(rows: GateRows) -> tuple[Estimate, ...]:
    return estimate_all(
        action=rows.action,
        reward=rows.reward,
        propensity=rows.propensity,
        champion=rows.champion,
        challenger=rows.challenger,
        reward_model=rows.reward_model,
        unit_id=rows.unit_id,
        weight=rows.weight,
    )


def _wealth(rows: GateRows, plan: Plan, threshold: float, look_ends: tuple[int, ...]) -> _Wealth:
    for_lift = place_bets(rows, plan=plan, threshold=threshold)
    for_harm = place_bets(swap(rows), plan=plan, threshold=threshold)
    return _Wealth(
        for_lift=for_lift,
        for_harm=for_harm,
        lift_at_looks=tuple(log_e_at(for_lift, look_ends).tolist()),
        harm_at_looks=tuple(log_e_at(for_harm, look_ends).tolist()),
    )


def _verdict(failed: list[Check], wealth: _Wealth | None, log_threshold: float) -> Verdict:
    if failed or wealth is None:
        return "refuse"
    if max(wealth.harm_at_looks) >= log_threshold:
        return "block"
    return "promote" if max(wealth.lift_at_looks) >= log_threshold else "hold"


def _wealth_evidence(wealth: _Wealth | None) -> dict[str, Any]:
    if wealth is None:
        return {"log_e_promote": None, "log_e_block": None, "log_e_at_looks": None, "trajectory": []}
    n = wealth.for_lift.n
    points = np.unique(np.linspace(1, n, TRAJECTORY_POINTS).astype(np.int64))
    path = log_e_path(wealth.for_lift)[points - 1]
    return {
        "log_e_promote": max(wealth.lift_at_looks),
        "log_e_block": max(wealth.harm_at_looks),
        "log_e_at_looks": {"promote": list(wealth.lift_at_looks), "block": list(wealth.harm_at_looks)},
        "trajectory": [[int(n), float(log_e)] for n, log_e in zip(points, path, strict=True)],
    }


def _lift(
    wealth: _Wealth,
    estimates: tuple[Estimate, ...],
    coverage: float,
    plan: Plan,
    look_ends: tuple[int, ...],
) -> dict[str, Any]:
    """DR estimate of the difference (kept within the possible range), and the interval of the bets."""
    values = {estimate.policy: estimate.value for estimate in estimates if estimate.estimator == "dr"}
    reward_range = plan.reward_maximum - plan.reward_minimum
    estimate = min(max(values["difference"], -reward_range), reward_range)
    interval = lift_interval(
        wealth.for_lift,
        wealth.for_harm,
        look_ends=look_ends,
        coverage=coverage,
        reward_range=reward_range,
        estimate=estimate,
    )
    return {
        "estimate": estimate,
        "lower": interval.lower,
        "upper": interval.upper,
        "coverage": coverage,
        "relative": estimate / values["champion"] if values["champion"] > 0 else None,
        "champion_value": values["champion"],
        "challenger_value": values["challenger"],
    }
