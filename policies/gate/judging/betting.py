"""Branch E of the gate: an e-process that bets on every row, valid at any time, for any number of rows.

e_t = mean over 3 stakes and over the IPS and DR versions of prod_i (1 + stake_i Gamma_i). Under "no row has a
positive mean difference given the past" P(e ever >= c) <= 1/c, whatever the distribution, however often one looks.

Stakes are capped so that no row can take more than LARGEST_SHARE of the wealth. What a row could lose depends on
its context, and a cap that depends on the context of the *present* row is not allowed: it would shrink the bets
exactly where the challenger is harmful (large weights) and keep them where it helps, and promotes worse policies
(test_betting.py shows one). So row i is capped by what the rows before it could have lost, and a row that could
lose more than all of them enters with the least mean that the policies and the reward's range allow.

Rows of a downsampled log stand for 1 / sampling_rate interactions each. "The traffic's mean difference is at most m"
then reads E[weight (Gamma - m)] <= 0 over logged rows, and the bets are on share (Gamma - m), share = weight / largest
weight in (0, 1]. Proof: an interaction with context x, action and reward is logged with probability r(x, a, r); over
logged rows E[(1 / r) (Gamma - m)] = E_traffic[r (1 / r) (Gamma - m)] / P(logged) = E_traffic[Gamma - m] / P(logged), of
the same sign. As share <= 1, nothing can be lost that the unweighted row could not lose, so caps and stakes stay as
they are and stay predictable, although the weight itself may depend on the row's reward. A row that enters with its
least mean keeps its share: E[share | x] E_traffic[Gamma | x] = E[share Gamma | x] by the same argument given x. The
largest weight must be known before the row (from the contract, or from rows before the window): a heavier row is
refused, not clipped, which would shift the mean. Source: Horvitz & Thompson 1952 for the weights.

Caveat: rows are bet on one by one. Where few units own many rows each, and the lift differs between units, the rows
of one unit do not have the mean of the traffic given its earlier rows; the null then is about these units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.statistic import PairedDifference, paired_differences
from policies.gate.records import GateRows, Plan

RELATIVE_STAKES: Final = (0.5, 1.0, 2.0)  # a factor of 4 around the stake that is best if the plan is right
LARGEST_SHARE: Final = 0.9  # of the wealth that one row may take


@dataclass(frozen=True, slots=True, repr=False)
class Bets:
    """n rows, each bet on by 6 components (3 stakes x IPS, DR); stakes and gains are fixed, so wealth is a sum."""

    stakes: NDArray[np.float64]  # (6, n) in 1 / reward, known before the row
    gains: NDArray[np.float64]  # (6, n) share * Gamma; or * its least mean, where a row could lose more than any before
    share: NDArray[np.float64]  # (n,) row weight / largest row weight, in (0, 1]

    @property
    def n(self) -> int:
        return int(self.gains.shape[1])

    def __repr__(self) -> str:
        return f"Bets(n={self.n})"


def first_stake(plan: Plan, *, threshold: float) -> float:
    """lambda_0 = sqrt(2 ln(threshold) / (n_planned sigma^2)): the stake that reaches the threshold soonest for the
    smallest difference that n_planned rows can prove. In 1 / reward.

    Source: Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", eq. 26.
    """
    return math.sqrt(2 * math.log(threshold) / (plan.n_planned * plan.sigma_squared))


def place_bets(rows: GateRows, *, plan: Plan, threshold: float) -> Bets:
    """Bets that the challenger is better than the champion; swap the rows to bet on harm.

    `rows` are n >= 1 sound rows in the order in which they were read. A row's stake depends on rows before it and
    on the plan alone.
    """
    stake = first_stake(plan, threshold=threshold)
    wanted = stake * np.array(RELATIVE_STAKES)
    reward_range = plan.reward_maximum - plan.reward_minimum
    parts = [_bet(version, wanted, reward_range) for version in paired_differences(rows, plan=plan, first_stake=stake)]
    share = rows.weight / plan.weight_maximum
    return Bets(
        stakes=np.concatenate([stakes for stakes, _ in parts]),
        gains=np.concatenate([np.broadcast_to(share * gains, (len(wanted), rows.n)) for _, gains in parts]),
        share=share,
    )


def log_e_path(bets: Bets) -> NDArray[np.float64]:
    """(n,) natural log of the e-process after each row; exactly 0 while champion and challenger agree."""
    return _log_mean(np.cumsum(np.log1p(bets.stakes * bets.gains), axis=1))


def log_e_at(bets: Bets, ends: tuple[int, ...], *, mean: float = 0.0) -> NDArray[np.float64]:
    """(len(ends),) log e after the first `ends` rows, against "the mean difference is at most `mean`".

    `ends` increases from at least 1 to n; `mean` lies in [-range, range] of the reward. Falls as `mean` rises.
    """
    growth = np.log1p(bets.stakes * (bets.gains - bets.share * mean))
    starts = np.array([0, *ends[:-1]])
    return _log_mean(np.cumsum(np.add.reduceat(growth, starts, axis=1), axis=1))


def _bet(
    version: PairedDifference, wanted: NDArray[np.float64], reward_range: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Stakes (3, n) and gains (n,). The cap leaves room for a mean of up to `reward_range` to be subtracted."""
    could_lose = np.concatenate([[reward_range], -version.lowest])
    seen = np.maximum.accumulate(could_lose)[:-1]  # before row i; at least the range, which bounds `worst_mean`
    gains = np.where(-version.lowest > seen, version.worst_mean, version.value)
    return np.minimum(wanted[:, None], LARGEST_SHARE / (seen + reward_range)), gains


def _log_mean(log_wealth: NDArray[np.float64]) -> NDArray[np.float64]:
    """log of the mean wealth over components (axis 0); exactly 0 when all are 0."""
    top = log_wealth.max(axis=0)
    result: NDArray[np.float64] = top + np.log(np.exp(log_wealth - top).mean(axis=0))
    return result
