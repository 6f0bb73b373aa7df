"""Settings of the gate, as a task file writes them under `gate:`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from policies.gate.arms.stage_settings import HoldbackSettings, StageSettings
from policies.gate.episodes.episode_settings import EpisodeSettings
from policies.gate.judging.judge import split_alpha
from policies.gate.looks.alpha import LedgerSettings
from policies.gate.looks.ledger_entries import Claim
from policies.gate.looks.special_days import SpecialDay
from policies.gate.refresh import RefreshSettings
from policies.gate.segments.guardrail_settings import GuardrailMargin
from policies.gate.segments.segment_settings import ProtectedSegments
from policies.gate.soundness.agreement import AgreementSettings
from policies.gate.soundness.exploitation import ExploitationSettings
from policies.gate.soundness.forgetting import ForgettingSettings
from policies.gate.soundness.fragility import FragilitySettings


class GateSettings(BaseModel):
    """Every threshold that can block or ship a policy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: Claim = Field("lift", description="lift: better than the champion; refresh: hardly worse, by a bounded head")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="error of a whole period of the ledger, one-sided")
    ledger: LedgerSettings = LedgerSettings()
    looks: int = Field(5, ge=1, le=500, description="planned looks of one challenger; then its slot closes")
    min_rows_per_look: int = Field(500, ge=1, description="a look waits for this many unread, matured rows")
    close_on_days: int | None = Field(7, ge=1, le=366, description="looks close on whole periods of days; null: never")
    first_look_waits: bool = Field(False, description="for a whole period; else it reads a shorter window and says so")
    calendar: tuple[SpecialDay, ...] = Field((), description="days that are not like others: a second verdict without")
    minimum_lift: float = Field(0.05, gt=0, description="relative lift worth finding; sizes `how much longer`")
    refresh: RefreshSettings = RefreshSettings()
    segments: ProtectedSegments = ()
    guardrails: dict[str, GuardrailMargin] = {}
    fragility: FragilitySettings = FragilitySettings()
    exploitation: ExploitationSettings = ExploitationSettings()
    agreement: AgreementSettings = AgreementSettings()
    forgetting: ForgettingSettings = ForgettingSettings()
    stage: StageSettings = StageSettings()
    holdback: HoldbackSettings = HoldbackSettings()
    episodes: EpisodeSettings | None = Field(
        None, description="of a task with episodes: what a return is, and the route"
    )
    interval: float = Field(0.95, gt=0.5, lt=1, description="coverage of the anytime-valid interval that people see")
    support_propensity: float = Field(0.005, gt=0, lt=1, description="an action less likely than this is unsupported")
    max_unsupported_mass: float = Field(0.01, ge=0, lt=1, description="of the challenger; above it the gate refuses")
    min_matured_share: float = Field(0.99, ge=0, le=1)
    weight_e_value: float = Field(1000.0, gt=1, description="evidence against E[w] = 1 at which the gate refuses")
    propensity_tolerance: float = Field(1e-6, gt=0, description="logged against recomputed propensity")

    @property
    def first_threshold(self) -> float:
        """E-value that the first challenger of a period needs from the betting branch alone."""
        return split_alpha(self.alpha / self.ledger.slots).threshold


def stored_settings(stored: dict[str, Any]) -> GateSettings:
    """The settings that a version was frozen with; those of older releases had one `threshold` instead of an alpha."""
    return GateSettings.model_validate({name: value for name, value in stored.items() if name != "threshold"})
