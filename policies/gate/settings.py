"""Settings of the gate, as a task file writes them under `gate:`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GateSettings(BaseModel):
    """Every threshold that can block or ship a policy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(1000.0, gt=1, description="e-value at which to promote (or, on the negative, block)")
    looks: int = Field(5, ge=1, le=500, description="planned looks of one challenger; then its slot closes")
    min_rows_per_look: int = Field(500, ge=1, description="a look waits for this many unread, matured rows")
    minimum_lift: float = Field(0.05, gt=0, description="relative lift worth finding; sizes `how much longer`")
    interval: float = Field(0.95, gt=0.5, lt=1, description="coverage of the anytime-valid interval that people see")
    support_propensity: float = Field(0.005, gt=0, lt=1, description="an action less likely than this is unsupported")
    max_unsupported_mass: float = Field(0.01, ge=0, lt=1, description="of the challenger; above it the gate refuses")
    min_matured_share: float = Field(0.99, ge=0, le=1)
    weight_e_value: float = Field(1000.0, gt=1, description="evidence against E[w] = 1 at which the gate refuses")
    propensity_tolerance: float = Field(1e-6, gt=0, description="logged against recomputed propensity")
