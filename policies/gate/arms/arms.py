"""Arms compared by unit: a canary or a holdback is a bandit with two actions, and the gate's judge reads it as one.

A unit is one observation: action = its arm, behavior = (1 - s, s) with s the challenger's share of units,
champion = (1, 0), challenger = (0, 1), reward = the unit's outcome, reward model = what its rows before the stage
predict, the same for both arms. Its paired difference is (T/s - (1-T)/(1-s)) (outcome - prediction), T = 1 in the
challenger's arm:
Horvitz-Thompson's with a control variate, of mean E[outcome(challenger)] - E[outcome(champion)] over units.
Source: Horvitz & Thompson 1952; Deng, Xu, Kohavi & Walker 2013, "Improving the sensitivity of online controlled
experiments by utilizing pre-experiment data" for the pre-period.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.arms.unit_outcomes import UnitOutcomes
from policies.gate.conditions import Condition
from policies.gate.judging.betting import first_stake
from policies.gate.judging.differences import Differences, one_step
from policies.gate.judging.judge import Alpha, Judged, judge, lower_bound, split_alpha
from policies.gate.judging.spending import information_fractions
from policies.gate.records import GateRows, Plan

UNBALANCED: Final = 1000.0  # e-value against the designed shares at which arms are not compared


@dataclass(frozen=True, slots=True)
class ArmNumbers:
    """What people read about two arms."""

    n_champion: int
    n_challenger: int
    mean_champion: float | None  # outcome of a unit; None without one
    mean_challenger: float | None
    lift: float  # challenger - champion, with the pre-period's help, weighted by the designed shares
    lower: float  # anytime-valid bounds of it at the comparison's alpha, one-sided each
    upper: float


@dataclass(frozen=True, slots=True)
class ArmsJudged:
    """One comparison of two arms at one horizon, after all looks so far."""

    lift: Judged  # challenger better than champion
    harm: Judged  # worse
    balance: Condition
    numbers: ArmNumbers

    @property
    def better(self) -> bool:
        """Proven at this or an earlier look, by arms that are what was designed."""
        return self.balance.passed and self.lift.proven

    @property
    def worse(self) -> bool:
        return self.balance.passed and self.harm.proven


def arm_rows(units: UnitOutcomes, predicted: NDArray[np.float64], *, share: float) -> GateRows:
    """Units (n,) as rows of a bandit with actions champion and challenger; `share` in (0, 1) is the challenger's.

    `predicted` (n,) is of each unit's outcome and must not know its arm.
    """
    arm = units.challenger.astype(np.int64)
    behavior = np.array([1.0 - share, share])

    def every(row: list[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        return np.tile(row, (units.n, 1))

    return GateRows(
        interaction_id=units.unit_id,
        unit_id=units.unit_id,
        policy_version=np.full(units.n, "arms"),
        action=arm,
        reward=units.outcome,
        propensity=behavior[arm],
        behavior=every(behavior),
        champion=every([1.0, 0.0]),
        challenger=every([0.0, 1.0]),
        reward_model=np.repeat(predicted[:, None], 2, axis=1),
    )


def arms_plan(*, share: float, n_planned: int, variance: float, bounds: tuple[float, float]) -> Plan:
    """Scale of the bets: sigma^2 = variance (1/s + 1/(1-s)) of one unit's paired difference, bounds of an outcome."""
    return Plan(
        n_planned=n_planned,
        sigma_squared=variance * (1 / share + 1 / (1 - share)),
        reward_minimum=bounds[0],
        reward_maximum=bounds[1],
    )


def judge_arms(
    units: UnitOutcomes,
    predicted: NDArray[np.float64],
    *,
    look: NDArray[np.int64],
    looks_taken: int,
    share: float,
    plan: Plan,
    alpha_harm: float,
    alpha_lift: float,
    n_looks: int,
    min_units: int,
) -> ArmsJudged:
    """Compare two arms after the looks so far.

    `look` (n,) in [1, looks_taken] is the look at which each unit was read, not decreasing in the order of `units`;
    `n_looks` are planned, each with at least `min_units` new ones. `alpha_harm` and `alpha_lift` are one-sided errors
    over all looks; both directions use the same units, so that each is valid by itself. Raises what `judge` raises.
    """
    rows = arm_rows(units, predicted, share=share)
    harm, lift = split_alpha(alpha_harm), split_alpha(alpha_lift)
    both = one_step(rows, look=look, plan=plan, first_stake=first_stake(plan, threshold=1 / lift.anytime))
    ends = tuple(np.searchsorted(look, np.arange(1, looks_taken + 1), side="right").tolist())
    fractions = information_fractions(ends, n_planned=plan.n_planned, n_looks=n_looks, min_rows=min_units)

    def bound(side: Differences, alpha: Alpha) -> float:
        return lower_bound(side, plan=plan, alpha=alpha, fractions=fractions)

    return ArmsJudged(
        lift=judge(both.lift, plan=plan, alpha=lift, fractions=fractions),
        harm=judge(both.harm, plan=plan, alpha=harm, fractions=fractions),
        balance=arms_balanced(int((~units.challenger).sum()), int(units.challenger.sum()), share=share),
        numbers=_numbers(units, both.lift.value, lower=bound(both.lift, lift), upper=-bound(both.harm, harm)),
    )


def arms_balanced(n_champion: int, n_challenger: int, *, share: float) -> Condition:
    """Did the arms get the shares they were designed with (sample ratio mismatch)?

    e = Beta(k + 1, n - k + 1) / (s^k (1 - s)^(n - k)), k of n units in the challenger's arm: the uniform mixture's
    likelihood ratio, so that P(e ever >= 1000) <= 1/1000 if each unit is drawn with probability s, however often it
    is looked at. Source: Ville 1939; Lindon & Malek 2022, "Anytime-valid inference for multinomial count data".
    Caveat: it sees units that an arm lost, not why; the arms are then not comparable and the gate does not compare.
    """
    n, k = n_champion + n_challenger, n_challenger
    log_beta = math.lgamma(k + 1) + math.lgamma(n - k + 1) - math.lgamma(n + 2)
    log_e = log_beta - k * math.log(share) - (n - k) * math.log(1 - share)
    observed = k / n if n else None
    return Condition(
        name="arm_shares",
        passed=log_e < math.log(UNBALANCED),
        observed=observed,
        limit=share,
        effect="refuse",
        words=(
            f"{k:,} of {n:,} units are in the challenger's arm where {share:g} of them belong there: units of one arm "
            "get lost, so the arms cannot be compared. Find out which decisions of that arm are not logged."
        ),
    )


def _numbers(units: UnitOutcomes, value: NDArray[np.float64], *, lower: float, upper: float) -> ArmNumbers:
    def mean(arm: NDArray[np.bool_]) -> float | None:
        return float(units.outcome[arm].mean()) if arm.any() else None

    return ArmNumbers(
        n_champion=int((~units.challenger).sum()),
        n_challenger=int(units.challenger.sum()),
        mean_champion=mean(~units.challenger),
        mean_challenger=mean(units.challenger),
        lift=float(value.mean()) if units.n else 0.0,
        lower=lower,
        upper=upper,
    )
