"""The charts of counts and shares: weights, actions, splits. Pure functions that return inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flows.report.charts import WIDTH
from flows.report.facts import ActionShare, Weights
from flows.report.numbers import format_count, format_tick, format_to, format_value
from flows.report.svg import Scale, chart, fit_scale, line, rect, shorten, text, ticks

SHOWN_ACTIONS = 20
LARGEST_POWER = 308  # of ten, in a double


def draw_weights(weights: Weights) -> str:
    """Histogram of the challenger's importance weights on a logarithmic axis, with its quantiles."""
    edges, counts = weights.histogram.edges, weights.histogram.counts
    quantiles = [(n, getattr(weights.quantiles, n)) for n in ("p50", "p90", "p99", "max")]
    smallest = min((e for e in edges if e > 0), default=0.1)
    logs = [math.log10(max(e, smallest / 2)) for e in edges]
    inside = [math.log10(max(q, smallest / 2)) for _, q in quantiles]
    x = fit_scale([*logs, *inside, 0.0], 60, WIDTH - 20, margin=0.01)
    y = Scale(0.0, 1.08 * max(counts, default=0) or 1.0, 262, 92)
    body = _count_axis(y)
    for low, high, count in zip(logs, logs[1:], counts, strict=False):
        if count:
            height = max(262 - y(count), 1.5)
            css = "bar challenger" if high > 0 else "bar challenger low"
            body.append(rect(x(low) + 0.5, 262 - height, x(high) - x(low) - 1, height, css, title=f"{count:,} rows"))
    for index, ((name, value), place) in enumerate(zip(quantiles, inside, strict=True)):
        level = 18.0 + 18 * index
        left = x(place) > WIDTH - 80
        body += [
            line(x(place), level - 10, x(place), 262, "quantile"),
            text(
                x(place) + (-5 if left else 5),
                level,
                f"{name} {format_value(value)}",
                anchor="end" if left else "start",
            ),
        ]
    body += _log_axis(x, 262, "importance weight (logarithmic scale)")
    ends = ", ".join(f"{name} {format_value(value)}" for name, value in quantiles)
    return chart(body, width=WIDTH, height=306, label=f"Histogram of importance weights: {ends}.")


def draw_actions(actions: Sequence[ActionShare]) -> str:
    """Paired bars of the shares of champion and challenger: the largest 20 actions; the others in words."""
    rows, others = largest_actions(actions)
    left = 26 + 7.4 * max((len(shorten(row.action, 22)) for row in rows), default=1)
    largest = max((max(row.champion, row.challenger) for row in rows), default=0.0)
    x = Scale(0.0, largest or 1.0, left, WIDTH - 62)
    step, top = 25.0, 6.0
    bottom = top + step * len(rows)
    places, tick = ticks(x, 4)
    body = [line(x(p), top, x(p), bottom, "grid") for p in places]
    for index, row in enumerate(rows):
        y = top + step * index
        body.append(text(left - 8, y + 16, shorten(row.action, 22), "name", anchor="end", title=row.action))
        for offset, css, share in ((3, "champion", row.champion), (12.5, "challenger", row.challenger)):
            title = f"{row.action}, {css}: {format_value(share)}"
            body.append(rect(left, y + offset, max(x(share) - left, 0.5), 8.5, f"bar {css}", title=title))
        change = format_to(row.challenger - row.champion, x.high, signed=True)
        body.append(text(x(max(row.champion, row.challenger)) + 7, y + 16, change, "tick soft"))
    body += [line(left, top, left, bottom, "axis")]
    body += [text(x(p), bottom + 17, format_tick(p, tick), anchor="middle") for p in places]
    body.append(text((x.start + x.end) / 2, bottom + 36, "share of decisions, in [0, 1]", "axistitle", anchor="middle"))
    label = f"Shares of {len(actions)} actions."
    biggest = next(iter(largest_changes(actions, 1)), None)
    if biggest is not None:
        label += f" Largest change: {biggest.action}, from {format_value(biggest.champion)}"
        label += f" to {format_value(biggest.challenger)}."
    if others is not None:
        together = f"{others.action} together: {format_value(others.champion)} → {format_value(others.challenger)}"
        body.append(text((x.start + x.end) / 2, bottom + 60, together, "name", anchor="middle"))
    return chart(body, width=WIDTH, height=bottom + (44 if others is None else 68), label=label)


