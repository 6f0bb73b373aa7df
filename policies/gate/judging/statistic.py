"""Gamma: what one logged row says about value(challenger) - value(champion), by IPS and by DR."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.records import GateRows, Plan

NEVER: Final = 1e-9  # a behavior probability below this counts as "never taken": its weight would mean nothing
TRUNCATION: Final = 0.25  # of the reward model, in units of the largest reward / first stake


@dataclass(frozen=True, slots=True, repr=False)
class PairedDifference:
    """Gamma of n rows in one version (IPS or DR), and what is known of it before the action is drawn."""

    value: NDArray[np.float64]  # (n,) with the logged action and reward
    lowest: NDArray[np.float64]  # (n,) least value that any action and reward could have given
    worst_mean: NDArray[np.float64]  # (n,) least E[Gamma | x] that the policies and the reward's range allow

    def select(self, rows: NDArray[np.bool_]) -> PairedDifference:
        """The rows of a mask (n,)."""
        return PairedDifference(self.value[rows], self.lowest[rows], self.worst_mean[rows])

    def __repr__(self) -> str:
        return f"PairedDifference(n={len(self.value)})"


def swap(rows: GateRows) -> GateRows:
    """The same rows with champion and challenger exchanged: evidence for harm is evidence for the swapped pair."""
    return replace(rows, champion=rows.challenger, challenger=rows.champion)


def paired_differences(rows: GateRows, *, plan: Plan, first_stake: float) -> tuple[PairedDifference, PairedDifference]:
    """(IPS, DR) versions of Gamma = sum_a d_a q~_a + (d_A / b_A)(R - q~_A), d = challenger - champion, b = behavior.

    q~ = 0 for IPS; for DR the reward model truncated to |q~_a| <= k / |d_a / b_a| with
    k = max|reward| max(1/4, 1/(4 first_stake)), which bounds what one row can lose. Given x, both have mean
    sum_a d_a E[r|x, a] when b is true; where challenger and champion agree, both are exactly 0. Actions that the
    behavior policy never takes enter at the worst reward the contract allows, so the mean is a lower bound then.
    Source: Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro 2024, "Anytime-valid off-policy inference", sec. 3.
    """
    d = rows.challenger - rows.champion
    taken = rows.behavior >= NEVER
    weight = np.divide(d, rows.behavior, out=np.zeros_like(d), where=taken)
    bounds = np.array([plan.reward_minimum, plan.reward_maximum])
    worst_part = np.minimum(d * bounds[0], d * bounds[1])
    never_taken = np.where(taken, 0.0, worst_part).sum(axis=1)
    # sum d = 0, so sum_a d_a r_a >= r_min (sum d+) - r_max (sum d-): tighter than action by action
    worst_mean = bounds[0] * np.maximum(d, 0).sum(axis=1) + bounds[1] * np.minimum(d, 0).sum(axis=1)
    k = TRUNCATION * float(np.abs(bounds).max()) * max(1.0, 1.0 / first_stake)
    predicted = _truncate(np.where(taken, rows.reward_model, 0.0), weight, k)
    versions = (np.zeros_like(d), predicted)
    ips, dr = (_version(rows, d, weight, q, never_taken, worst_mean, bounds) for q in versions)
    return ips, dr


def _truncate(predicted: NDArray[np.float64], weight: NDArray[np.float64], k: float) -> NDArray[np.float64]:
    size = np.abs(weight)
    limit = np.divide(k, size, out=np.full_like(size, np.inf), where=size > 0)
    return np.clip(predicted, -limit, limit)


def _version(
    rows: GateRows,
    d: NDArray[np.float64],
    weight: NDArray[np.float64],
    predicted: NDArray[np.float64],
    never_taken: NDArray[np.float64],
    worst_mean: NDArray[np.float64],
    bounds: NDArray[np.float64],
) -> PairedDifference:
    index = np.arange(rows.n)
    known = never_taken + np.einsum("ij,ij->i", d, predicted)
    drawn = weight[index, rows.action] * (rows.reward - predicted[index, rows.action])
    losses = np.minimum(weight * (bounds[0] - predicted), weight * (bounds[1] - predicted))
    return PairedDifference(value=known + drawn, lowest=known + losses.min(axis=1), worst_mean=worst_mean)
