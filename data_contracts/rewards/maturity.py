"""When outcomes arrive: the distribution of their delay, estimated although the newest interactions still wait.

Ages are microseconds since the interaction occurred. An interaction without outcome is censored at its age.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_contracts.rewards.survey_bounds import Bounds, share_bounds

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, repr=False)
class Arrivals:
    """n interactions as known at a moment. Arrays have shape (n,)."""

    first: NDArray[np.int64]  # age at the first outcome, NEVER where none is known; beyond `age` it has not come yet
    age: NDArray[np.int64]  # at that moment; below 0: not yet occurred
    weight: NDArray[np.float64]  # 1 / sampling_rate
    unit: NDArray[np.int64]  # codes 0 … of the clusters

    def __repr__(self) -> str:
        return f"Arrivals(n={len(self.age)})"

    def select(self, chosen: NDArray[np.bool_]) -> Arrivals:
        return Arrivals(self.first[chosen], self.age[chosen], self.weight[chosen], self.unit[chosen])

    def earlier(self, span: int) -> Arrivals:
        """The same interactions as they were known `span` microseconds before, those that had occurred by then."""
        age = self.age - span
        return Arrivals(self.first, age, self.weight, self.unit).select(age >= 0)

    def seen(self, horizon: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(n,) ages until which an interaction was watched for its first outcome, and whether it came."""
        until = np.minimum(self.age, horizon)
        return np.minimum(self.first, until), self.first <= until


