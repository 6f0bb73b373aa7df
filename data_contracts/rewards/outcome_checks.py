"""Are outcomes arriving as declared, and is no guardrail broken? One section of every validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.checks import CheckResult, Section
from data_contracts.rewards.maturity import delay_curve, expected_outcomes, late_share
from data_contracts.rewards.outcome_rows import HORIZON, OutcomeRows, microseconds, outcome_rows
from data_contracts.rewards.outcome_tables import delay_table, guardrail_table, percent, shown_span
from data_contracts.rewards.reward_settings import Channel, FeedSettings, GuardrailSettings, RewardSettings
from data_contracts.rewards.survey_bounds import mean_bounds

ALPHA = 1e-4  # one-sided, per judgement: with 20 of them a day, one false alarm in about 500 days
AFTER_DELAY = 0.1  # nine of ten outcomes have come after the declared delay

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Judged:
    """One group of interactions by one check."""

    excess: float  # beyond the limit, the error bound allowed for; above 0: broken
    observed: str
    n: int


def outcome_section(interactions: pa.Table, outcomes: pa.Table, *, reward: RewardSettings, as_of: datetime) -> Section:
    """Delay, completeness and guardrails of a task's outcomes as known at `as_of`, by channel and arm.

    outcome_delay         of a channel's outcomes until twice its window, the share that misses the window is more
                          than feed.max_late; or a tenth comes after the declared `delay`
    outcome_completeness  in the time feed.recent fewer outcomes came than feed.min_share of those that the past lets
                          expect of interactions at their age
    guardrail             the mean value is beyond its limit. better: lower counts young interactions with what they
                          show already (it can only rise); better: higher counts matured ones

    Each fails when its bound at ALPHA is beyond the limit, for all rows or for one arm (policy version where the log
    has no arms); the worst is named. Rates are weighted by 1 / sampling_rate, and clustered by unit.

    Args:
        interactions: (n,) rows with outcome_rows.COLUMNS, `reward` as it was logged (not by attach_rewards); those
            before outcome_rows.looked_at_since may be left out.
        outcomes: all outcomes (schema of `outcome_schema`).

    Raises UsageError when `as_of` has no time zone.
    Caveat: silence of a channel that never had an outcome cannot be told from a broken feed; it is a note.
    """
    rows = outcome_rows(interactions, outcomes, reward=reward, as_of=as_of)
    rewarded, watched = rows.reward_channels, rows.guardrail_channels
    checks = [check for channel in rewarded for check in _delay_checks(rows, channel, reward.feed)]
    if reward.feed.min_share > 0:
        checks += [_completeness_check(rows, channel, reward.feed) for channel in rows.channels]
    checks += [_guardrail_check(rows, channel, reward.guardrails[channel.name]) for channel in watched]
    tables = [delay_table(rows), *([guardrail_table(rows, reward.guardrails)] if watched else [])]
    return Section("outcomes", "Outcomes", tuple(checks), tuple(tables), _notes(rows))


def _notes(rows: OutcomeRows) -> tuple[str, ...]:
    if not len(rows.age):
        return ("no interactions lately: nothing of their outcomes could be judged",)
    silent = [channel.name for channel in rows.channels if not rows.has_events(channel)]
    return tuple(f"no outcome of channel {name} for the {len(rows.age):,} latest interactions" for name in silent)


def _delay_checks(rows: OutcomeRows, channel: Channel, feed: FeedSettings) -> Iterator[CheckResult]:
    yield _delay_check(rows, channel, border=channel.window, what="window", limit=feed.max_late)
    if channel.delay is not None:
        yield _delay_check(rows, channel, border=channel.delay, what="declared delay", limit=AFTER_DELAY)


def _delay_check(rows: OutcomeRows, channel: Channel, *, border: timedelta, what: str, limit: float) -> CheckResult:
    def judge(mask: Mask) -> _Judged:
        arrivals = rows.arrivals(channel).select(mask)
        curve = delay_curve(arrivals, horizon=HORIZON * microseconds(channel.window))
        late = late_share(curve, after=microseconds(border), alpha=ALPHA)
        if late is None:
            return _Judged(-limit, "no outcome", curve.n)
        observed = f"{percent(late.mean)} of {curve.n_outcomes:,} outcomes after the {what}"
        return _Judged(late.lower - limit, observed, curve.n)

    worst = _worst(rows, channel, judge)
    return CheckResult(
        rule="outcome_delay",
        column=channel.name,
        level="warn",
        passed=worst.excess <= 0,
        observed=worst.observed,
        limit=f"at most {percent(limit)}",
        n_rows=worst.n,
        description=f"outcomes of channel {channel.name} come within the {what} of {shown_span(border)}",
    )


def _completeness_check(rows: OutcomeRows, channel: Channel, feed: FeedSettings) -> CheckResult:
    def judge(mask: Mask) -> _Judged:
        arrivals = rows.arrivals(channel).select(mask)
        found = expected_outcomes(arrivals, span=microseconds(feed.recent), window=microseconds(channel.window))
        least = feed.min_share * found.expected
        spread = math.sqrt(feed.min_share * found.variance + feed.min_share**2 * found.past_variance)
        observed = f"{found.observed:,.0f} outcomes came, {found.expected:,.0f} were expected"
        return _Judged(least - found.observed - _deviations() * spread, observed, found.n)

    worst = _worst(rows, channel, judge)
    stopped = rows.stopped(channel)
    if stopped is not None:
        worst = _Judged(1.0, f"none since {stopped.isoformat()}", len(rows.age))
    return CheckResult(
        rule="outcome_completeness",
        column=channel.name,
        level="block" if channel in rows.reward_channels else "warn",
        passed=worst.excess <= 0,
        observed=worst.observed,
        limit=f"at least {percent(feed.min_share)} of those expected",
        n_rows=worst.n,
        description=f"outcomes of channel {channel.name} came in the last {shown_span(feed.recent)} as they did before",
    )


def _guardrail_check(rows: OutcomeRows, channel: Channel, guardrail: GuardrailSettings) -> CheckResult:
    value, lower_is_better = rows.values(channel), guardrail.better == "lower"
    known = ~np.isnan(value) & (lower_is_better | rows.matured(channel))

    def judge(mask: Mask) -> _Judged:
        chosen = mask & known
        if not chosen.any():
            return _Judged(-math.inf, "no interactions to judge", 0)
        bounds = mean_bounds(value[chosen], weight=rows.weight[chosen], unit=rows.unit[chosen], alpha=ALPHA)
        excess = bounds.lower - guardrail.limit if lower_is_better else guardrail.limit - bounds.upper
        observed = f"{bounds.mean:.4g} ({bounds.lower:.4g} to {bounds.upper:.4g})"
        return _Judged(excess, observed, int(chosen.sum()))

    worst = _worst(rows, channel, judge)
    return CheckResult(
        rule="guardrail",
        column=channel.name,
        level=guardrail.severity,
        passed=worst.excess <= 0,
        observed=worst.observed,
        limit=f"at {'most' if lower_is_better else 'least'} {guardrail.limit:g}",
        n_rows=worst.n,
        description=f"mean {channel.name} per interaction within {shown_span(channel.window)}",
    )


def _worst(rows: OutcomeRows, channel: Channel, judge: Callable[[Mask], _Judged]) -> _Judged:
    """All rows together, unless the check is broken: then the group that breaks it most."""
    recent = rows.recent(channel)
    judged = {name: judge(mask & recent) for name, mask in rows.groups.masks()}
    everything = next(iter(judged.values()))
    name, worst = max(judged.items(), key=lambda item: item[1].excess)
    if worst.excess <= 0 or worst is everything:
        return everything
    return _Judged(worst.excess, f"{worst.observed}, {rows.groups.what} {name}", worst.n)


def _deviations() -> float:
    from scipy.stats import norm

    return float(norm.isf(ALPHA))
