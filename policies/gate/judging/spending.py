"""How the planned branch spends its error over the looks: almost nothing early, most of it at the end."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

GRID: Final = 256  # points of the density's grid: boundaries are exact to about 1e-4
FLOOR: Final = 8.0  # standard deviations below zero at which the density is cut off


def information_fractions(
    n_at_looks: tuple[int, ...], *, n_planned: int, n_looks: int, min_rows: int
) -> tuple[float, ...]:
    """Share of the planned information at each look so far: rows read / rows that all looks will have read.

    The denominator is n_planned, or more where the log runs ahead of the plan: what is read and the least that the
    looks still to come will add, so that every look keeps something to spend; the last look has 1. It depends on
    counts alone, never on rewards. `n_at_looks` are rows read up to each look, increasing.
    Source: Lan & DeMets 1983; the use of an observed maximum: Lan & DeMets 1989, "Changing frequency of interim
    analysis". Raises nothing; values lie in (0, 1].
    """
    fractions: list[float] = []
    for look, n in enumerate(n_at_looks, start=1):
        expected = max(n_planned, n + (n_looks - look) * min_rows)
        share = 1.0 if look >= n_looks else n / expected if expected > 0 else 0.0
        fractions.append(max(share, fractions[-1] if fractions else 0.0))
    return tuple(fractions)


def spent(fraction: float, *, alpha: float) -> float:
    """Error spent up to an information fraction: 2 - 2 Phi(z_{alpha / 2} / sqrt(fraction)), one-sided.

    Source: Lan & DeMets 1983, eq. 3 (O'Brien-Fleming type).
    """
    from scipy.special import ndtr, ndtri

    return float(2 * ndtr(ndtri(alpha / 2) / math.sqrt(fraction))) if fraction > 0 else 0.0


@lru_cache(maxsize=4096)
def boundaries(fractions: tuple[float, ...], information: tuple[float, ...], *, alpha: float) -> tuple[float, ...]:
    """z at each look so far that a standardised mean crosses, under no difference, with the error spent until there.

    `fractions` in (0, 1], not decreasing, say how much may be spent; `information` > 0, not decreasing, (any unit,
    e.g. rows) gives the correlation sqrt(I_j / I_k) of two looks. A look that adds no information or may spend
    nothing has the boundary infinity. The density of the paths that have not crossed is carried from look to look
    on a grid. Source: Armitage, McPherson & Rowe 1969; Lan & DeMets 1983.
    Caveat: exact for a normal mean with known variance; the planned branch adds floor, skewness and tail rule.
    """
    found: list[float] = []
    grid, mass = np.zeros(1), np.ones(1)  # score process B(I) = z sqrt(I), and the probability at each point
    before, used = 0.0, 0.0
    for fraction, now in zip(fractions, information, strict=True):
        budget = spent(fraction, alpha=alpha) - used
        step = math.sqrt(max(now - before, 0.0))
        if step == 0 or budget <= alpha * 1e-12:
            found.append(math.inf)
            continue

        z = _solve(grid, mass, step=step, root=math.sqrt(now), budget=budget)
        found.append(z)
        used += _crossing(z, grid, mass, step=step, root=math.sqrt(now))
        grid, mass = _carry(grid, mass, step=step, top=z * math.sqrt(now), bottom=-FLOOR * math.sqrt(now))
        before = now
    return tuple(found)


def _crossing(z: float, grid: np.ndarray, mass: np.ndarray, *, step: float, root: float) -> float:
    """Probability that a path which has not crossed yet is above z at the look with sqrt(information) = root."""
    from scipy.special import ndtr

    return float(mass @ ndtr((grid - z * root) / step))


def _solve(grid: np.ndarray, mass: np.ndarray, *, step: float, root: float, budget: float) -> float:
    """z at which the probability of crossing is the budget; infinity where even z = -10 crosses less."""
    from scipy.optimize import brentq

    def above(z: float) -> float:
        return _crossing(z, grid, mass, step=step, root=root) - budget

    return float(brentq(above, -10.0, 40.0, xtol=1e-10)) if above(-10.0) > 0 else math.inf


def _carry(
    grid: np.ndarray, mass: np.ndarray, *, step: float, top: float, bottom: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points below the boundary and the probability around each, by Gauss-Legendre quadrature."""
    nodes, weights = _legendre()
    points = bottom + (top - bottom) * (nodes + 1) / 2
    density = np.exp(-(((points[:, None] - grid[None, :]) / step) ** 2) / 2) @ mass
    return points, density * weights * (top - bottom) / (2 * step * math.sqrt(2 * math.pi))


@lru_cache(maxsize=1)
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(GRID)
    return nodes, weights
