"""Later observations become rewards: one channel, an attribution window, a default when nothing arrives."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field


class RewardSettings(BaseModel):
    """`reward:` of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: str = "reward"
    attribution_window: timedelta = Field(timedelta(0), ge=timedelta(0), description="ISO 8601 duration, e.g. P7D")
    default: float | None = Field(None, description="reward when nothing arrived inside the window; None: required")
