"""What others use as a gate, on the same compressed logs: has the lower bound been above 0 at any look so far?

Each peer answers with a look-by-look lower bound of the mean difference at its nominal 5 %, one-sided. None of them
but the last two claims to hold under repeated looks; that they are peeked at is how they are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tests.worlds.gate_compressed import CompressedLog
from tests.worlds.gate_worlds import Array

NOMINAL: Final = 0.05
RESAMPLES: Final = 200
BOOTSTRAP_LOOKS: Final = 10  # of the looks: fewer are cheaper, and flatter the bootstrap


@dataclass(frozen=True, slots=True)
class Values:
    """The difference of each distinct row, how often each look holds it, and its exact range."""

    ips: Array  # (C,)
    dr: Array  # (C,)
    counts: NDArray[np.int64]  # (J, C)
    span: float  # largest - least value that a row can have by IPS


def values_of(log: CompressedLog) -> Values:
    rows = log.cells
    index = np.arange(rows.n)
    d = rows.challenger - rows.champion
    weight = (d / rows.behavior)[index, rows.action]
    model = rows.reward_model
    ips = weight * rows.reward
    dr = (d * model).sum(axis=1) + weight * (rows.reward - model[index, rows.action])
    return Values(ips, dr, log.counts, float(ips.max() - ips.min()))


def promoted_by_peers(log: CompressedLog, rng: np.random.Generator, *, bootstrap: bool) -> dict[str, bool]:
    """Name of each peer -> whether it promotes at any look; `bootstrap` adds the slow one."""
    values = values_of(log)
    n, mean, variance = _moments(values.ips, values.counts)
    n_dr, mean_dr, variance_dr = _moments(values.dr, values.counts)
    found = {
        "peeking normal, IPS": _normal(n, mean, variance),
        "peeking normal, DR": _normal(n_dr, mean_dr, variance_dr),
        "empirical Bernstein": _bernstein(n, mean, variance, span=values.span),
        "asymptotic confidence sequence": _asymptotic_sequence(n_dr, mean_dr, variance_dr),
    }
    promoted = {name: bool((bound > 0).any()) for name, bound in found.items()}
    if bootstrap:
        promoted["percentile bootstrap"] = bool((_bootstrap(values, rng) > 0).any())
    return promoted


def _moments(value: Array, counts: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """(J,) rows, mean and variance up to each look."""
    n = counts.sum(axis=1).cumsum().astype(np.float64)
    mean = (counts @ value).cumsum() / n
    return n, mean, np.maximum((counts @ value**2).cumsum() / n - mean**2, 0.0)


def _normal(n: Array, mean: Array, variance: Array) -> Array:
    lower: Array = mean - norm.ppf(1 - NOMINAL) * np.sqrt(variance / n)
    return lower


def _bernstein(n: Array, mean: Array, variance: Array, *, span: float) -> Array:
    """Maurer & Pontil 2009, theorem 4, with the true range (a bound for one look)."""
    width = math.log(2 / NOMINAL)
    lower: Array = mean - np.sqrt(2 * variance * width / n) - 7 * span * width / (3 * (n - 1))
    return lower


def _asymptotic_sequence(n: Array, mean: Array, variance: Array) -> Array:
    """Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, one-sided, tightest at half of the rows."""
    wide = -2 * math.log(2 * NOMINAL)
    rho_squared = (wide + math.log(wide + 1)) / (n[-1] / 2)
    scale = n * rho_squared + 1
    lower: Array = mean - np.sqrt(
        variance * 2 * scale / (n**2 * rho_squared) * np.log1p(np.sqrt(scale) / (2 * NOMINAL))
    )
    return lower


def _bootstrap(values: Values, rng: np.random.Generator) -> Array:
    """Percentile bootstrap of the IPS difference: Poisson counts stand for drawing rows with replacement."""
    blocks = np.add.reduceat(values.counts, np.arange(0, len(values.counts), len(values.counts) // BOOTSTRAP_LOOKS))
    sums = np.zeros((RESAMPLES, len(blocks), 2))
    for j, block in enumerate(blocks):
        seen = np.flatnonzero(block)
        drawn = rng.poisson(np.broadcast_to(block[seen], (RESAMPLES, len(seen))))
        sums[:, j] = np.stack([drawn @ values.ips[seen], drawn.sum(axis=1)], axis=1)
    totals = sums.cumsum(axis=1)
    lower: Array = np.quantile(totals[..., 0] / totals[..., 1], NOMINAL, axis=0)
    return lower
