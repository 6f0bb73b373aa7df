"""How much error each challenger may spend: e-LOND for branch E, Bonferroni for branch G, over the slots of a period.

Every challenger is one test of "not better than the champion". Over a year of retraining there are many, and each at
5 % would promote some worse policy in most years (50 fresh challengers: 93 %). So a period has a planned number T of
slots, each gets the share gamma = 1 / T of alpha when it opens, and what is not promoted gives nothing back.

Default (`fdr`): the expected share of wrong promotions among a period's promotions stays <= alpha. With D promotions
of the period's slots before slot t opens, a_E = alpha / 5 and a_G = 4 alpha / 5,
    branch E promotes when its e-value reaches 1 / (a_E gamma (D + 1))     (e-LOND)
    branch G promotes at the one-sided level a_G gamma                     (Bonferroni: D buys it nothing)
Proof. Let P_t say that slot t promotes, R that many of the period's slots did in the end, and sum over true nulls:
    FDR = E[sum_t 1{P_t} / max(R, 1)]
       <= E[sum_t 1{P_t, E_t passes} / max(R, 1)] + E[sum_t 1{P_t, G_t passes} / max(R, 1)].
If E_t passes and t promotes, the D earlier promotions and t itself are among the R, so R >= D + 1 and
    1{P_t, E_t passes} / max(R, 1) <= E_t a_E gamma (D + 1) / (D + 1) = E_t a_E gamma, of expectation <= a_E gamma,
an e-value's mean being at most 1 under its null, whatever D is and however the slots depend on one another. The other
term is at most P(G_t passes) <= a_G gamma, as max(R, 1) >= 1. Over T slots: FDR <= (a_E + a_G) T gamma = alpha.
The factor D + 1 for a p-value would need P(p <= u | D) <= u: true where no earlier slot has read its rows, not where
rows serve several challengers, as they may. Hence no factor for branch G.
Strict (`strict`): both branches by Bonferroni; the chance of any wrong promotion in a period stays <= alpha.

Source: Xu & Ramdas 2024, "Online multiple testing with e-values" (e-LOND, theorem 1); Javanmard & Montanari 2018,
"Online rules for control of false discovery rate" (LOND).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.errors import BudgetSpent, UsageError
from policies.gate.judging.judge import split_alpha

ROUNDING: Final = 1e-9  # of a period's shares, which add up to 1

Mode = Literal["fdr", "strict"]


class LedgerSettings(BaseModel):
    """`ledger:` of the gate: how a period's alpha is divided among challengers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Field("fdr", description="fdr: share of wrong promotions; strict: chance of any wrong one")
    slots: int = Field(50, ge=1, le=10_000, description="challengers that a period can judge, withdrawn ones too")
    period_days: int = Field(365, ge=1, le=3660, description="from the first slot of a period to its end")


@dataclass(frozen=True, slots=True)
class PastSlot:
    """A slot that was opened before, as the ledger knows it."""

    opened_at: datetime
    share: float  # of its period's alpha, 1 / n_slots as they were then
    period_days: int  # as they were then; those of a period's first slot hold for all of it
    promoted: bool  # some look of it said promote


@dataclass(frozen=True, slots=True)
class SlotAlpha:
    """One-sided error of the two branches in one slot; fixed when it opens, JSON-ready."""

    planned: float  # branch G
    anytime: float  # branch E: its e-value must reach 1 / anytime
    slot_number: int  # in its period, from 1
    n_slots: int
    n_promoted_before: int  # of the period's slots
    mode: Mode
    alpha: float  # of the whole period
    period_days: int
    period_started_at: datetime
    period_ends_at: datetime

    @property
    def slot_alpha(self) -> float:
        """Of both branches together."""
        return self.planned + self.anytime


def allocate_alpha(past: Sequence[PastSlot], *, settings: LedgerSettings, alpha: float, now: datetime) -> SlotAlpha:
    """What the slot that opens at `now` may spend; every slot of `past` (oldest first) was used, withdrawn or not.

    planned = .8 alpha / T; anytime = .2 alpha / T times D + 1 (fdr) or 1 (strict), T = settings.slots and D the
    promotions of this period's slots. A period begins with the first slot after the end of the one before, and lasts
    as long as that slot said. Settings may change under a period: a slot opens only if the shares 1 / T of all its
    slots still add up to at most 1, so the bound of the module's text holds for the largest alpha among them.

    Raises BudgetSpent with `frees_at` when the period's slots are used up, UsageError for alpha outside (0, 1).
    Caveat: the share of wrong promotions is an expectation over years like this one, not a bound on one year's count.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"bad alpha of the ledger: expected a number in (0, 1), got {alpha}. Correct `gate.alpha`.")
    started_at, ends_at, members = _period(past, settings, now)
    share, used = 1.0 / settings.slots, sum(slot.share for slot in members)
    if used + share > 1.0 + ROUNDING:
        raise BudgetSpent(
            f"no slot left in the ledger's period: expected at most {settings.slots} challengers from "
            f"{started_at:%Y-%m-%d} to {ends_at:%Y-%m-%d}, got {len(members)} that used {used:.0%} of its alpha. The "
            f"next slot frees at {ends_at.isoformat()}; the champion serves on until then.",
            frees_at=ends_at,
        )
    n_promoted = sum(slot.promoted for slot in members)
    factor = n_promoted + 1 if settings.mode == "fdr" else 1
    equal = split_alpha(alpha * share)
    return SlotAlpha(
        planned=equal.planned,
        anytime=equal.anytime * factor,
        slot_number=len(members) + 1,
        n_slots=settings.slots,
        n_promoted_before=n_promoted,
        mode=settings.mode,
        alpha=alpha,
        period_days=settings.period_days,
        period_started_at=started_at,
        period_ends_at=ends_at,
    )


def _period(
    past: Sequence[PastSlot], settings: LedgerSettings, now: datetime
) -> tuple[datetime, datetime, list[PastSlot]]:
    """(start, end, slots opened in it) of the period that `now` lies in."""
    started_at, ends_at, members = now, now, list[PastSlot]()
    for slot in past:
        if not members or slot.opened_at >= ends_at:
            started_at, members = slot.opened_at, []
            ends_at = started_at + timedelta(days=slot.period_days)
        members.append(slot)
    if not members or now >= ends_at:
        return now, now + timedelta(days=settings.period_days), []
    return started_at, ends_at, members
