"""How many rows the judge needs to prove a lift in four of five cases, under any logging policy.

Branch G proves a lift when the standard error has fallen to lift / (c + z_.8), c being its boundary at the last look,
and its tail rule is open; branch E when the best bet's log-wealth, of mean t^2 / 2 and standard deviation t for t =
lift / standard error, has reached ln(6 / alpha) with probability .8. Both ask how the square of a sum of signals
compares with a sum of variances, so rows logged before and rows logged otherwise from now on add up in one quadratic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.betting import RELATIVE_STAKES
from policies.gate.judging.differences import Differences
from policies.gate.judging.judge import Alpha
from policies.gate.judging.planned_branch import LEAST_EVENTS, LEAST_LOWER_TAIL
from policies.gate.judging.planning import difference_variance
from policies.gate.judging.spending import boundaries
from policies.gate.judging.statistic import NEVER
from policies.gate.records import GateRows, Plan

POWER: Final = 0.8
N_COMPONENTS: Final = 2 * len(RELATIVE_STAKES)  # of branch E's mixture: what their mean can cost, at most
MOST_LOOKS: Final = 50  # more hardly move the last boundary, and cost time
MOST_ROWS: Final = 50_000  # whose policies are averaged; evenly spaced
NEVER_KNOWN: Final = 1e15  # rows
Branch = Literal["planned", "anytime"]


@dataclass(frozen=True, slots=True)
class PerRow:
    """Means over rows that one logging policy would give; dw = (challenger - champion) / logging."""

    variance: float  # of the paired difference, in reward^2; infinite where an action that differs is never logged
    spread: float  # E[dw^2]
    change: float  # E|dw|
    fourth_down: float  # E[min(dw, 0)^4]
    fourth_up: float  # E[max(dw, 0)^4]


@dataclass(frozen=True, slots=True)
class Rewards:
    """Moments of the logged rewards, for the tail rule."""

    square: float  # E[r^2]
    fourth_up: float  # E[max(r, 0)^4]
    fourth_down: float  # E[min(r, 0)^4]
    rewarded: float  # P(r != 0)


@dataclass(frozen=True, slots=True)
class Noise:
    """Of the rewards, whatever policy logs them."""

    residual: float  # mean squared residual of the reward model, in reward^2
    design_effect: float  # by how much units with several rows raise the variance of a mean


@dataclass(frozen=True, slots=True)
class Needed:
    """Rows still to be logged until the verdict, and the branch that would give it; None: never."""

    rows: int | None
    branch: Branch | None


def last_boundary(alpha: Alpha, *, n_looks: int) -> float:
    """z that branch G must reach at the last of equally spaced looks (50 stand for more)."""
    n = min(n_looks, MOST_LOOKS)
    fractions = tuple((look + 1) / n for look in range(n))
    return boundaries(fractions, fractions, alpha=alpha.planned)[-1]


def rows_until(
    per_row: PerRow,
    rewards: Rewards,
    *,
    lift: float,
    alpha: Alpha,
    n_looks: int,
    before: tuple[int, PerRow] | None = None,
) -> Needed:
    """The least number of rows, logged so that they have the moments `per_row`, after which `lift` (in reward) is
    proven with probability .8; beside the rows `before` (how many, and their moments) when these count too.

    Branch G: (sum lift)^2 >= (c + z_.8)^2 sum variance, tail rule and informative events alike. Branch E:
    (sum lift)^2 >= t^2 sum variance with t = z_.8 + sqrt(z_.8^2 + 2 ln(6 / alpha_E)); its growth alone would be
    2 ln(6 / alpha_E) variance / lift^2. The smaller counts. Rows None when the lift is not positive, or the logging
    never takes an action on which the policies differ.
    Source: Lan & DeMets 1983 for the boundary; Waudby-Smith & Ramdas 2024 for the growth of bets.
    Caveat: for the lift as it is; a plan whose stakes fit another lift, and skewness, cost branches a little more.
    """
    if not (lift > 0 and math.isfinite(per_row.variance) and per_row.variance > 0):
        return Needed(None, None)
    n_before, moments = before if before is not None else (0, per_row)
    if not math.isfinite(moments.variance):
        return Needed(None, None)
    z = normal_quantile(POWER)
    parts: tuple[PerRow, PerRow] = (moments, per_row)

    def least(signals: Sequence[float], variances: Sequence[float]) -> float:
        return _least(n_before, signals, variances)

    distance = {
        "planned": last_boundary(alpha, n_looks=n_looks) + z,
        "anytime": z + math.sqrt(z**2 + 2 * math.log(N_COMPONENTS / alpha.anytime)),
    }
    powered = {
        branch: least([lift / t] * 2, [p.variance for p in parts]) if math.isfinite(t) else math.inf
        for branch, t in distance.items()
    }
    tail = least(
        [p.spread * rewards.square / math.sqrt(LEAST_LOWER_TAIL) for p in parts],
        [p.fourth_down * rewards.fourth_up + p.fourth_up * rewards.fourth_down for p in parts],
    )
    events = least([p.change * math.sqrt(rewards.rewarded / LEAST_EVENTS) for p in parts], [p.spread for p in parts])
    planned, anytime = max(powered["planned"], tail, events), powered["anytime"]
    rows = min(planned, anytime)
    if rows >= NEVER_KNOWN:
        return Needed(None, None)
    return Needed(math.ceil(rows), "planned" if planned <= anytime else "anytime")


def noise_of(differences: Differences, *, plan: Plan) -> Noise:
    """What `differences` as logged tell of the noise that any other logging would meet.

    As in `residual_variance`, one pseudo-row stands for the rare event that has not been seen.
    """
    share = differences.share / differences.share.mean()
    pseudo = plan.reward_maximum - plan.reward_minimum
    residual = float(((share**2 * differences.residual_squared).sum() + pseudo**2) / (differences.n + 1))
    return Noise(residual=residual, design_effect=design_effect(differences))


def thinned(rows: GateRows) -> GateRows:
    """At most 50,000 evenly spaced rows: enough to average over what the policies do."""
    return rows.select(np.arange(0, rows.n, max(1, math.ceil(rows.n / MOST_ROWS))))


def moments_of(rows: GateRows, logging: NDArray[np.float64], *, noise: Noise) -> PerRow:
    """Moments of the paired difference if `logging` (n, K) drew the actions of rows (n,); mean row weight 1."""
    d = rows.challenger - rows.champion
    weight = np.divide(d, logging, out=np.zeros_like(d), where=logging >= NEVER)
    share = rows.weight / rows.weight.mean()
    third = np.abs(d) * weight**2
    never = bool(((logging < NEVER) & (d != 0)).any())
    variance = difference_variance(d, logging, rows.reward_model, share=share, variance=noise.residual)
    return PerRow(
        variance=math.inf if never else variance * noise.design_effect,
        spread=float(share**2 @ np.einsum("ij,ij->i", d, weight)) / rows.n,
        change=float(share @ np.abs(d).sum(axis=1)) / rows.n,
        fourth_down=float(share**4 @ np.einsum("ij,ij->i", third, np.maximum(-weight, 0))) / rows.n,
        fourth_up=float(share**4 @ np.einsum("ij,ij->i", third, np.maximum(weight, 0))) / rows.n,
    )


def reward_moments(differences: Differences) -> Rewards:
    r = differences.reward
    return Rewards(
        square=float((r**2).mean()),
        fourth_up=float((np.maximum(r, 0) ** 4).mean()),
        fourth_down=float((np.minimum(r, 0) ** 4).mean()),
        rewarded=float((r != 0).mean()),
    )


def design_effect(differences: Differences) -> float:
    """Variance of the mean difference clustered by unit / as if all rows were independent; at least 1.

    Source: Kish 1965, "Survey sampling".
    """
    centred = _centred(differences, differences.value)
    alone = float((centred**2).sum())
    return max(1.0, _by_unit(differences, centred) / alone) if alone > 0 else 1.0


def arm_variance(differences: Differences) -> float:
    """Per row, of the mean reward clustered by unit: what an arm of m rows knows its mean to, times m. In reward^2."""
    centred = _centred(differences, differences.reward)
    return _by_unit(differences, centred) / differences.n


def _centred(differences: Differences, values: NDArray[np.float64]) -> NDArray[np.float64]:
    share = differences.share / differences.share.mean()
    centred: NDArray[np.float64] = share * (values - (share @ values) / share.sum())
    return centred


def _by_unit(differences: Differences, centred: NDArray[np.float64]) -> float:
    return float((np.bincount(differences.unit, weights=centred) ** 2).sum())


def _least(n_before: int, signals: Sequence[float], variances: Sequence[float]) -> float:
    """The least n >= 0 with (n_before s_0 + n s_1)^2 >= n_before v_0 + n v_1; infinity where none is."""
    signal, variance = n_before * signals[0], n_before * variances[0]
    missing = variance - signal**2
    if n_before and missing <= 0:
        return 0.0
    a, half = signals[1] ** 2, signal * signals[1] - variances[1] / 2  # a n^2 + 2 half n - missing >= 0
    if a == 0:
        return math.inf
    root = math.sqrt(half**2 + a * missing)
    return missing / (half + root) if half > 0 else (root - half) / a


def normal_quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))
