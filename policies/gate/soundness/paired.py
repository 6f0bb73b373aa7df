"""The doubly robust difference of each gate row, taken apart: what the model says, and what the reward adds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.statistic import NEVER
from policies.gate.records import GateRows
from policies.ope.estimates import clustered_standard_error


@dataclass(frozen=True, slots=True, repr=False)
class PairedTerms:
    """n gate rows; d = challenger - champion, b = behavior, A the logged action, q the reward model."""

    direct: NDArray[np.float64]  # (n,) sum_a d_a q_a, known before the action was drawn
    weight: NDArray[np.float64]  # (n,) d_A / b_A
    residual: NDArray[np.float64]  # (n,) reward - q_A
    share: NDArray[np.float64]  # (n,) row weight / mean row weight
    unit: NDArray[np.int64]  # (n,) codes

    @property
    def value(self) -> NDArray[np.float64]:
        """(n,) doubly robust difference; exactly 0 where the policies agree."""
        return self.direct + self.weight * self.residual

    def __repr__(self) -> str:
        return f"PairedTerms(n={len(self.direct)})"


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over rows with its error clustered by unit, in units of reward."""

    value: float
    standard_error: float

    @property
    def z(self) -> float:
        """Mean / standard error; 0 where nothing varies."""
        return self.value / self.standard_error if self.standard_error > 0 else 0.0


def paired_terms(rows: GateRows, *, unit: NDArray[np.int64]) -> PairedTerms:
    """The parts of value_i = sum_a d_a q_a + (d_A / b_A)(r - q_A), as the gate's stream `one_step` holds them.

    `unit` (n,) are codes of the units (those of the stream: names are slow to sort). Rows must be sound.
    """
    d = rows.challenger - rows.champion
    place = np.arange(rows.n) * d.shape[1] + rows.action
    taken = np.take(rows.behavior, place)
    weight = np.divide(np.take(d, place), taken, out=np.zeros(rows.n), where=taken >= NEVER)
    return PairedTerms(
        direct=np.einsum("ij,ij->i", d, rows.reward_model),
        weight=weight,
        residual=rows.reward - np.take(rows.reward_model, place),
        share=rows.weight / rows.weight.mean(),
        unit=unit,
    )


def clustered_mean(values: NDArray[np.float64], *, share: NDArray[np.float64], unit: NDArray[np.int64]) -> Mean:
    """Mean of (n,) values by `share` (n,), its error clustered by `unit` (n,) codes 0 ... n_units - 1, all used.

    Raises DegenerateData when there are fewer than 2 units.
    """
    mean = float((values * share).sum() / share.sum())
    relative = share * (len(share) / share.sum())
    return Mean(mean, clustered_standard_error((values - mean) * relative, unit))
