"""The e-detector: daily deviations become e-values, their Shiryaev-Roberts sums raise an alarm.

Source: statistics.md section 5; Shin, Ramdas & Rinaldo 2024, "E-detectors: a nonparametric framework for
sequential change detection".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.drift.records import GROUP_ORDER, GROUPS, WEIGHTS, Budget, Kind, Threshold

AT: Final[dict[Threshold, float]] = {"warn": 150.0, "block": 600.0}
PERIOD: Final = 30  # cells of a budget: E[SR after D cells] <= D, so P(an alarm within D) <= D / threshold
STAKES: Final = np.array([0.75, 1.5, 3.0])

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False)
class Detected:
    """One detector's walk over C cells, for G groups of monitors (in GROUP_ORDER)."""

    statistic: Floats  # (C, G) before a restart
    share: Floats  # (C, M) of each monitor in its group's statistic
    alarm: NDArray[np.bool_]  # (C, G)


def e_values(z: Floats, tolerance: Floats) -> Floats:
    """(B, C, M) of the B = 6 bets on both signs and l in STAKES: exp(l (+-z - tolerance) - l^2 / 2); NaN stays NaN.

    Each is an e-value while |E z| <= tolerance and z is sub-Gaussian with variance 1.
    """
    stakes = STAKES[:, None, None]
    up = np.exp(stakes * (z - tolerance) - stakes**2 / 2)
    down = np.exp(stakes * (-z - tolerance) - stakes**2 / 2)
    return np.concatenate([up, down])


def monitor_weights(kinds: tuple[Kind, ...], usable: NDArray[np.bool_]) -> Floats:
    """(M,) weights that sum to 1: each kind's share of the budget, spread evenly over its usable monitors."""
    of_kind = {kind: np.array([k == kind for k in kinds], np.bool_) & usable for kind in WEIGHTS}
    shares = {kind: share for kind, share in WEIGHTS.items() if of_kind[kind].any()}
    total = sum(shares.values())
    weights = np.zeros(len(kinds))
    for kind, share in shares.items():
        weights[of_kind[kind]] = share / total / of_kind[kind].sum()
    return weights


def group_members(kinds: tuple[Kind, ...]) -> NDArray[np.bool_]:
    """(M, G) which group each monitor belongs to."""
    return np.array([[GROUPS[kind] == group for group in GROUP_ORDER] for kind in kinds], np.bool_).reshape(-1, 4)


def detect(e: Floats, weights: Floats, members: NDArray[np.bool_], *, threshold: float) -> Detected:
    """SR_d = (SR_{d-1} + 1) e_d per bet on a monitor, averaged over its bets; a group's alarm when its sum of
    weights SR >= threshold.

    A bet that is right keeps its gains: averaging the bets every day instead would cost a factor of up to 6 a day. A
    group that alarms restarts at 0 and leaves the others running. The sums of all groups together have expectation
    <= D after D cells, so P(any alarm within D) <= D / threshold. `e` (B, C, M) in the order of the cells; a monitor
    that a cell does not measure (NaN) keeps its sums.
    """
    n_bets, n_cells, n_monitors = e.shape
    share = np.zeros((n_cells, n_monitors))
    statistic = np.zeros((n_cells, members.shape[1]))
    sums = np.zeros((n_bets, n_monitors))
    for d in range(n_cells):
        sums = np.where(np.isnan(e[:, d]), sums, (sums + 1) * e[:, d])
        share[d] = weights * sums.mean(axis=0)
        statistic[d] = share[d] @ members
        sums = np.where(members @ (statistic[d] >= threshold), 0.0, sums)
    return Detected(statistic, share, statistic >= threshold)


def budgets(weights: Floats, members: NDArray[np.bool_]) -> tuple[Budget, ...]:
    """P(an alarm of the group within 30 cells) <= its share of the weights * 30 / threshold."""
    shares = weights @ members
    return tuple(
        Budget(group, threshold, round(float(share) * PERIOD / at, 6))
        for group, share in zip(GROUP_ORDER, shares, strict=True)
        for threshold, at in AT.items()
        if share > 0
    )
