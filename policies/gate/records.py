"""What the gate reads and what it answers: frozen records, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["promote", "stage", "hold", "block", "refuse"]
SOURCES: Final = ("version", "distribution", "propensity")  # of a row's behavior: re-evaluated, logged whole, or only p


class _Kept:
    """A slot outside the fields of a frozen record, for what follows from them and is slow to compute."""

    __slots__ = ("_units",)
    _units: tuple[NDArray[np.str_], NDArray[np.int64]]


@dataclass(frozen=True, slots=True, repr=False)
class GateRows(_Kept):
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
    day: NDArray[np.datetime64] = field(default_factory=lambda: np.empty(0, "M8[D]"))  # (n,) UTC; empty: not known
    source: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))  # (n,) index in SOURCES; empty: 0
    seed_logged: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))  # (n, S) other seeds: pi_s(A|x)
    seed_direct: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))  # (n, S) sum_a pi_s(a|x) q_a
    other_model: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))  # (n, 2) q'_A, sum_a d_a q'_a
    segments: dict[str, NDArray[np.str_]] = field(default_factory=dict)  # column -> (n,) values

    def __post_init__(self) -> None:
        absent = {
            "weight": np.ones(self.n),
            "day": np.full(self.n, np.datetime64("NaT", "D")),
            "source": np.zeros(self.n, np.uint8),
            "seed_logged": np.empty((self.n, 0)),
            "seed_direct": np.empty((self.n, 0)),
            "other_model": np.empty((self.n, 0)),
        }
        for name, value in absent.items():
            if not getattr(self, name).size:
                object.__setattr__(self, name, value)

    @property
    def n(self) -> int:
        return len(self.action)

    @property
    def units(self) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        """(G,) names of the units, sorted, and (n,) which of them each row belongs to; names are sorted only once."""
        try:
            return self._units
        except AttributeError:
            names, code = np.unique(self.unit_id, return_inverse=True)
            object.__setattr__(self, "_units", (names, code.astype(np.int64, copy=False)))
            return self.units

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> GateRows:
        """The rows of a mask (n,) or of indices."""
        chosen = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "segments"}
        return GateRows(**chosen, segments={name: values[rows] for name, values in self.segments.items()})

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
    return GateRows(**{f.name: _joined([getattr(part, f.name) for part in parts]) for f in fields(GateRows)})


def _joined(values: list[Any]) -> Any:
    """Arrays end to end; of dictionaries, and of columns that older releases did not write, those that all have."""
    if not isinstance(values[0], dict):
        width = min(value.shape[1:] for value in values)
        return np.concatenate([value[:, : width[0]] for value in values] if width else values)
    return {name: np.concatenate([v[name] for v in values]) for name in values[0] if all(name in v for v in values)}