@dataclass(frozen=True, slots=True, repr=False)
class DelayCurve:
    """Kaplan-Meier estimate of the age at the first outcome, up to `horizon`. Arrays have shape (k,)."""

    age: NDArray[np.int64]  # distinct ages at which outcomes came, ascending
    hazard: NDArray[np.float64]  # P(first outcome at this age | none before)
    variance: NDArray[np.float64]  # of the hazard
    survival: NDArray[np.float64]  # P(no outcome until this age, this age included)
    horizon: int
    n: int
    n_outcomes: int

    def __repr__(self) -> str:
        return f"DelayCurve(k={len(self.age)}, n={self.n}, n_outcomes={self.n_outcomes})"

    def arrived(self, age: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """P(an outcome until `age`), of any shape."""
        return 1.0 - np.append(1.0, self.survival)[np.searchsorted(self.age, age, side="right")]

    def cumulative_hazard(self, age: NDArray[np.int64]) -> NDArray[np.float64]:
        """Expected number of first outcomes until `age` of one interaction that is watched so long (Nelson-Aalen)."""
        return np.append(0.0, np.cumsum(self.hazard))[np.searchsorted(self.age, age, side="right")]

    def quantiles(self, shares: Sequence[float]) -> list[timedelta | None]:
        """Ages by which these shares of all outcomes until the horizon have come; None while there are none."""
        if not len(self.age):
            return [None] * len(shares)
        arrived = 1.0 - self.survival
        places = np.searchsorted(arrived, np.asarray(shares) * arrived[-1] * (1 - 1e-12))
        return [timedelta(microseconds=int(self.age[place])) for place in places]


class Expected(NamedTuple):
    """First outcomes that came in a span of time beside those that the past lets expect, both weighted."""

    observed: float
    expected: float
    variance: float  # of `observed` when it is `expected`, clusters included
    past_variance: float  # of `expected`
    n: int  # interactions that were still waiting


def delay_curve(arrivals: Arrivals, *, horizon: int) -> DelayCurve:
    """Weighted Kaplan-Meier estimate of the age at the first outcome; outcomes after `horizon` count as not come.

    hazard(t) = (weight of first outcomes at t) / (weight at risk at t), survival(t) = product of 1 - hazard until t,
    variance of the hazard = sum over those at risk of w^2 (d - hazard)^2 / (weight at risk)^2, which is Greenwood's
    for equal weights. With equal weights it equals scipy.stats.ecdf, which takes no weights.

    Source: Kaplan & Meier 1958; Greenwood 1926. Caveat: assumes that age at the moment says nothing of the delay;
    the curve is of each group's own rows, so compare groups at equal age only.
    """
    duration, came = arrivals.seen(horizon)
    order = np.argsort(duration, kind="stable")
    duration, came, weight = duration[order], came[order], arrivals.weight[order]
    age, place = np.unique(duration[came], return_inverse=True)
    start = np.searchsorted(duration, age)  # everybody from here on is at risk
    at_risk, squares = _from_end(weight)[start], _from_end(weight**2)[start]
    events = np.bincount(place, weights=weight[came], minlength=len(age))
    event_squares = np.bincount(place, weights=weight[came] ** 2, minlength=len(age))
    hazard = np.minimum(events / at_risk, 1.0)  # rounding of the sums
    variance = (event_squares * (1 - hazard) ** 2 + np.maximum(squares - event_squares, 0) * hazard**2) / at_risk**2
    return DelayCurve(age, hazard, variance, np.cumprod(1 - hazard), horizon, len(duration), int(came.sum()))


def late_share(curve: DelayCurve, *, after: int, alpha: float) -> Bounds | None:
    """Share of the outcomes until the horizon that come after the age `after`, with one-sided bounds at `alpha`.

    share = (S(after) - S(horizon)) / (1 - S(horizon)); its variance by the delta method from Greenwood's; bounds of
    Clopper and Pearson with the effective number of outcomes. None while there is no outcome.
    """
    if not len(curve.age):
        return None
    by = int(np.searchsorted(curve.age, after, side="right"))
    s_after, s_end = float(np.append(1.0, curve.survival)[by]), float(curve.survival[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(curve.hazard < 1, curve.variance / (1 - curve.hazard) ** 2, 0.0)
    v_after, v_end = float(steps[:by].sum()), float(steps.sum())
    slope_after, slope_end = 1 / (1 - s_end), -(1 - s_after) / (1 - s_end) ** 2
    variance = (
        slope_after**2 * s_after**2 * v_after
        + 2 * slope_after * slope_end * s_after * s_end * v_after
        + slope_end**2 * s_end**2 * v_end
    )
    share = (s_after - s_end) / (1 - s_end)
    return share_bounds(share, variance=max(variance, 0.0), n=float(curve.n_outcomes), alpha=alpha)


def still_expected(curve: DelayCurve, age: NDArray[np.int64], *, window: int) -> NDArray[np.float64]:
    """(n,) P(an outcome until `window` | none until `age`) of interactions that still wait; 0 where age >= window."""
    waiting, end = 1.0 - curve.arrived(age), 1.0 - float(curve.arrived(window))
    share = np.divide(waiting - end, waiting, out=np.zeros(len(age)), where=waiting > 0)
    return np.where(age < window, share, 0.0)


def expected_outcomes(arrivals: Arrivals, *, span: int, window: int) -> Expected:
    """First outcomes inside `window` that came in the last `span`, against those expected at everyone's age.

    The past is what was known `span` ago. An interaction that then waited at age a and is now watched until b adds
    H(b) - H(a) to the expectation, H the past's cumulative hazard, so a young interaction is not expected to have
    what an old one has. Variance: sum w^2 (H(b) - H(a)), times how much units clustered outcomes in the past (>= 1).

    Source: one-sample log-rank (Breslow 1975) with delayed entry; design effect as in Kish 1965.
    Caveat: another mix of interactions than in the past changes what is expected; see it beside the drift.
    """
    past = arrivals.earlier(span)
    curve = delay_curve(past, horizon=window)
    began = arrivals.age - span
    duration, came = arrivals.seen(window)
    waiting = (arrivals.first > began) & (began < window)
    entry, until, weight = began[waiting], duration[waiting], arrivals.weight[waiting]
    each = curve.cumulative_hazard(until) - curve.cumulative_hazard(entry)
    at_risk = _weight_below(entry, weight, curve.age) - _weight_below(until, weight, curve.age)
    return Expected(
        observed=float(weight[came[waiting]].sum()),
        expected=float(weight @ each),
        variance=float(weight**2 @ each) * _design_effect(past, curve),
        past_variance=float(at_risk**2 @ curve.variance),
        n=int(waiting.sum()),
    )


def _design_effect(past: Arrivals, curve: DelayCurve) -> float:
    """How many times the variance of independent rows the outcomes of the past varied between units, at least 1."""
    duration, came = past.seen(curve.horizon)
    expected = curve.cumulative_hazard(duration)
    independent = float(past.weight**2 @ expected)
    if not independent:
        return 1.0
    between = np.bincount(past.unit, weights=past.weight * (came - expected))
    return max(1.0, float((between**2).sum()) / independent)


def _from_end(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the values from each place on."""
    return np.cumsum(values[::-1])[::-1]


def _weight_below(at: NDArray[np.int64], weight: NDArray[np.float64], ages: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each of `ages`, the weight that lies at lower `at`."""
    order = np.argsort(at)
    return np.append(0.0, np.cumsum(weight[order]))[np.searchsorted(at[order], ages, side="left")]
