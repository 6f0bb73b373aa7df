"""What people read about outcomes: rates and delays by channel and arm, guardrails by arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from data_contracts.checks import FactTable
from data_contracts.rewards.maturity import Arrivals, DelayCurve, delay_curve, late_share, still_expected
from data_contracts.rewards.outcome_rows import HORIZON, OutcomeRows, microseconds
from data_contracts.rewards.reward_settings import Channel, GuardrailSettings

QUANTILES = (0.5, 0.9, 0.99)
NOTHING = "–"


def delay_table(rows: OutcomeRows) -> FactTable:
    """Per reward channel and arm, of the latest interactions: how often, how much, how late.

    with outcome: Kaplan-Meier estimate of P(an outcome inside the window), young interactions counted fairly;
    mean: of the value of matured interactions that have one; 50, 90, 99 %: ages by which these shares of the outcomes
    until twice the window had come; still expected: share of the young interactions' outcomes that is yet to come.
    """
    columns = ("channel", "kind", "quality", rows.groups.what, "interactions", "with outcome", "mean")
    delays = tuple(f"{share:.0%} by" for share in QUANTILES)
    cells = tuple(row for channel in rows.reward_channels for row in _delay_rows(rows, channel))
    return FactTable("Arrival of outcomes", (*columns, *delays, "after the window", "still expected"), cells)


def guardrail_table(rows: OutcomeRows, declared: Mapping[str, GuardrailSettings]) -> FactTable:
    """Per guardrail and arm, of the latest interactions: mean value so far, and of those that matured."""
    cells = []
    for channel in rows.guardrail_channels:
        value, matured, recent = rows.values(channel), rows.matured(channel), rows.recent(channel)
        limit = f"{'≤' if declared[channel.name].better == 'lower' else '≥'} {declared[channel.name].limit:g}"
        for name, mask in rows.groups.masks():
            chosen = mask & recent
            means = (_mean(value, rows.weight, chosen), _mean(value, rows.weight, chosen & matured))
            cells.append((channel.name, name, f"{chosen.sum():,}", *means, limit))
    columns = ("guardrail", rows.groups.what, "interactions", "mean so far", "mean when matured", "limit")
    return FactTable("Guardrails", columns, tuple(cells))


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def shown_span(span: timedelta | None) -> str:
    """A duration in its largest whole-ish unit: `36 h`, `7 d`."""
    if span is None:
        return NOTHING
    seconds = span.total_seconds()
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def _delay_rows(rows: OutcomeRows, channel: Channel) -> Iterator[tuple[str, ...]]:
    arrivals, value, matured = rows.arrivals(channel), rows.values(channel), rows.matured(channel)
    window, recent = microseconds(channel.window), rows.recent(channel)
    for name, mask in rows.groups.masks():
        chosen = mask & recent
        own = arrivals.select(chosen)
        curve = delay_curve(own, horizon=HORIZON * window)
        late = late_share(curve, after=window, alpha=0.05)
        yield (
            channel.name,
            (channel.kind or NOTHING).replace("_", " "),
            channel.quality or NOTHING,
            name,
            f"{chosen.sum():,}",
            percent(float(curve.arrived(window))),
            _mean(value, rows.weight, chosen & matured),
            *map(shown_span, curve.quantiles(QUANTILES)),
            NOTHING if late is None else percent(late.mean),
            _still_expected(own, curve, window),
        )


def _still_expected(arrivals: Arrivals, curve: DelayCurve, window: int) -> str:
    """Of the outcomes that the interactions younger than the window will have, the share that has not come."""
    young = arrivals.select(arrivals.age < window)
    came = young.first <= young.age
    here = float(young.weight[came].sum())
    waiting = young.select(~came)
    coming = float(waiting.weight @ still_expected(curve, waiting.age, window=window))
    return percent(coming / (here + coming)) if here + coming > 0 else NOTHING


def _mean(value: NDArray[np.float64], weight: NDArray[np.float64], chosen: NDArray[np.bool_]) -> str:
    known = np.flatnonzero(chosen & ~np.isnan(value))
    return f"{np.average(value[known], weights=weight[known]):.4g}" if len(known) else NOTHING
