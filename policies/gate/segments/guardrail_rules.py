"""What is fixed of a guardrail when the challenger is frozen, and its values on the gate rows since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.planning import make_plan
from policies.gate.records import GateRows, Plan
from policies.gate.segments.guardrail_readings import GuardrailReading, values_at
from policies.gate.segments.guardrail_settings import GuardrailMargin

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class GuardrailRule:
    """Of one channel, in its units; JSON-ready by `asdict`. Computed once, kept in the evidence of the first look."""

    name: str
    better: Better
    margin: float | None  # how much worse is allowed, per interaction ...
    relative: float | None  # ... or as a share of the champion's mean; neither: only proven harm counts
    least: float  # of one interaction's value, which is clipped to [least, most]
    most: float
    baseline: float  # mean of the channel on rows before the window; takes out noise, and need not be right
    plan: Plan  # scale of the bets on the channel as reward (negative where lower is better)


@dataclass(frozen=True, slots=True, repr=False)
class Guardrail:
    """One channel on the n gate rows of all looks so far."""

    rule: GuardrailRule
    value: NDArray[np.float64]  # (n,) NaN where it is not final yet, or where nothing came and nothing stands in
    look: NDArray[np.int64]  # (n,) from 1: the look that first found it final; 0: none yet

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) rows that its stream has."""
        return (self.look > 0) & np.isfinite(self.value)

    def __repr__(self) -> str:
        return f"Guardrail({self.rule.name!r}, n={int(self.known.sum())})"


def make_rule(
    name: str,
    *,
    better: Better,
    margin: GuardrailMargin | None,
    bounds: tuple[float, float],
    rows: GateRows,
    value: NDArray[np.float64],
    reward_plan: Plan,
) -> GuardrailRule:
    """The rule of one channel from `rows` before the window and its `value` (n,) there, NaN where not known.

    `bounds` hold every value, in units of the channel. A wrong baseline or scale costs power, never validity.
    """
    known = np.flatnonzero(np.isfinite(value))
    inside = np.clip(value[known], *bounds)
    baseline = float(np.average(inside, weights=rows.weight[known])) if len(known) else 0.0
    low, high = (-bounds[1], -bounds[0]) if better == "lower" else bounds
    plan = make_plan(
        as_reward(rows.select(known), inside, better=better, baseline=baseline),
        n_planned=reward_plan.n_planned,
        reward_minimum=low,
        reward_maximum=high,
        weight_maximum=reward_plan.weight_maximum,
    )
    return GuardrailRule(
        name=name,
        better=better,
        margin=margin.margin if margin else None,
        relative=margin.relative if margin else None,
        least=bounds[0],
        most=bounds[1],
        baseline=baseline,
        plan=replace(plan, cluster_size=reward_plan.cluster_size),
    )


def put_together(
    rules: Sequence[GuardrailRule], readings: Sequence[GuardrailReading], *, interaction_id: NDArray[np.str_]
) -> tuple[Guardrail, ...]:
    """Every guardrail on the gate rows (n,) of all looks so far; `readings` one a look, in order."""
    found = []
    for rule in rules:
        value, look = values_at(readings, channel=rule.name, interaction_id=interaction_id)
        found.append(Guardrail(rule, np.clip(value, rule.least, rule.most), look))
    return tuple(found)


def as_reward(rows: GateRows, value: NDArray[np.float64], *, better: Better, baseline: float) -> GateRows:
    """The same rows with the channel as reward, so that more is better, and its baseline as the reward model."""
    sign = -1.0 if better == "lower" else 1.0
    return replace(rows, reward=sign * value, reward_model=np.full_like(rows.reward_model, sign * baseline))