def largest_actions(actions: Sequence[ActionShare]) -> tuple[list[ActionShare], ActionShare | None]:
    """The 20 actions with the largest share under either policy, and the sum of the others if there are more."""
    ranked = sorted(actions, key=lambda a: -max(a.champion, a.challenger))
    shown, rest = ranked[:SHOWN_ACTIONS], ranked[SHOWN_ACTIONS:]
    if not rest:
        return shown, None
    others = ActionShare(
        action=f"{len(rest):,} other{'s' if len(rest) > 1 else ''}",
        champion=math.fsum(a.champion for a in rest),
        challenger=math.fsum(a.challenger for a in rest),
    )
    return shown, others


def largest_changes(actions: Sequence[ActionShare], limit: int = 10) -> list[ActionShare]:
    """The actions whose share changes most, largest change first."""
    return sorted(actions, key=lambda a: (-abs(a.challenger - a.champion), a.action))[:limit]


def draw_parts(parts: Sequence[tuple[str, int, str]], *, label: str) -> str:
    """One bar split into (name, count, css); a part that exists is never thinner than two units."""
    total = sum(count for _, count, _ in parts)
    here = [(name, count, css) for name, count, css in parts if count > 0]
    room = WIDTH - 2.0 * len(here)
    body, x = [], 0.0
    for name, count, css in here:
        width = max(room * count / total, 2.0)
        body.append(rect(x, 0, width, 22, f"part {css}", title=f"{name}: {format_count(count)}"))
        x += width + 2
    said = ", ".join(f"{name} {format_count(count)}" for name, count, _ in parts)
    return chart(body, width=max(WIDTH, x), height=22, label=f"{label}: {said}.", css="flat")


def draw_share(share: float, css: str) -> str:
    """A small bar for a table cell whose number stands beside it, so it is hidden from screen readers."""
    inner = rect(0, 0, 120 * min(max(share, 0.0), 1.0), 10, f"bar {css}", radius=2)
    return (
        '<svg class="share" aria-hidden="true" viewBox="0 0 120 10" preserveAspectRatio="none">'
        f"{rect(0, 0, 120, 10, 'trough', radius=2)}{inner}</svg>"
    )


def _count_axis(y: Scale) -> list[str]:
    places, step = ticks(y, 4)
    body = [line(60, y(p), WIDTH - 20, y(p), "grid") for p in places]
    body += [text(53, y(p) + 4, format_tick(p, step), anchor="end") for p in places]
    middle = (y.start + y.end) / 2
    title = text(14, middle, "gate rows", "axistitle", anchor="middle")
    return [*body, f'<g transform="rotate(-90 14 {middle:.1f})">{title}</g>']


def _log_axis(x: Scale, y: float, title: str) -> list[str]:
    """Powers of ten, or 1, 2, 5 where there are fewer than three; thinned to at most eight."""
    powers = list(range(math.ceil(x.low - 1e-9), min(math.floor(x.high + 1e-9), LARGEST_POWER) + 1))
    if len(powers) < 3:
        first, last = math.floor(x.low), math.ceil(x.high)
        places = [p + math.log10(m) for p in range(first, last + 1) for m in (1, 2, 5)]
        places = [p for p in places if x.low <= p <= x.high]
    else:
        places = [float(p) for p in powers[:: math.ceil(len(powers) / 8)]]
    body = [line(x.start, y, x.end, y, "axis")]
    for place in places:
        body.append(line(x(place), y, x(place), y + 5, "axis"))
        body.append(text(x(place), y + 19, format_value(10.0**place), anchor="middle"))
    return [*body, text((x.start + x.end) / 2, y + 38, title, "axistitle", anchor="middle")]
