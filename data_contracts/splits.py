"""train | validation | gate window: gate rows are later than everything a challenger is trained or chosen on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

TRAIN, VALIDATION, GATE, EXCLUDED = 0, 1, 2, 3  # codes of the column `split`; EXCLUDED: episode across a border


class SplitSettings(BaseModel):
    """Shares of the matured rows, in order of time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    holdout: float = Field(0.3, gt=0, lt=0.9, description="latest share, withheld for the gate's first look")
    validation: float = Field(0.15, gt=0, lt=0.5, description="share before it, for choosing seed and algorithm")
