"""Scores -> action probabilities: the stochastic head that is trained for, evaluated, served and logged."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class HeadSettings(BaseModel):
    """`head:` of a task file. Every action keeps at least exploration / K."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["greedy", "softmax"] = "greedy"
    temperature: float = Field(1.0, gt=0, description="of softmax, in units of the scores")
    exploration: float = Field(0.1, ge=0, le=1, description="share spread evenly over all actions")
