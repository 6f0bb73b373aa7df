"""`claim: refresh`: a challenger that follows a drifting world need not be better, only proven to be hardly worse.

A team whose gate would always hold (too little traffic for any lift worth having) still has to retrain. Its challenger
claims value(challenger) > value(champion) - m, m = margin * |value(champion)|, with the same judge, slot and alpha as a
lift. Many small losses add up, so every promoted refresh is charged its margin to a budget of the last 365 days; when
the budget is spent, refreshes are refused until the oldest charge is a year old. And the challenger is bounded against
the champion, pi_challenger(a|x) <= c pi_champion(a|x): then no weight against the champion's own log exceeds c, so the
claim can be judged at all, and one refresh cannot leave what the log has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from data_contracts.errors import BudgetSpent, DegenerateData, UsageError
from policies.gate.conditions import Condition

BUDGET_DAYS: Final = 365
LEAST_MARGIN: Final = 1e-6  # relative; less is a budget that is spent
ROUNDING: Final = 1e-6  # of a ratio of two probabilities from a float32 graph


class RefreshSettings(BaseModel):
    """`refresh:` of the gate; shares of the champion's value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: float = Field(0.01, gt=0, lt=1, description="loss that one refresh may not exceed")
    yearly_loss_budget: float = Field(0.03, gt=0, lt=1, description="sum of the margins promoted within 365 days")
    largest_ratio: float = Field(2.0, gt=1, description="declared bound on challenger / champion probability")


@dataclass(frozen=True, slots=True)
class LossCharge:
    """A refresh that was promoted: what it was allowed to lose."""

    at: datetime
    margin: float  # relative to the champion's value then


@dataclass(frozen=True, slots=True)
class RefreshClaim:
    """What a refresh has to prove, JSON-ready."""

    margin: float  # relative
    champion_value: float  # from rows before the gate window, in units of reward
    absolute: float  # margin * |champion_value|; the judge's margin is its negative
    charged: float  # within the last 365 days, before this one
    yearly_loss_budget: float
    sentence: str


def available_margin(charges: Sequence[LossCharge], *, settings: RefreshSettings, now: datetime) -> float:
    """Relative margin that a refresh opened at `now` may claim: the least of `margin` and what the budget has left.

    Ask when the slot opens, and keep it in the slot: a margin that moved under the looks would be chosen by them.
    Raises BudgetSpent, with `frees_at`, when the margins charged within 365 days have used the budget up.
    Caveat: relative margins are added. Losses of a positive value compound to less than their sum.
    """
    recent = sorted((charge for charge in charges if _counts(charge, now)), key=lambda charge: charge.at)
    charged = charged_margin(charges, now=now)
    left = settings.yearly_loss_budget - charged
    if left < LEAST_MARGIN:
        frees_at = recent[0].at + timedelta(days=BUDGET_DAYS)
        raise BudgetSpent(
            f"no refresh: expected the margins of {BUDGET_DAYS} days to leave something of the yearly loss budget of "
            f"{settings.yearly_loss_budget:.1%}, got {charged:.1%} charged by {len(recent)} refreshes. The oldest "
            f"charge falls away at {frees_at.isoformat()}; until then only a challenger that claims a lift is judged.",
            frees_at=frees_at,
        )
    return min(settings.margin, left)


def charged_margin(charges: Sequence[LossCharge], *, now: datetime) -> float:
    """Sum of the relative margins charged within the 365 days before `now`."""
    return sum(charge.margin for charge in charges if _counts(charge, now))


def claim_of(
    margin: float, *, champion_value: float, charges: Sequence[LossCharge], settings: RefreshSettings, now: datetime
) -> RefreshClaim:
    """The claim of a slot with the relative `margin`: `judge(differences, ..., margin=-claim.absolute)`.

    `champion_value` comes from rows before the gate window (validation): an estimate from gate rows would let the
    margin follow their luck. Raises DegenerateData when it is 0 or not finite: a share of it says nothing then.
    """
    if not (np.isfinite(champion_value) and champion_value != 0):
        raise DegenerateData(
            f"no margin for a refresh: expected a finite value of the champion other than 0, got {champion_value}. "
            "Claim a lift instead, or shift the reward."
        )
    if not 0 < margin < 1:
        raise UsageError(f"bad margin of a refresh: expected a share in (0, 1), got {margin}. Ask `available_margin`.")
    absolute = margin * abs(champion_value)
    return RefreshClaim(
        margin=margin,
        champion_value=champion_value,
        absolute=absolute,
        charged=charged_margin(charges, now=now),
        yearly_loss_budget=settings.yearly_loss_budget,
        sentence=f"The challenger loses at most {margin:.1%} of the champion's value ({absolute:.3g} per interaction).",
    )


def bounded_head(champion: NDArray[np.float64], challenger: NDArray[np.float64], *, largest_ratio: float) -> Condition:
    """Whether challenger / champion <= `largest_ratio` for every action of every gate row; both (n, K).

    An action that the champion never takes must not be taken by the challenger either. Failing refuses.
    """
    positive = challenger > 0
    ratio = np.divide(challenger, champion, out=np.full_like(challenger, np.inf), where=champion > 0)
    found = float(np.where(positive, ratio, 0.0).max(initial=0.0))
    limit = largest_ratio * (1 + ROUNDING)
    return Condition(
        name="bounded_head",
        passed=found <= limit,
        observed=found if np.isfinite(found) else None,
        limit=largest_ratio,
        effect="refuse",
        words=(
            f"the challenger takes an action {_times(found)} as often as the champion, a refresh at most "
            f"{largest_ratio:g} times; train it with a head bounded by {largest_ratio:g}"
        ),
    )


def _counts(charge: LossCharge, now: datetime) -> bool:
    return charge.at > now - timedelta(days=BUDGET_DAYS)


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times" if np.isfinite(ratio) else "infinitely many times"
