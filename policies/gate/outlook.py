"""How much longer: rows until the gate would know, and which exploration rate would halve them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from policies.gate.betting import RELATIVE_STAKES
from policies.gate.planning import difference_variance, residual_variance
from policies.gate.records import GateRows, Plan
from policies.gate.settings import GateSettings
from policies.gate.statistic import NEVER
from policies.ope import dr
from policies.ope.records import LoggedRewards

RATES: Final = (0.05, 0.1, 0.2, 0.5)
N_COMPONENTS: Final = 2 * len(RELATIVE_STAKES)
Kind = Literal["as_logged", "uniform", "challenger"]


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a logging policy would need; `rows` are counted from the first gate row, `days` at today's traffic."""

    kind: Kind
    rate: float  # share of the traffic; the champion keeps the rest
    rows: int | None  # None: it would never know
    days: float | None
    cost_per_interaction: float  # expected reward given up; negative: gained


def rows_needed(variance: float, *, lift: float, threshold: float) -> int | None:
    """Rows until the e-process is expected to reach the threshold: 2 ln(6 threshold) variance / lift^2.

    Rows at the best fixed stake, plus what the mean over 6 components can cost. None when it never would.
    Source: Waudby-Smith & Ramdas 2024, growth rate lift^2 / (2 variance) of a bet at stake lift / variance.
    """
    if not (math.isfinite(variance) and variance > 0 and lift > 0):
        return None
    return math.ceil(2 * math.log(N_COMPONENTS * threshold) * variance / lift**2)


def how_much_longer(
    rows: GateRows, *, settings: GateSettings, plan: Plan, lift: float, champion_value: float, rows_per_day: float
) -> dict[str, Any]:
    """JSON-ready: rows at the estimated and at the minimum lift, alternatives by exploration, and what settles it.

    Exploration is compared at the minimum lift (relative to the champion's value; at the estimate where that value
    is 0), with the exact variance of the paired difference under each logging mixture.
    """
    minimum = settings.minimum_lift * abs(champion_value)
    target = minimum if minimum > 0 else lift
    options = _options(rows, plan, lift=target, threshold=settings.threshold, rows_per_day=rows_per_day)
    now = _variance(rows, plan, rows.behavior)
    at_estimate = rows_needed(now, lift=lift, threshold=settings.threshold)
    at_minimum = rows_needed(now, lift=minimum, threshold=settings.threshold)
    return {
        "rows_read": rows.n,
        "rows_per_day": rows_per_day,
        "rows_at_estimate": at_estimate,
        "days_at_estimate": _days(at_estimate, rows_per_day),
        "rows_at_minimum_lift": at_minimum,
        "days_at_minimum_lift": _days(at_minimum, rows_per_day),
        "minimum_lift": settings.minimum_lift,
        "exploration": [asdict(option) for option in options],
        "settles": _settles(options, target, n=rows.n),
    }


def _options(
    rows: GateRows, plan: Plan, *, lift: float, threshold: float, rows_per_day: float
) -> tuple[Exploration, ...]:
    """The present logging, then (1 - rate) champion + rate (uniform, or challenger) at every rate."""

    def option(kind: Kind, rate: float, logging: NDArray[np.float64], cost: float) -> Exploration:
        needed = rows_needed(_variance(rows, plan, logging), lift=lift, threshold=threshold)
        return Exploration(kind, rate, needed, _days(needed, rows_per_day), cost)

    uniform = np.full_like(rows.champion, 1 / rows.champion.shape[1])
    others: dict[Kind, NDArray[np.float64]] = {"uniform": uniform, "challenger": rows.challenger}
    value = _value(rows, rows.champion)
    options = [option("as_logged", 0.0, rows.behavior, 0.0)]
    for kind, other in others.items():
        lost = value - _value(rows, other)
        options += [option(kind, rate, (1 - rate) * rows.champion + rate * other, rate * lost) for rate in RATES]
    return tuple(options)


def _variance(rows: GateRows, plan: Plan, logging: NDArray[np.float64]) -> float:
    """Of one row's paired difference under `logging`; infinite where an action that differs is never logged."""
    d = rows.challenger - rows.champion
    if ((logging < NEVER) & (d != 0)).any():
        return math.inf
    share = rows.weight / rows.weight.mean()  # of mean 1: the bets grow by (mean share * lift)^2 / variance
    residual = residual_variance(
        action=rows.action,
        reward=rows.reward,
        reward_model=rows.reward_model,
        share=share,
        pseudo=plan.reward_maximum - plan.reward_minimum,
    )
    return difference_variance(d, logging, rows.reward_model, share=share, variance=residual)


def _value(rows: GateRows, target: NDArray[np.float64]) -> float:
    logged = LoggedRewards(
        action=rows.action,
        reward=rows.reward,
        propensity=rows.propensity,
        reward_model=rows.reward_model,
        unit=np.zeros(rows.n, np.int64),
        weight=rows.weight,
    )
    return dr.evaluate(logged, target).value


def _days(needed: int | None, rows_per_day: float) -> float | None:
    return needed / rows_per_day if needed is not None and rows_per_day > 0 else None


def _settles(options: tuple[Exploration, ...], lift: float, *, n: int) -> str:
    """One sentence: the cheapest logging that needs at most half of the rows (if free, at the lowest rate)."""
    now = options[0]
    what = f"A lift of {lift:.3g} per interaction"
    if lift <= 0 or all(option.rows is None for option in options):
        return "No log can tell them apart: the policies act alike, or no lift is worth finding."
    if now.rows is None:
        needs = f"{what} is never settled by the present logging"
        halving = [option for option in options if option.rows is not None]
    else:
        left = f"about {_about(now.rows - n)} more" if now.rows > n else "it would have shown by now"
        needs = f"{what} needs about {_about(now.rows)} rows as logged ({n:,} are read; {left})"
        halving = [option for option in options if option.rows is not None and 2 * option.rows <= now.rows]
    if not halving:
        return f"{needs}; no exploration rate up to {RATES[-1]:.0%} halves that."
    best = min(halving, key=lambda option: (max(option.cost_per_interaction, 0.0), option.rate))  # least at stake
    return f"{needs}; {_describe(best)}."


def _describe(option: Exploration) -> str:
    how = "uniformly at random" if option.kind == "uniform" else "by the challenger"
    days = f" ({_about(option.days)} days)" if option.days is not None else ""
    effect = "an expected gain" if option.cost_per_interaction < 0 else "an expected cost"
    return (
        f"deciding {option.rate:.0%} of the traffic {how} would need about {_about(option.rows or 0)}{days}, "
        f"at {effect} of {abs(option.cost_per_interaction):.3g} per interaction"
    )


def _about(count: float) -> str:
    """Two significant digits: more would pretend to a knowledge of the lift that nobody has."""
    return f"{float(f'{count:.2g}'):,.0f}"
