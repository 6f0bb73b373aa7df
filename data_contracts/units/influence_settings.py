"""Settings of one unit's influence, as a task file writes them under `influence:`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.contract import Severity


class InfluenceSettings(BaseModel):
    """What one unit may contribute, and when many rows in few hands stop a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_rows_per_unit: int | None = Field(
        None, ge=1, description="earliest rows of each unit in train, in validation and at the gate; null: no limit"
    )
    max_weight_share_per_unit: float = Field(
        0.01, gt=0, le=1, description="of the training weight, and of the gate's rows; ten even shares if that is more"
    )
    alarm_share: float = Field(0.2, gt=0, lt=1, description="weight of the top 1 % of units above which to alarm")
    severity: Severity = Field("block", description="of concentration and of coordination")
