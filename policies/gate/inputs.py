"""What a look is told beside its rows and its plan; all of it is in the evidence, so that a verdict recomputes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from policies.gate.episodes.episodes import Earlier
from policies.gate.judging.judge import Alpha
from policies.gate.looks.alpha import Mode, SlotAlpha
from policies.gate.looks.ledger_entries import Claim
from policies.gate.segments.guardrail_rules import GuardrailRule
from policies.gate.soundness.forgetting import Part


class SlotShare(BaseModel):
    """What a slot may spend, without the moments of its period: the same look of the same rows is the same evidence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    planned: float
    anytime: float
    slot_number: int
    n_slots: int
    n_promoted_before: int
    mode: Mode
    alpha: float  # of the whole period
    period_days: int


def share_of(slot: SlotAlpha) -> SlotShare:
    """The share of a slot of the ledger."""
    return SlotShare(**{name: getattr(slot, name) for name in SlotShare.model_fields})


class LookInputs(BaseModel):
    """Of one look at one challenger."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    look: int  # its number, from 1
    look_ends: tuple[int, ...]  # rows at the end of each look so far, increasing; the last is all of them
    slot: SlotShare  # as the ledger holds it
    claim: Claim = "lift"
    margin: float = 0.0  # of a refresh: loss per interaction that it may not exceed, in reward; from earlier rows
    overlap: int = 0  # gate rows that also trained or chose the challenger
    matured_share: float | None = 1.0  # of the window's matured rows whose reward is known; None: not known
    rows_per_day: float = 0.0  # matured, usable rows that arrive per day
    n_without_distribution: int = 0  # left out: their behavior policy's distribution is not known
    n_over_limit: int = 0  # left out: their unit had `rows_per_unit` rows before them
    rows_per_unit: int | None = None  # None: no limit was met
    deployed_seed: int | None = None  # None: training knows no seeds, or they were not kept
    other_seeds: tuple[int, ...] = ()  # of the columns `seed_logged` and `seed_direct`
    older: tuple[Part, ...] = ()  # the challenger on earlier rows; they stay in the training snapshot
    earlier_episodes: Earlier | None = None  # of a task with episodes: what is fixed before the window
    guardrail_rules: tuple[GuardrailRule, ...] = ()  # fixed at the first look
    closes_at: datetime | None = None  # end of the whole periods that the looks have read; None without rounding

    @property
    def alpha(self) -> Alpha:
        return Alpha(planned=self.slot.planned, anytime=self.slot.anytime)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")
