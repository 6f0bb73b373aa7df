"""`gate.segments` of a task file: the few parts of the traffic that a better average may not be paid for with."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_PROTECTED: Final = 5  # each must be proven: more, and a harmless challenger rarely passes. Source: statistics 4.5


class SegmentSettings(BaseModel):
    """One protected segment: the rows whose `column` has one of `values` (as text)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    column: str = Field(description="of the contract, with the tag segment or observation")
    values: tuple[str, ...] = Field(min_length=1)
    margin: float = Field(
        0.1, gt=0, lt=1, description="share of the champion's value there that may be lost; shown to be less"
    )


def _each_once(segments: tuple[SegmentSettings, ...]) -> tuple[SegmentSettings, ...]:
    names = [segment.name for segment in segments]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"every name once ({twice} is there twice)")
    return segments


ProtectedSegments = Annotated[tuple[SegmentSettings, ...], Field(max_length=MOST_PROTECTED), AfterValidator(_each_once)]
