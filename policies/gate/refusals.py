"""When the log cannot answer: every check that must hold before the gate says anything about value.

The gate fails closed: a comparison with NaN is false, so every check asks "is it good?", never "is it bad?".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.records import SOURCES, GateRows, Plan
from policies.gate.settings import GateSettings
from policies.ope.diagnostics import ExpectedWeight, expected_weights, unsupported_mass

MINIMUM_ROWS: Final = 30  # fewer say nothing about weights or support; "a few more" is a matter of `hold`
MINIMUM_UNITS: Final = 2  # a standard error clustered by unit needs two
SUM_TOLERANCE: Final = 1e-5  # of a distribution's sum: float32 probabilities of an ONNX head over 100 actions
ROUNDING: Final = 1e-9  # of 1 / sampling_rate
CERTAIN: Final = 1 - 1e-9  # a behavior distribution with such an action explores nothing


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of evaluability; `observed` is None where it could not be computed."""

    name: str
    passed: bool
    observed: float | None
    limit: float
    words: str  # for people, where it failed: what is wrong and what to do


def check_inputs(rows: GateRows, plan: Plan, *, n_without_distribution: int) -> tuple[Check, ...]:
    """Are there rows, and is every number in them possible? Nothing else may be computed unless all pass."""
    n_units = len(rows.units[0])
    n_bad = int(rows.n - _finite(rows, plan).sum())
    n_improper = int(rows.n - _proper(rows).sum())
    inside = (rows.reward >= plan.reward_minimum) & (rows.reward <= plan.reward_maximum)
    n_outside = int(rows.n - inside.sum())
    weighed = (rows.weight > 0) & (rows.weight <= plan.weight_maximum * (1 + ROUNDING))
    n_heavy = int(rows.n - weighed.sum())
    return (
        Check("rows", rows.n >= MINIMUM_ROWS, rows.n, MINIMUM_ROWS, _few_rows(rows.n, n_without_distribution)),
        Check(
            "units",
            n_units >= MINIMUM_UNITS,
            n_units,
            MINIMUM_UNITS,
            f"the rows belong to {n_units} unit(s); at least {MINIMUM_UNITS} are needed",
        ),
        Check(
            "finite",
            n_bad == 0 and math.isfinite(plan.sigma_squared) and plan.sigma_squared > 0,
            n_bad,
            0,
            f"{n_bad:,} of {rows.n:,} rows hold a number that is not finite (or the plan does): "
            "a policy, the reward model or the log is broken",
        ),
        Check(
            "distributions",
            n_improper == 0,
            n_improper,
            0,
            f"{n_improper:,} of {rows.n:,} rows have probabilities that are negative or do not sum to 1, an unknown "
            "action, or a propensity outside (0, 1]",
        ),
        Check(
            "reward_range",
            n_outside == 0,
            n_outside,
            0,
            f"{n_outside:,} of {rows.n:,} rewards lie outside [{plan.reward_minimum:g}, {plan.reward_maximum:g}], the "
            "range that the contract declares and the bets rely on",
        ),
        Check(
            "row_weight",
            n_heavy == 0 and math.isfinite(plan.weight_maximum),
            n_heavy,
            0,
            f"{n_heavy:,} of {rows.n:,} rows stand for more than {plan.weight_maximum:g} interactions each (1 / "
            "sampling_rate), the most that was known before the window: declare the `minimum` of sampling_rate in the "
            "contract",
        ),
    )


def weights_of_versions(rows: GateRows, plan: Plan) -> tuple[ExpectedWeight, ...]:
    """E[w] of both policies on the rows of every policy version."""
    return expected_weights(
        policy_version=rows.policy_version,
        action=rows.action,
        propensity=rows.propensity,
        behavior=rows.behavior,
        champion=rows.champion,
        challenger=rows.challenger,
        share=rows.weight / plan.weight_maximum,
    )


