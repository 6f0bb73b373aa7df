"""Learning curves: losses of a training, and what its policy was worth on the validation rows meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from policies.logged_interactions import LoggedInteractions
from policies.ope import snips
from policies.ope.diagnostics import effective_sample_size
from policies.ope.records import LoggedRewards, target_terms


@dataclass(frozen=True, slots=True, repr=False)
class ValidationRows:
    """m rows with a logged propensity; never rows of the gate window."""

    features: NDArray[np.float32]  # (m, d), scaled
    action: NDArray[np.int64]  # (m,)
    reward: NDArray[np.float64]  # (m,)
    propensity: NDArray[np.float64]  # (m,) in (0, 1]
    unit: NDArray[np.int64]  # (m,) codes 0 ... n_units - 1
    weight: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # (m,) rows it stands for; empty: one each
    champion_features: NDArray[np.float32] = field(
        default_factory=lambda: np.empty((0, 0), np.float32)
    )  # (m, d') or none

    def __repr__(self) -> str:
        return f"ValidationRows(m={len(self.action)})"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """State of a training after `step` steps; the validation fields are None when no row can value the policy."""

    step: int
    losses: dict[str, float]  # means since the last point; none for a closed form
    validation_value: float | None  # SNIPS of the served stochastic policy, in units of reward
    effective_sample_size: float | None  # in units


def validation_rows(
    data: LoggedInteractions, features: NDArray[np.float32], champion_features: NDArray[np.float32] | None = None
) -> ValidationRows:
    """The rows of `data` whose propensity is known; `features` (n, d), and those that a champion which bounds the
    policies reads, belong to the rows of `data`."""
    others = np.empty((data.n, 0), np.float32) if champion_features is None else champion_features
    known = ~np.isnan(data.propensity)
    _, unit = np.unique(data.unit_id[known], return_inverse=True)
    return ValidationRows(
        features=features[known],
        action=data.action[known],
        reward=data.reward[known],
        propensity=data.propensity[known],
        unit=unit.astype(np.int64),
        weight=data.weight[known],
        champion_features=others[known],
    )


def validation_estimate(probabilities: NDArray[np.float64], rows: ValidationRows) -> tuple[float | None, float | None]:
    """SNIPS value of a policy with `probabilities` (m, K), and its effective sample size in units.

    None for both when there is no row, or the log never took an action of the policy. Caveat: on episodes it
    values single decisions, not returns. It ranks seeds and draws curves; no promotion rests on it.
    """
    if not len(rows.action):
        return None, None
    no_model = np.broadcast_to(0.0, probabilities.shape)  # SNIPS reads none
    logged = LoggedRewards(rows.action, rows.reward, rows.propensity, no_model, rows.unit, rows.weight)
    estimate = snips.evaluate(target_terms(logged, probabilities))
    size = effective_sample_size(logged.weight * estimate.weights, rows.unit)
    return (estimate.value, size) if size > 0 else (None, None)


class LossMeans:
    """Means of the losses since the last `take`."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._n = 0

    def add(self, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._n += 1

    def take(self) -> dict[str, float]:
        means = {name: total / self._n for name, total in self._sums.items()}
        self._sums, self._n = {}, 0
        return means
