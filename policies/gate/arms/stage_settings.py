"""`gate.stage` and `gate.holdback` of a task file: what a challenger gets before, and after, its promotion."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policies.gate.arms.unit_outcomes import OutcomeKind

Days = Annotated[int, Field(ge=1, le=3650)]


class ArmComparison(BaseModel):
    """How the arms of a stage are compared: a unit's outcome at each horizon after its entry, at planned moments.

    The j-th look at a horizon comes `j look_every_days` after the first units could have completed it, so that the
    moments of all looks are known when the stage begins.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    horizons_days: tuple[Days, ...] = Field((7, 30, 90), min_length=1, max_length=5, description="increasing")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="error of a false regression, over all looks and horizons")
    look_every_days: Days = 7
    looks: int = Field(4, ge=1, le=100, description="planned at each horizon; then it has said what it can")
    min_units_per_look: int = Field(100, ge=1, description="new ones that a look is planned with at least")
    outcome: OutcomeKind = Field("mean", description="of a unit's rewards in its time")
    max_rows_per_unit: int = Field(1000, ge=1, description="of a unit's time; bounds what one unit can weigh in a sum")

    @model_validator(mode="after")
    def _increasing(self) -> ArmComparison:
        if any(after <= before for before, after in pairwise(self.horizons_days)):
            raise ValueError("horizons_days that increase")
        return self

    @property
    def horizons(self) -> tuple[timedelta, ...]:
        return tuple(timedelta(days=days) for days in self.horizons_days)

    @property
    def look_every(self) -> timedelta:
        return timedelta(days=self.look_every_days)


class HoldbackSettings(ArmComparison):
    """`holdback: 0.05`, or a mapping. A promotion is provisional until the longest horizon has spoken."""

    share: float = Field(0.05, ge=0, lt=0.5, description="of units that stay with the former champion; 0: none")
    on_regression: Literal["rollback", "alert"] = "rollback"

    @model_validator(mode="before")
    @classmethod
    def _share_alone(cls, value: Any) -> Any:
        return {"share": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class StageSettings(ArmComparison):
    """What a `stage` verdict does. Arms are drawn by unit, because what is done to a unit today changes its tomorrow;
    `by: row` draws every decision anew and needs the task's word that nothing carries over."""

    horizons_days: tuple[Days, ...] = Field((7, 30), min_length=1, max_length=5, description="increasing")
    share: float = Field(0.1, gt=0, le=0.5, description="of the units, or of the decisions, that get the challenger")
    by: Literal["unit", "row"] = "unit"
    carry_over: Literal["possible", "none"] = "possible"

    @model_validator(mode="after")
    def _nothing_carries_over(self) -> StageSettings:
        if self.by == "row" and self.carry_over != "none":
            raise ValueError("carry_over: none with by: row, as arms that share units cannot see what carries over")
        return self
