"""Guardrails: channels that are watched and not rewarded (unsubscribes, complaints) may not pay for a better reward.

A guardrail is judged as the reward is: a stream of paired differences, with the channel's value in the place of the
reward (negative where lower is better). A declared margin must be shown to be kept, at the full error, as all
guardrails must be; proven harm of any is looked for by Holm, also where no margin is declared.
Values come in by their own windows, later or earlier than the reward's: a row enters a guardrail's stream at the first
look at which its value is final, which depends on the clock alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from policies.gate.judging.betting import first_stake
from policies.gate.judging.differences import Differences, TwoSided, one_step
from policies.gate.judging.judge import judge, split_alpha
from policies.gate.judging.planned_branch import moments_at_looks
from policies.gate.judging.spending import information_fractions
from policies.gate.records import GateRows, Plan
from policies.gate.segments.guardrail_rules import Better, Guardrail, GuardrailRule, as_reward
from policies.gate.segments.holm import Answer, step_down
from policies.gate.segments.segments import FOR_EIGHTY_PERCENT, Light


@dataclass(frozen=True, slots=True)
class GuardrailResult:
    """What the looks so far say of one guardrail; JSON-ready by `asdict`. Values in units of the channel."""

    name: str
    better: Better
    n: float  # gate rows whose value is final
    champion_value: float | None
    difference: float | None  # challenger - champion
    standard_error: float | None
    margin: float | None  # how much worse is allowed, per interaction
    noninferior: bool | None  # None: no margin is declared
    harm: bool  # proven
    harm_alpha: float
    supportable_margin: float | None  # what these rows show in 80 % of cases if nothing changes
    light: Light


def judge_guardrails(
    rows: GateRows,
    guardrails: Sequence[Guardrail],
    *,
    look: int,
    n_looks: int,
    min_rows: int,
    alpha: float,
) -> tuple[GuardrailResult, ...]:
    """Non-inferiority of each guardrail with a margin at the full `alpha`; harm of all together at `alpha` (Holm).

    `rows` (n,) are those of looks 1 ... `look`, in the order in which they were read; `n_looks` and `min_rows` as the
    task plans its looks. Pure.
    """
    streams = [_stream(rows, guardrail, alpha=alpha) for guardrail in guardrails]
    fractions = [_fractions(g, look=look, n_looks=n_looks, min_rows=min_rows) for g in guardrails]
    questions = [
        partial(_harmed, stream.harm, plan=g.rule.plan, fractions=shares)
        for g, stream, shares in zip(guardrails, streams, fractions, strict=True)
    ]
    harms = step_down(questions, alpha=alpha)
    return tuple(
        _result(rows, g, stream.lift, fractions=shares, alpha=alpha, harm=harm)
        for g, stream, shares, harm in zip(guardrails, streams, fractions, harms, strict=True)
    )


def _stream(rows: GateRows, guardrail: Guardrail, *, alpha: float) -> TwoSided:
    """In the order of (look that found the value final, reading)."""
    known = np.flatnonzero(guardrail.known)
    order = known[np.argsort(guardrail.look[known], kind="stable")]
    watched = as_reward(
        rows.select(order), guardrail.value[order], better=guardrail.rule.better, baseline=guardrail.rule.baseline
    )
    stake = first_stake(guardrail.rule.plan, threshold=split_alpha(alpha).threshold)
    return one_step(watched, look=guardrail.look[order], plan=guardrail.rule.plan, first_stake=stake)


def _fractions(guardrail: Guardrail, *, look: int, n_looks: int, min_rows: int) -> tuple[float, ...]:
    counts = np.bincount(guardrail.look[guardrail.known], minlength=look + 1)[1:]
    return information_fractions(
        tuple(np.cumsum(counts).tolist()), n_planned=guardrail.rule.plan.n_planned, n_looks=n_looks, min_rows=min_rows
    )


def _harmed(stream: Differences, alpha: float, *, plan: Plan, fractions: tuple[float, ...]) -> bool:
    differs = stream.n > 0 and bool(stream.spread.any())
    return differs and judge(stream, plan=plan, alpha=split_alpha(alpha), fractions=fractions).proven


def _result(
    rows: GateRows,
    guardrail: Guardrail,
    lift: Differences,
    *,
    fractions: tuple[float, ...],
    alpha: float,
    harm: Answer,
) -> GuardrailResult:
    sign = -1.0 if guardrail.rule.better == "lower" else 1.0
    last = next(reversed(moments_at_looks(lift)), None)
    error = last.standard_error if last and math.isfinite(last.standard_error) else None
    champion = _champion_value(rows, guardrail) if last else None
    declared = guardrail.rule.margin is not None or guardrail.rule.relative is not None
    margin = _margin(guardrail.rule, champion)
    shown = False if declared else None
    if lift.n and margin is not None:
        asked = partial(judge, plan=guardrail.rule.plan, alpha=split_alpha(alpha), fractions=fractions)
        shown = not lift.spread.any() or asked(lift, margin=-margin).proven
    return GuardrailResult(
        name=guardrail.rule.name,
        better=guardrail.rule.better,
        n=last.n if last else 0.0,
        champion_value=champion,
        difference=sign * last.mean if last else None,
        standard_error=error,
        margin=margin,
        noninferior=shown,
        harm=harm.proven,
        harm_alpha=harm.alpha,
        supportable_margin=None if error is None else FOR_EIGHTY_PERCENT * error,
        light="red" if harm.proven else "watched" if shown is None else "green" if shown else "amber",
    )


def _champion_value(rows: GateRows, guardrail: Guardrail) -> float:
    """Importance-weighted mean of the channel under the champion, around its baseline."""
    known = np.flatnonzero(guardrail.known)
    action = rows.action[known]
    weight = rows.champion[known, action] / rows.behavior[known, action]
    terms = guardrail.rule.baseline + weight * (guardrail.value[known] - guardrail.rule.baseline)
    return float(np.average(terms, weights=rows.weight[known]))


def _margin(rule: GuardrailRule, champion: float | None) -> float | None:
    """In units of the channel; None where nothing is declared or known."""
    if rule.margin is not None or rule.relative is None or champion is None:
        return rule.margin
    return rule.relative * abs(champion)
