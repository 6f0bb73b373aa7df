"""What a task file says about the propensities of its log, and about who serves."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

LONGEST: Final = timedelta(days=3650)  # keeps moments inside the range of a datetime


class PropensitySettings(BaseModel):
    """`propensities:` of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partial_support: tuple[str, ...] = Field(
        (), description="policy versions that cannot take every action everywhere: only weights above 1 are wrong"
    )
    max_missing_share: float = Field(0.01, ge=0, le=1, description="of a version's rows without a propensity")


class ServingSettings(BaseModel):
    """`serving:` of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grace: timedelta = Field(
        timedelta(hours=1), ge=timedelta(0), le=LONGEST, description="how long after a promotion others may decide"
    )
    recent: timedelta = Field(
        timedelta(days=1),
        gt=timedelta(0),
        le=LONGEST,
        description="rows this young are judged, so a mended log is fine",
    )
    sample: int = Field(20_000, ge=1, description="rows per policy version whose propensities are recomputed")
