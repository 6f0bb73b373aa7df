"""A log as the gate reads it: as single decisions, or as episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.gate.episodes.episode_checks import EpisodicEstimate
from policies.gate.judging.differences import TwoSided
from policies.gate.soundness.soundness import Soundness
from policies.ope import Estimate


@dataclass(frozen=True, slots=True)
class Reading:
    """The stream that is judged, and what is asked and shown beside it."""

    stream: TwoSided
    estimates: Sequence[Estimate | EpisodicEstimate]
    by: str  # the estimator that the stream is made of
    parts: Soundness
