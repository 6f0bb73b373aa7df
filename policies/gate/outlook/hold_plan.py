"""`hold` is a plan: how many more interactions, with which logging, at which cost; and which of these is cheapest.

Four ways to know: log on; explore more; let a canary decide a share of the rows, or of the units. Each has its rows to
go, its days at the present traffic, and the reward given up until the verdict. Rows that were logged with heavy weights
count with their noise: beyond some point it is faster to judge what comes from now on alone (`fresh`, in a slot of its
own) than to drag them along (`continued`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.differences import Differences
from policies.gate.judging.judge import Alpha
from policies.gate.outlook.hold_options import CANARY_SHARES, EXPLORATION_RATES, Kind, Option, settles
from policies.gate.outlook.power import (
    POWER,
    Needed,
    Noise,
    PerRow,
    Rewards,
    arm_variance,
    last_boundary,
    moments_of,
    noise_of,
    reward_moments,
    rows_until,
    thinned,
)
from policies.gate.records import GateRows, Plan
from policies.ope import dr
from policies.ope.records import LoggedRewards, target_terms


@dataclass(frozen=True, slots=True)
class HoldPlan:
    """What a hold asks for, JSON-ready."""

    rows_read: int
    rows_per_day: float
    rows_left: int  # that the looks left to this slot are expected to read
    lift: float  # to be proven, in reward: the minimum lift (the estimate, where the champion is worth 0)
    minimum_lift: float  # relative to the champion's value
    power: float
    boundary: float | None  # of branch G at the last look; None: it may spend nothing
    rows_at_estimate: int | None  # more, as logged, if the estimate were the truth
    days_at_estimate: float | None
    rows_at_minimum_lift: int | None  # more, as logged
    days_at_minimum_lift: float | None
    options: tuple[Option, ...]  # the first is as logged
    cheapest: int | None  # index of the option that at least halves the rows at the least cost; None: none does
    settles: str  # one sentence


def plan_hold(
    rows: GateRows,
    differences: Differences,
    *,
    plan: Plan,
    alpha: Alpha,
    n_looks: int,
    minimum_lift: float,
    champion_value: float,
    estimate: float,
    lower: float,
    rows_per_day: float,
    rows_left: int,
    no_carry_over: bool,
) -> HoldPlan:
    """Compare the ways to know a challenger that is better by the minimum lift; pure.

    Args:
        rows: n >= 1 sound gate rows that the looks have read.
        differences: `one_step(rows, ...).lift`.
        plan, alpha, n_looks: those of the slot.
        minimum_lift: relative lift worth finding.
        champion_value: estimate, in reward per interaction.
        estimate: of the lift, in reward.
        lower: lower end of the lift's anytime-valid interval.
        rows_per_day: matured, usable rows that arrive per day.
        rows_left: that the looks left to this slot are expected to read.
        no_carry_over: it was declared that a decision does not touch later ones of its unit; without, row-level
            canaries are computed, and not recommended.

    A canary by unit compares arms: one row adds arm variance (1 / share + 1 / (1 - share)), and starts afresh.
    Caveat: costs and rows are expectations at the lift to be proven, to two digits at best; a canary whose actions
    carry over needs the days of the carry-over as well.
    """
    minimum = minimum_lift * abs(champion_value)
    lift = minimum if minimum > 0 else estimate
    known = _known(rows, differences, plan=plan, alpha=alpha, n_looks=n_looks)
    exploring = champion_value - _value(rows, np.full_like(rows.champion, 1 / rows.champion.shape[1]))
    options = tuple(
        _option(known, proposal, lift=lift, rows_per_day=rows_per_day, rows_left=rows_left)
        for proposal in _proposals(known, exploring=exploring, estimate=estimate, lower=lower)
    )
    at_estimate = _needed(known, known.as_logged, lift=estimate)
    cheapest = _cheapest(options, no_carry_over=no_carry_over)
    boundary = last_boundary(alpha, n_looks=n_looks)
    return HoldPlan(
        rows_read=rows.n,
        rows_per_day=rows_per_day,
        rows_left=rows_left,
        lift=lift,
        minimum_lift=minimum_lift,
        power=POWER,
        boundary=boundary if math.isfinite(boundary) else None,
        rows_at_estimate=at_estimate.rows,
        days_at_estimate=_days(at_estimate.rows, rows_per_day),
        rows_at_minimum_lift=options[0].rows,
        days_at_minimum_lift=options[0].days,
        options=options,
        cheapest=cheapest,
        settles=settles(options, cheapest, lift=lift, n=rows.n),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What all options share."""

    n: int
    sample: GateRows  # of whose contexts the policies are averaged
    as_logged: PerRow
    noise: Noise
    rewards: Rewards
    arm_variance: float
    alpha: Alpha
    n_looks: int


