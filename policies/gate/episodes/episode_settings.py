"""Settings of the gate for tasks with episodes: `gate: {episodes: {...}}` of a task file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Route = Literal["dr_pdis", "drl"]


class EpisodeSettings(BaseModel):
    """What a return is, and by which estimator the average is judged. Declared before the window."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    route: Route = Field("dr_pdis", description="drl: marginalized weights, held unless the state passes the check")
    state: tuple[str, ...] = Field((), description="observation columns that are the state of the models; none: all")
    gamma: float = Field(1.0, gt=0, le=1, description="discount of a step")
    most_steps: int = Field(100, ge=1, description="of an episode; a longer one holds the verdict")
    return_minimum: float | None = Field(None, description="of a whole episode; unsaid: of the reward x most_steps")
    return_maximum: float | None = Field(None, description="of a whole episode; unsaid: of the reward x most_steps")
    largest_weight: float = Field(100.0, gt=1, description="that any actions along a logged episode could give")
    least_terminal_size: float = Field(50.0, gt=0, description="effective sample size of whole episodes' weights")
    least_markov_p_value: float = Field(0.01, gt=0, lt=1)
    most_disagreement: float = Field(2.0, gt=0, description="of DRL with DR-PDIS, in standard errors of the difference")

    @model_validator(mode="after")
    def _bounds(self) -> EpisodeSettings:
        low, high = self.return_minimum, self.return_maximum
        if low is not None and high is not None and low >= high:
            raise ValueError("return_minimum must be below return_maximum")
        return self

    def return_bounds(self, reward_minimum: float, reward_maximum: float) -> tuple[float, float]:
        """Least and largest return of an episode, from what is declared here or from one step's reward."""
        low = min(reward_minimum, 0.0) * self.most_steps if self.return_minimum is None else self.return_minimum
        high = max(reward_maximum, 0.0) * self.most_steps if self.return_maximum is None else self.return_maximum
        return low, high
