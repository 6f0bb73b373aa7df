"""`gate.guardrails` of a task file: how much worse a watched channel may get for a better reward."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Number = Annotated[float, Field(allow_inf_nan=False)]


class GuardrailMargin(BaseModel):
    """Exactly one of `margin` and `relative`. Which direction is worse: `better` of `reward.guardrails`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: float | None = Field(None, gt=0, allow_inf_nan=False, description="in units of the channel per interaction")
    relative: float | None = Field(None, gt=0, le=10, description="share of the champion's mean of the channel")
    bounds: tuple[Number, Number] | None = Field(
        None, description="of one interaction's value, which is clipped to them; default: the contract's"
    )

    @model_validator(mode="after")
    def _fits(self) -> GuardrailMargin:
        if (self.margin is None) == (self.relative is None):
            raise ValueError("exactly one of margin, relative")
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise ValueError("bounds with the lower one first")
        return self
