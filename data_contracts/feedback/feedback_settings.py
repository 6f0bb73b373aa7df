"""Limits of the feedback-loop monitors."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FeedbackSettings(BaseModel):
    """`feedback:` of a task file. Every limit warns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_exploration: float = Field(0.02, ge=0, le=1, description="chance that a second decision takes another action")
    exploration_drop: float = Field(
        0.25, ge=0, le=1, description="of the past weeks' median exploration; less has died"
    )
    max_own_share: float = Field(
        0.9, ge=0, le=1, description="of the rows, by the champion's line, if it hardly explores"
    )
    effective_actions_drop: float = Field(0.5, ge=0, le=1, description="of the past weeks' median effective actions")
    max_top_share: float = Field(0.95, ge=0, le=1, description="of the week's rows that one action may have")
    max_unexplored: float = Field(0.5, ge=0, le=1, description="of observations on which the champion never explores")
    min_segment_rows: int = Field(10, ge=1, description="rows of every common action in a level of a segment")
    max_uncovered: float = Field(0.05, ge=0, le=1, description="of the rows, in levels with too few")
    min_rows: int = Field(200, ge=1, description="rows of a week, or of a version, before it is judged")
