"""One judge for every question: is the mean of a stream of differences above a margin?

Two branches share the error, and either may answer: planned looks (normal, sharp, safe by floor and tail rule) and
betting (valid at any time, for any distribution). By the union bound the error is at most the sum of their shares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from policies.gate.judging import anytime_branch
from policies.gate.judging.differences import Differences
from policies.gate.judging.planned_branch import Moments, moments_at_looks, needed_z
from policies.gate.judging.spending import boundaries
from policies.gate.records import Plan

PLANNED_SHARE: Final = 0.8  # of the error; the rest is for betting. Source: statistics of the gate, section 4.3


@dataclass(frozen=True, slots=True)
class Alpha:
    """One-sided error of the two branches; the claim's error is their sum."""

    planned: float
    anytime: float

    @property
    def threshold(self) -> float:
        """E-value at which the betting branch is convinced."""
        return 1 / self.anytime


def split_alpha(alpha: float) -> Alpha:
    """The gate's division of one error between its branches."""
    return Alpha(planned=PLANNED_SHARE * alpha, anytime=(1 - PLANNED_SHARE) * alpha)


@dataclass(frozen=True, slots=True)
class LookNumbers:
    """Everything that both branches computed at one look; JSON-ready by `asdict` (None: not a finite number)."""

    look: int
    n: float  # observations read so far
    n_units: float
    mean: float  # in reward
    standard_error: float | None
    floor_used: bool
    skewness: float
    z: float | None  # of mean - margin - bias
    boundary: float | None  # that z must reach, with the allowance for skewness; None: it cannot at this look
    lower_tail: float | None
    events: float
    floor_ratio: float | None
    tail_rule: bool
    planned: bool  # the planned branch is convinced at this look
    log_e: float
    anytime: bool  # so is the betting branch


@dataclass(frozen=True, slots=True)
class Judged:
    """The answer at the present look, and at all before."""

    proven: bool  # at the present or at an earlier look
    branch: Literal["planned", "anytime", "both"] | None
    margin: float
    bias: float
    looks: tuple[LookNumbers, ...]


def judge(
    differences: Differences,
    *,
    plan: Plan,
    alpha: Alpha,
    fractions: tuple[float, ...],
    margin: float = 0.0,
    bias: float = 0.0,
) -> Judged:
    """Is the mean difference above `margin` + `bias` (in reward), with error at most alpha over all planned looks?

    `fractions` (looks so far,) is the planned share of information at each look (`information_fractions`); looks at
    which this stream has read nothing are judged by what it had. `bias` >= 0 is the most by which the estimate may
    be too high (rewards still out, propensities not quite true). Pure; raises nothing on sound differences.
    """
    at_looks = _all_looks(moments_at_looks(differences), len(fractions))
    limits = boundaries(fractions, tuple(m.information for m in at_looks), alpha=alpha.planned)
    bets = anytime_branch.place(differences, plan=plan, threshold=alpha.threshold)
    reward_range = plan.reward_maximum - plan.reward_minimum
    against = min(max(margin + bias, -reward_range), reward_range)
    log_e = _padded(anytime_branch.log_e_at_looks(bets, mean=against), len(fractions))
    looks = tuple(
        _numbers(m, limit, e, against=margin + bias, log_threshold=math.log(alpha.threshold))
        for m, limit, e in zip(at_looks, limits, log_e, strict=True)
    )
    planned, anytime = any(look.planned for look in looks), any(look.anytime for look in looks)
    branch: Literal["planned", "anytime", "both"] | None = None
    if planned or anytime:
        branch = "both" if planned and anytime else "planned" if planned else "anytime"
    return Judged(proven=planned or anytime, branch=branch, margin=margin, bias=bias, looks=looks)


def lower_bound(
    differences: Differences,
    *,
    plan: Plan,
    alpha: Alpha,
    fractions: tuple[float, ...],
    bias: float = 0.0,
) -> float:
    """The largest mean (in reward) that the looks so far have shown to be exceeded, at error alpha over all looks.

    The larger bound of the two branches at any look: what `judge` would prove at any smaller margin. Within
    [-range, range] of the reward.
    """
    reward_range = plan.reward_maximum - plan.reward_minimum
    at_looks = _all_looks(moments_at_looks(differences), len(fractions))
    limits = boundaries(fractions, tuple(m.information for m in at_looks), alpha=alpha.planned)
    planned = [planned_bound(m, limit) for m, limit in zip(at_looks, limits, strict=True)]
    bets = anytime_branch.place(differences, plan=plan, threshold=alpha.threshold)
    anytime = anytime_branch.lower_bound(bets, threshold=alpha.threshold, reward_range=reward_range)
    return min(max([anytime, *planned], default=-reward_range) - bias, reward_range)


def planned_bound(moments: Moments, limit: float) -> float:
    """What the planned branch alone shows the mean to exceed at one look; -infinity where its tail rule is closed."""
    if not moments.tail_rule or not math.isfinite(limit):
        return -math.inf
    z = needed_z(limit, skewness=moments.skewness, n=moments.n_units)
    return moments.mean - z * moments.standard_error if math.isfinite(z) else -math.inf


def _numbers(m: Moments, limit: float, log_e: float, *, against: float, log_threshold: float) -> LookNumbers:
    known = m.n > 0 and m.standard_error > 0 and math.isfinite(m.standard_error)
    z = (m.mean - against) / m.standard_error if known else None
    boundary = needed_z(limit, skewness=m.skewness, n=m.n_units) if known else math.inf
    return LookNumbers(
        look=m.look,
        n=m.n,
        n_units=m.n_units,
        mean=m.mean,
        standard_error=_finite(m.standard_error),
        floor_used=m.floor_used,
        skewness=m.skewness,
        z=z,
        boundary=_finite(boundary),
        lower_tail=_finite(m.lower_tail),
        events=m.events,
        floor_ratio=_finite(m.floor_ratio),
        tail_rule=m.tail_rule,
        planned=z is not None and m.tail_rule and z >= boundary,
        log_e=log_e,
        anytime=log_e >= log_threshold,
    )


def _all_looks(moments: tuple[Moments, ...], n_looks: int) -> tuple[Moments, ...]:
    """Looks after the last observation repeat what was known."""
    last = moments[-1] if moments else Moments(0, 0, 0, 0.0, 0.0, 0.0, math.inf, False, 0.0, 0.0, 0.0, 0.0)
    return (*moments, *(replace(last, look=look) for look in range(len(moments) + 1, n_looks + 1)))


def _padded(log_e: tuple[float, ...], n_looks: int) -> tuple[float, ...]:
    last = log_e[-1] if log_e else 0.0
    return (*log_e, *[last] * (n_looks - len(log_e)))


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
