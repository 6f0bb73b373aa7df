"""Balanced importance weights for a log that several policies wrote: the mixture of the loggers as denominator.

When not to use it: at a look before the last one, unless the loggers were drawn side by side. Where deployments
followed each other, a row's mean given the past is not the target's value, and every earlier look is biased: all
sequential methods then promote policies that are no better (100 % of the cases tried). Nor with weights that a
martingale bets on, nor where the world changed between deployments: each logger then saw another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.ope.records import Evaluation, LoggedRewards, average

BLOCKS: Final = 20  # consecutive parts of the log, of about as many rows each, in which shares are compared
MINIMUM_UNITS: Final = 50  # in a block; fewer cannot show that the loggers ran side by side
LARGEST_Z: Final = 5.0  # of any share in any block: 20 blocks of 10 honest loggers reach it once in 10,000 logs


@dataclass(frozen=True, slots=True, repr=False)
class Loggers:
    """Which of L policies wrote each of n rows (in order of time), and what each of them would have done."""

    logger: NDArray[np.int64]  # (n,) codes 0 ... L - 1
    behavior: NDArray[np.float64]  # (n, L) probability of the row's logged action under every logger
    share: NDArray[np.float64] | None = None  # (L,) declared shares of the rows; None: those of this log

    def __post_init__(self) -> None:
        shape = self.behavior.shape
        fits = len(shape) == 2 and self.logger.shape == shape[:1] and shape[0] > 0
        if not fits or self.logger.min() < 0 or self.logger.max() >= shape[1]:
            raise DegenerateData(
                f"bad loggers: expected codes (n,) in [0, L) and behavior (n, L), got {self.logger.shape} and {shape}."
            )
        if not (self.behavior.min() >= 0 and self.behavior.max() <= 1):
            raise DegenerateData("bad behavior of the loggers: expected probabilities in [0, 1], got others.")
        share = self.share
        if share is not None and (share.shape != shape[1:] or not (share.min() >= 0 and abs(share.sum() - 1) < 1e-9)):
            raise DegenerateData(f"bad shares of the loggers: expected {shape[1]} numbers that sum to 1, got {share}.")

    @property
    def n_loggers(self) -> int:
        return int(self.behavior.shape[1])

    def __repr__(self) -> str:
        return f"Loggers(n={len(self.logger)}, n_loggers={self.n_loggers})"


def evaluate(logged: LoggedRewards, target: NDArray[np.float64], *, loggers: Loggers, n_looks: int) -> Evaluation:
    """V = mean_i w_i r_i, w = target(a|x) / sum_k share_k behavior_k(a|x), for target probabilities (n, K).

    `n_looks` is how often the window is read in all. 1: a closed window, read once at its end; the loggers may then
    have followed each other, and their shares are those of the window. More: only for loggers that were drawn at
    random side by side, whose shares are the same in every part of the log, as the rows are asked to show.
    Means are by row weight. Raises DegenerateData when neither holds, or the loggers do not fit the rows.
    Source: Agarwal, Basu, Schnabel & Joachims 2017, "Effective evaluation using logged bandit feedback from multiple
    loggers", eq. 6 (the balanced estimator; its variance is at most that of IPS).
    """
    if loggers.behavior.shape[0] != logged.n:
        raise DegenerateData(
            f"bad loggers for balanced weights: expected {logged.n} rows, got {loggers.behavior.shape[0]}."
        )
    if n_looks != 1:
        require_side_by_side(loggers, unit=logged.unit)
    weights = balanced_weights(logged, target, loggers)
    return average(weights * logged.reward, logged, weights)


def balanced_weights(logged: LoggedRewards, target: NDArray[np.float64], loggers: Loggers) -> NDArray[np.float64]:
    """(n,) target probability of the logged action over that of the mixture of loggers."""
    share = _shares(loggers) if loggers.share is None else loggers.share
    mixture = loggers.behavior @ share
    if not mixture.min() > 0:
        raise DegenerateData(
            f"bad behavior of the loggers: expected an action that some logger takes, got {int((mixture <= 0).sum())} "
            "rows whose logged action has probability 0 under all of them. Check the recomputed propensities."
        )
    place = np.arange(logged.n) * target.shape[1] + logged.action
    weights: NDArray[np.float64] = np.take(target, place) / mixture
    return weights


def require_side_by_side(loggers: Loggers, *, unit: NDArray[np.int64]) -> None:
    """Raises DegenerateData unless every logger has the same share in every part of the log.

    The log is cut into at most 20 blocks of as many rows; in each block and for each logger the rows' excess over the
    share is summed by `unit` (n,) and compared with its own spread. A logger that is absent from a block, or alone in
    it, is as far from its share as the block has units.
    """
    n = len(loggers.logger)
    share = _shares(loggers) if loggers.share is None else loggers.share
    n_blocks = min(BLOCKS, (int(unit.max()) + 1) // MINIMUM_UNITS)
    if n_blocks < 2:
        raise DegenerateData(
            f"no balanced weights at this look: expected {2 * MINIMUM_UNITS} units that show the loggers side by side, "
            f"got {int(unit.max()) + 1}. Use IPS or DR with each row's own propensity."
        )
    block = np.arange(n) * n_blocks // n
    for k in range(loggers.n_loggers):
        excess = (loggers.logger == k) - share[k]
        z = [_z_by_unit(excess[block == b], unit[block == b]) for b in range(n_blocks)]
        worst = int(np.argmax(np.abs(z)))
        if abs(z[worst]) > LARGEST_Z:
            found = float((loggers.logger[block == worst] == k).mean())
            raise DegenerateData(
                f"no balanced weights before the window closes: expected logger {k} in {share[k]:.1%} of every part of "
                f"the log, got {found:.1%} of part {worst + 1} of {n_blocks}. The loggers followed each other: use IPS "
                "or DR with each row's own propensity, or read the window once, when it is closed.",
                logger=k,
            )


def _shares(loggers: Loggers) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.bincount(loggers.logger, minlength=loggers.n_loggers) / len(loggers.logger)
    return shares


def _z_by_unit(excess: NDArray[np.float64], unit: NDArray[np.int64]) -> float:
    sums = np.bincount(unit, weights=excess)
    squares = float((sums**2).sum())
    return float(sums.sum()) / squares**0.5 if squares > 0 else 0.0