def check_evaluability(
    rows: GateRows,
    expected: tuple[ExpectedWeight, ...],
    *,
    settings: GateSettings,
    overlap: int,
    matured_share: float,
) -> tuple[Check, ...]:
    """Can these rows (sound by `check_inputs`) tell challenger from champion without a bias?"""
    unsupported = unsupported_mass(
        rows.behavior, rows.challenger, support_propensity=settings.support_propensity, weight=rows.weight
    )
    error = np.abs(rows.propensity - rows.behavior[np.arange(rows.n), rows.action])
    return (
        Check(
            "overlap",
            overlap == 0,
            overlap,
            0,
            f"{overlap:,} gate rows were also used to train or choose the challenger, which flatters it",
        ),
        Check(
            "matured_share",
            matured_share >= settings.min_matured_share,
            matured_share if math.isfinite(matured_share) else None,
            settings.min_matured_share,
            f"only {matured_share:.1%} of the window's rows have their reward ({settings.min_matured_share:.1%} are "
            "needed): early rewards are not typical ones. Wait, or declare a default reward",
        ),
        _propensity_check(rows, error, settings.propensity_tolerance),
        _randomised_check(rows),
        Check(
            "unsupported_mass",
            unsupported <= settings.max_unsupported_mass,
            unsupported,
            settings.max_unsupported_mass,
            f"{unsupported:.1%} of the challenger's decisions are actions that the behavior policy takes with "
            f"probability below {settings.support_propensity:g} ({settings.max_unsupported_mass:.1%} are allowed): the "
            "log says nothing about them. Explore more, or bound the challenger to the champion's support",
        ),
        _weight_check(expected, settings.weight_e_value),
    )


def _finite(rows: GateRows, plan: Plan) -> NDArray[np.bool_]:
    good = np.isfinite(rows.reward) & np.isfinite(rows.propensity) & np.isfinite(rows.weight)
    for matrix in (rows.behavior, rows.champion, rows.challenger, rows.reward_model):
        good &= np.isfinite(matrix).all(axis=1)
    bounded = math.isfinite(plan.reward_minimum) and math.isfinite(plan.reward_maximum)
    return good if bounded else np.zeros_like(good)


def _proper(rows: GateRows) -> NDArray[np.bool_]:
    n_actions = rows.behavior.shape[1]
    good: NDArray[np.bool_] = (
        (rows.action >= 0) & (rows.action < n_actions) & (rows.propensity > 0) & (rows.propensity <= 1)
    )
    for matrix in (rows.behavior, rows.champion, rows.challenger):
        good &= (matrix >= 0).all(axis=1)
    for matrix in (rows.champion, rows.challenger):
        good &= np.abs(matrix.sum(axis=1) - 1) <= SUM_TOLERANCE
    excess = rows.behavior.sum(axis=1) - 1
    good &= np.where(rows.source == SOURCES.index("propensity"), excess, np.abs(excess)) <= SUM_TOLERANCE
    return good


def _few_rows(n: int, n_without_distribution: int) -> str:
    if n == 0 and n_without_distribution:
        return (
            f"no gate row has a propensity that can be used: {n_without_distribution:,} rows were logged by policies "
            "whose full distribution is neither logged nor re-evaluable. Log `action_probabilities`, or declare the "
            "behavior policy in the task file"
        )
    return f"{n:,} gate rows; at least {MINIMUM_ROWS} are needed to say anything"


def _propensity_check(rows: GateRows, error: NDArray[np.float64], tolerance: float) -> Check:
    wrong = ~(error <= tolerance)
    return Check(
        "propensity",
        not wrong.any(),
        float(error.max()),
        tolerance,
        f"{int(wrong.sum()):,} of {rows.n:,} logged propensities differ from the behavior policy's own probability (by "
        f"up to {error.max():.3g}; first: {rows.interaction_id[int(wrong.argmax())]}): the log or the declared policy "
        "is wrong",
    )


def _randomised_check(rows: GateRows) -> Check:
    """Share of rows whose action was drawn, of all and of those on which the policies differ: both must be > 0."""
    drawn = rows.behavior.max(axis=1) < CERTAIN
    differs = (rows.challenger != rows.champion).any(axis=1)
    share = float(drawn.mean())
    if share > 0 and differs.any():
        share = float(drawn[differs].mean())
    return Check(
        "randomised",
        share > 0,
        share,
        0.0,
        "the behavior policy is deterministic wherever champion and challenger differ: without exploration the log "
        "cannot say what the other action would have earned",
    )


def _weight_check(expected: tuple[ExpectedWeight, ...], limit: float) -> Check:
    worst = max(expected, key=lambda found: found.log_e)
    return Check(
        "expected_weight",
        all(found.log_e < math.log(limit) for found in expected),
        worst.log_e / math.log(10),
        math.log10(limit),
        f"importance weights of the {worst.policy} on rows of policy version {worst.policy_version} average "
        f"{worst.mean:.4f} (at least {worst.lower:.4f}, at most {worst.upper:.4f}) where true propensities would give "
        "1: the logged propensities are wrong",
    )
