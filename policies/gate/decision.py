"""The verdict: refuse, block, promote or hold, with reasons in words and every number behind it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from data_contracts.errors import UsageError
from policies.gate.betting import Bets, log_e_at, log_e_path, place_bets
from policies.gate.interval import lift_interval
from policies.gate.outlook import how_much_longer
from policies.gate.reasons import put_in_words
from policies.gate.records import GateDecision, GateRows, Plan, Verdict
from policies.gate.refusals import Check, check_evaluability, check_inputs
from policies.gate.settings import GateSettings
from policies.gate.statistic import swap
from policies.gate.unit_influence import influence_evidence
from policies.ope import Estimate, estimate_all
from policies.ope.diagnostics import (
    ExpectedWeight,
    effective_sample_size,
    expected_weights,
    unsupported_mass,
    weight_histogram,
    weight_quantiles,
)

FORMULA: Final = 2  # version of everything that decides; 2 knows row weights, and decides as 1 where all are 1
TRAJECTORY_POINTS: Final = 60


@dataclass(frozen=True, slots=True)
class _Wealth:
    """The bets of both directions and their log e-values at the looks so far."""

    for_lift: Bets
    for_harm: Bets
    lift_at_looks: tuple[float, ...]
    harm_at_looks: tuple[float, ...]


def decide(
    rows: GateRows,
    *,
    settings: GateSettings,
    plan: Plan,
    look: int,
    look_ends: tuple[int, ...],
    overlap: int,
    matured_share: float,
    rows_per_day: float,
    n_without_distribution: int,
    n_over_limit: int = 0,
    rows_per_unit: int | None = None,
) -> GateDecision:
    """Refuse, else block, else promote, else hold; a pure function of its arguments.

    promote when the e-process against "the challenger is not better" has reached the threshold at this look or
    an earlier one; block likewise for the swapped pair. Valid at any look: P(promote | not better) <= 1 / threshold.

    Args:
        rows: all gate rows of looks 1 ... look, in the order in which they were read.
        plan: fixed before the first gate row was read.
        look_ends: number of rows at the end of each look so far; increasing, the last is `rows.n`.
        overlap: gate rows that also trained or chose the challenger.
        matured_share: share of the window's matured rows whose reward is known, in [0, 1].
        rows_per_day: matured, usable rows that arrive per day.
        n_without_distribution: rows left out because their behavior policy's distribution is not known.
        n_over_limit: rows left out because their unit had `rows_per_unit` rows before them (None: no limit was met).

    Raises UsageError when `look` and `look_ends` do not fit the rows.
    Source: statistics of the gate, branch E; evidence for the null "no row has a positive mean given the past".
    """
    _check_looks(rows, look, look_ends, settings)
    inputs = check_inputs(rows, plan, n_without_distribution=n_without_distribution)
    sound = all(check.passed for check in inputs)
    expected = _expected_weights(rows, plan) if sound else ()
    checks = inputs
    if sound:
        checks += check_evaluability(rows, expected, settings=settings, overlap=overlap, matured_share=matured_share)
    failed = [check for check in checks if not check.passed]
    estimates = _estimates(rows) if sound else ()
    wealth = None if failed else _wealth(rows, plan, settings, look_ends)
    verdict = _verdict(failed, wealth, math.log(settings.threshold))
    lift = _lift(wealth, estimates, settings, plan, look_ends) if wealth else None
    evidence = {
        "formula": FORMULA,
        "n": rows.n,
        "n_units": len(np.unique(rows.unit_id)),
        "look": look,
        "n_looks": settings.looks,
        "log_threshold": math.log(settings.threshold),
        **_wealth_evidence(wealth),
        "lift": lift,
        "estimates": [asdict(estimate) for estimate in estimates],
        "weights": _weights(rows, expected, settings) if sound else None,
        "influence": (
            influence_evidence(rows, plan, n_over_limit=n_over_limit, rows_per_unit=rows_per_unit) if sound else None
        ),
        "more": _more(rows, lift, settings, plan, rows_per_day) if lift else None,
        "plan": {name: _json(value) for name, value in asdict(plan).items() if name != "cluster_size"},
        "settings": settings.model_dump(mode="json"),
        "refusals": [asdict(check) for check in checks],
        "inputs": {
            "look_ends": list(look_ends),
            "overlap": overlap,
            "matured_share": _json(matured_share),
            "rows_per_day": _json(rows_per_day),
            "n_without_distribution": n_without_distribution,
            "n_over_limit": n_over_limit,
            "rows_per_unit": rows_per_unit,
        },
    }
    reasons = put_in_words(verdict, failed, evidence)
    return GateDecision(verdict=verdict, reasons=reasons, evidence={"sentence": reasons[0], **evidence})


def _check_looks(rows: GateRows, look: int, look_ends: tuple[int, ...], settings: GateSettings) -> None:
    increasing = all(a < b for a, b in zip((0, *look_ends), look_ends, strict=False))
    fits = len(look_ends) == look and look_ends[-1:] == (rows.n,) and 1 <= look <= settings.looks
    if not (fits and (increasing or rows.n == 0)):
        raise UsageError(
            f"bad looks for the gate: expected look 1 ... {settings.looks} and as many increasing row counts, the last "
            f"{rows.n}, got look {look} and {look_ends}."
        )


def _json(number: float) -> float | None:
    """JSON has no NaN: null stands for a number that is not finite (and is refused)."""
    return number if math.isfinite(number) else None


def _expected_weights(rows: GateRows, plan: Plan) -> tuple[ExpectedWeight, ...]:
    return expected_weights(
        policy_version=rows.policy_version,
        action=rows.action,
        propensity=rows.propensity,
        behavior=rows.behavior,
        champion=rows.champion,
        challenger=rows.challenger,
        share=rows.weight / plan.weight_maximum,
    )


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


def _wealth(rows: GateRows, plan: Plan, settings: GateSettings, look_ends: tuple[int, ...]) -> _Wealth:
    for_lift = place_bets(rows, plan=plan, threshold=settings.threshold)
    for_harm = place_bets(swap(rows), plan=plan, threshold=settings.threshold)
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
    settings: GateSettings,
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
        coverage=settings.interval,
        reward_range=reward_range,
        estimate=estimate,
    )
    return {
        "estimate": estimate,
        "lower": interval.lower,
        "upper": interval.upper,
        "coverage": settings.interval,
        "relative": estimate / values["champion"] if values["champion"] > 0 else None,
        "champion_value": values["champion"],
        "challenger_value": values["challenger"],
    }


def _more(
    rows: GateRows, lift: dict[str, Any], settings: GateSettings, plan: Plan, rows_per_day: float
) -> dict[str, Any]:
    return how_much_longer(
        rows,
        settings=settings,
        plan=plan,
        lift=lift["estimate"],
        champion_value=lift["champion_value"],
        rows_per_day=rows_per_day,
    )


def _weights(rows: GateRows, expected: tuple[ExpectedWeight, ...], settings: GateSettings) -> dict[str, Any]:
    """Of the challenger, with the logged propensities."""
    weights = rows.challenger[np.arange(rows.n), rows.action] / rows.propensity
    _, unit = np.unique(rows.unit_id, return_inverse=True)
    histogram = weight_histogram(weights)
    return {
        "effective_sample_size": effective_sample_size(weights * rows.weight, unit),
        "quantiles": weight_quantiles(weights),
        "histogram": {"edges": list(histogram.edges), "counts": list(histogram.counts)},
        "unsupported_mass": unsupported_mass(
            rows.behavior, rows.challenger, support_propensity=settings.support_propensity, weight=rows.weight
        ),
        "expected_weight": [asdict(found) for found in expected],
    }
