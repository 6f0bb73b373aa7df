"""What the gate reads and what it answers: frozen records, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["promote", "stage", "hold", "block", "refuse"]


@dataclass(frozen=True, slots=True, repr=False)
class GateRows:
    """n matured gate rows of evaluable behavior policies, in order of (occurred_at, interaction_id); K actions."""

    interaction_id: NDArray[np.str_]  # (n,)
    unit_id: NDArray[np.str_]  # (n,)
    policy_version: NDArray[np.str_]  # (n,)
    action: NDArray[np.int64]  # (n,)
    reward: NDArray[np.float64]  # (n,)
    propensity: NDArray[np.float64]  # (n,) as logged, of the logged action
    behavior: NDArray[np.float64]  # (n, K) probabilities of the behavior policy
    champion: NDArray[np.float64]  # (n, K)
    challenger: NDArray[np.float64]  # (n, K)
    reward_model: NDArray[np.float64]  # (n, K) predicted reward, fitted on rows before the window
    weight: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # (n,) 1 / sampling_rate; empty: 1 each

    def __post_init__(self) -> None:
        if not len(self.weight):
            object.__setattr__(self, "weight", np.ones(self.n))

    @property
    def n(self) -> int:
        return len(self.action)

    def __repr__(self) -> str:
        return f"GateRows(n={self.n}, n_actions={self.behavior.shape[1]})"


@dataclass(frozen=True, slots=True)
class Plan:
    """Fixed when the challenger is frozen, from rows before the window: scale of the bets."""

    n_planned: int  # gate rows that all planned looks together expect
    sigma_squared: float  # predicted variance of one paired difference
    reward_minimum: float
    reward_maximum: float
    weight_maximum: float = 1.0  # largest row weight that the log can hold; a gate row above it is refused
    cluster_size: int = 1  # rows of one unit in one look that are bet on as one; from rows before the window


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Verdict, reasons in words a person on call understands, and every number behind it (JSON-ready)."""

    verdict: Verdict
    reasons: tuple[str, ...]
    evidence: dict[str, Any]


def concatenate(parts: Sequence[GateRows]) -> GateRows:
    """The rows of several looks, in the order in which they were read."""
    return GateRows(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(GateRows)})
