"""What must hold beside the average before a challenger may serve, and what a failure turns the verdict into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Effect = Literal["refuse", "block", "stage", "hold"]
HARM: Final = ("segment_harm", "guardrail_harm")  # names of conditions: proven harm blocks whatever the average says
STRICTEST_FIRST: Final[tuple[Effect, ...]] = ("refuse", "block", "stage", "hold")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a promotion."""

    name: str
    passed: bool
    observed: float | None  # None where it could not be computed
    limit: float | None
    effect: Effect  # of a failure; the strictest of several counts
    words: str  # one sentence for people, where it failed: what was found against what limit, and what to do


def strictest(failed: tuple[Condition, ...]) -> Effect | None:
    """The effect that counts among failed conditions; None when none failed."""
    return min((c.effect for c in failed if not c.passed), key=STRICTEST_FIRST.index, default=None)