def _known(rows: GateRows, differences: Differences, *, plan: Plan, alpha: Alpha, n_looks: int) -> _Known:
    sample, noise = thinned(rows), noise_of(differences, plan=plan)
    return _Known(
        n=rows.n,
        sample=sample,
        as_logged=moments_of(sample, sample.behavior, noise=noise),
        noise=noise,
        rewards=reward_moments(differences),
        arm_variance=arm_variance(differences),
        alpha=alpha,
        n_looks=n_looks,
    )


@dataclass(frozen=True, slots=True)
class _Proposal:
    kind: Kind
    share: float
    moments: PerRow
    cost: float
    worst_cost: float


def _proposals(known: _Known, *, exploring: float, estimate: float, lower: float) -> Iterator[_Proposal]:
    sample = known.sample
    uniform = np.full_like(sample.champion, 1 / sample.champion.shape[1])
    yield _Proposal("as_logged", 0.0, known.as_logged, 0.0, 0.0)
    for rate in EXPLORATION_RATES:
        mixed = _mixture(known, uniform, rate)
        yield _Proposal("exploration", rate, mixed, rate * exploring, rate * exploring)
    for share in CANARY_SHARES:
        mixed = _mixture(known, sample.challenger, share)
        yield _Proposal("canary_by_row", share, mixed, -share * estimate, -share * lower)
    for share in CANARY_SHARES:
        variance = known.arm_variance * (1 / share + 1 / (1 - share))
        apart = PerRow(variance, 1 / share + 1 / (1 - share), 2.0, 1 / (1 - share) ** 3, 1 / share**3)
        yield _Proposal("canary_by_unit", share, apart, -share * estimate, -share * lower)


def _mixture(known: _Known, other: NDArray[np.float64], share: float) -> PerRow:
    logging = (1 - share) * known.sample.champion + share * other
    return moments_of(known.sample, logging, noise=known.noise)


def _option(known: _Known, proposal: _Proposal, *, lift: float, rows_per_day: float, rows_left: int) -> Option:
    fresh = _needed(known, proposal.moments, lift=lift, continued=False)
    continued = _needed(known, proposal.moments, lift=lift) if proposal.kind != "canary_by_unit" else Needed(None, None)
    goes_on = proposal.kind == "as_logged" or _less(continued.rows, fresh.rows)
    needed = continued if goes_on else fresh
    return Option(
        kind=proposal.kind,
        share=proposal.share,
        rows=needed.rows,
        days=_days(needed.rows, rows_per_day),
        branch=needed.branch,
        evidence="continued" if goes_on else "fresh",
        cost_per_interaction=proposal.cost,
        worst_cost_per_interaction=proposal.worst_cost,
        total_cost=None if needed.rows is None else needed.rows * proposal.cost,
        fits_slot=goes_on and needed.rows is not None and needed.rows <= rows_left,
    )


def _needed(known: _Known, moments: PerRow, *, lift: float, continued: bool = True) -> Needed:
    before = (known.n, known.as_logged) if continued else None
    return rows_until(moments, known.rewards, lift=lift, alpha=known.alpha, n_looks=known.n_looks, before=before)


def _less(one: int | None, other: int | None) -> bool:
    return one is not None and (other is None or one <= other)


def _cheapest(options: tuple[Option, ...], *, no_carry_over: bool) -> int | None:
    """Of the options that at least halve what is to go as logged: the least cost (a gain counts as none), then the
    smallest share."""
    now = options[0].rows
    helps = [
        place
        for place, option in enumerate(options)
        if place > 0 and option.rows is not None and (now is None or 2 * option.rows <= now > 0)
        if no_carry_over or option.kind != "canary_by_row"
    ]
    return min(helps, key=lambda i: (max(options[i].total_cost or 0.0, 0.0), options[i].share), default=None)


def _value(rows: GateRows, target: NDArray[np.float64]) -> float:
    logged = LoggedRewards(
        action=rows.action,
        reward=rows.reward,
        propensity=rows.propensity,
        reward_model=rows.reward_model,
        unit=np.zeros(rows.n, np.int64),
        weight=rows.weight,
    )
    return dr.evaluate(target_terms(logged, target)).value


def _days(needed: int | None, rows_per_day: float) -> float | None:
    return needed / rows_per_day if needed is not None and rows_per_day > 0 else None
