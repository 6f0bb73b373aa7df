"""Are there more units that always answer alike than any spread of tastes explains? Their share, and a p-value.

Every unit gave k extreme answers in n. Honest units differ: the chance of an extreme answer is drawn from *any* law
of tastes on [0, KEENEST]. The alternative adds a share of units whose chance is ALWAYS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

KEENEST: Final = 0.9  # chance of an extreme answer of the keenest honest unit
KEEN: Final = 0.7  # from here on a unit is keen
ALWAYS: Final = 0.995
TASTES: Final = np.concatenate([[0.0, 0.005, 0.01], np.arange(1, 46) * (KEENEST / 45)])
MAX_STEPS: Final = 3000
GAP: Final = 0.05  # in nats: how close a fit comes to its maximum


@dataclass(frozen=True, slots=True)
class Answers:
    """m distinct (n, k): k extreme answers in n, by as many units as `count`."""

    n: NDArray[np.int64]  # (m,)
    k: NDArray[np.int64]  # (m,)
    count: NDArray[np.float64]  # (m,)


@dataclass(frozen=True, slots=True)
class Habits:
    """What a log says of units that always answer alike; shares of units, in [0, 1]."""

    always: float  # share that always answers alike
    keen: float  # share of honest units with a chance in [KEEN, KEENEST]
    honest_mean: float  # mean chance of the honest units
    log_ratio: float  # log likelihood gained by allowing for `always`, in nats
    p_value: float  # of that gain, if there are only honest tastes


def tally(n: NDArray[np.int64], k: NDArray[np.int64]) -> Answers:
    """Count units by (n, k), shapes (G,)."""
    pairs, count = np.unique(np.stack([n, k], axis=1), axis=0, return_counts=True)
    return Answers(pairs[:, 0], pairs[:, 1], count.astype(np.float64))


def fit_habits(answers: Answers) -> Habits:
    """Maximum likelihood over all laws of tastes, with and without units that always answer alike.

    p = P(chi2_1 >= 2 log_ratio) / 2. The law of tastes is fitted by EM, and what EM has left to gain without `always`
    (bounded by its gradient) is taken off the ratio. Deterministic.
    Source: Kiefer & Wolfowitz 1956 and Lindsay 1983, "The geometry of mixture likelihoods" (fit and bound); Chernoff
    1954 (the p-value: the share is at its border 0 under the null).
    Caveat: asymptotic; answers of one unit count as independent given its taste, and its taste as independent of n.
    """
    both, honest = np.append(TASTES, ALWAYS), TASTES
    share, _ = _fit(answers, both)
    null, left = _fit(answers, honest)
    gained = _log_likelihood(answers, both, share) - _log_likelihood(answers, honest, null) - left
    tastes, log_ratio = share[:-1], max(float(gained), 0.0)
    return Habits(
        always=float(share[-1]),
        keen=float(tastes[honest >= KEEN].sum()),
        honest_mean=float(tastes @ honest / max(tastes.sum(), 1e-12)),
        log_ratio=log_ratio,
        p_value=math.erfc(math.sqrt(log_ratio)) / 2,  # P(chi2_1 >= x) = erfc(sqrt(x / 2))
    )


def _fit(answers: Answers, chances: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Shares (c,) of units at each chance by EM, and an upper bound on the log likelihood still to be gained."""
    density = _density(answers, chances)
    share, left = np.full(len(chances), 1 / len(chances)), math.inf
    n_units = answers.count.sum()
    for step in range(MAX_STEPS + 1):
        gain = (answers.count / (density @ share)) @ density / n_units  # (c,), at most 1 at the maximum
        if step % 50 == 0:
            left = float(n_units) * math.log(max(float(gain.max()), 1.0))
            if left < GAP:
                break
        share = share * gain
    return share, left


def _log_likelihood(answers: Answers, chances: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    return float(answers.count @ np.log(_density(answers, chances) @ share))


def _density(answers: Answers, chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, c) probability of the k extreme answers in n, in a given order, at each chance."""
    n, k = answers.n[:, None], answers.k[:, None]
    density: NDArray[np.float64] = chances**k * (1 - chances) ** (n - k)
    return density
