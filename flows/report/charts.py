"""The charts of the verdict: lift, values by estimator, evidence, learning. Pure functions that return inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flows.report.facts import Curve, Gate, Lift
from flows.report.numbers import format_count, format_tick, format_to, format_value
from flows.report.svg import (
    Anchor,
    Scale,
    chart,
    circle,
    diamond,
    fit_scale,
    line,
    polygon,
    polyline,
    rect,
    shorten,
    text,
    ticks,
)

WIDTH = 480.0  # of every chart in a column of the page, in user units; text is 12.5 units high
LN10 = math.log(10)


@dataclass(frozen=True, slots=True)
class Mark:
    """One value with its interval, if it has one; `css` is champion, challenger or difference."""

    css: str
    value: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """All marks of one estimator."""

    label: str
    marks: tuple[Mark, ...]


def draw_lift(lift: Lift, truth: float | None, *, per: str = "interaction") -> str:
    """The interval of challenger minus champion on a scale with zero marked; a diamond for the exact value."""
    values = [0.0, lift.lower, lift.upper, lift.estimate, *([] if truth is None else [truth])]
    x = fit_scale(values, 24, WIDTH - 24, margin=0.1)
    side = "better" if lift.lower > 0 else "worse" if lift.upper < 0 else "open"
    width = lift.upper - lift.lower
    bottom = 78.0 if truth is None else 108.0
    body = [
        *_x_axis(x, bottom, f"difference in reward per {per} (challenger − champion)"),
        line(x(0), 26, x(0), bottom, "zero"),
        text(x(0), 16, "no difference", "tick strong", anchor=_anchor(x, 0)),
        rect(x(lift.lower), 42, x(lift.upper) - x(lift.lower), 16, f"interval {side}", radius=8),
        circle(x(lift.estimate), 50, 7, f"point {side}", title=f"estimate {format_to(lift.estimate, width)}"),
    ]
    if truth is not None:
        body.append(diamond(x(truth), 82, 8, "truth", title=f"exact {format_value(truth, 6)}"))
        left = x(truth) > WIDTH - 150
        shown = f"exact: {format_to(truth, width, signed=True)}"
        body.append(text(x(truth) + (-14 if left else 14), 86, shown, "tick", anchor="end" if left else "start"))
    estimate, lower, upper = (format_to(v, width, signed=True) for v in (lift.estimate, lift.lower, lift.upper))
    label = f"Lift {estimate}, interval from {lower} to {upper}; zero means no difference."
    if truth is not None:
        label += f" The exact value is {format_to(truth, width, signed=True)}."
    return chart(body, width=WIDTH, height=bottom + 44, label=label)


def draw_estimates(rows: Sequence[Row], *, truth: dict[str, float], axis: str, label: str, zero: bool = False) -> str:
    """Dots and intervals, one line an estimator; `truth` by css of the marks as dashed lines with a diamond."""
    marks = [mark for row in rows for mark in row.marks]
    values = [v for m in marks for v in (m.value, m.lower, m.upper) if v is not None]
    left = 20 + 7.6 * max((len(shorten(row.label, 14)) for row in rows), default=0)
    x = fit_scale([*values, *truth.values(), *([0.0] if zero else [])], left, WIDTH - 16)
    top, step = (34.0 if truth or zero else 14.0), 46.0
    bottom = top + step * len(rows)
    body = _x_axis(x, bottom, axis, top=top)
    if zero:
        body.append(line(x(0), top - 8, x(0), bottom, "zero"))
        if not truth:
            body.append(text(x(0), top - 14, "no difference", "tick", anchor=_anchor(x, 0)))
    for css, value in truth.items():
        body += [
            line(x(value), top - 10, x(value), bottom, f"truthline {css}"),
            diamond(x(value), top - 14, 7, f"truth {css}", title=f"exact value of the {css}: {format_value(value, 6)}"),
        ]
    for index, row in enumerate(rows):
        middle = top + step * (index + 0.5)
        body.append(text(left - 14, middle + 4, shorten(row.label, 14), "name", anchor="end", title=row.label))
        if index:
            body.append(line(left, top + step * index, WIDTH - 16, top + step * index, "grid"))
        for place, mark in enumerate(row.marks):
            body += _mark(x, middle + 18 * (place - (len(row.marks) - 1) / 2), mark, row.label)
    return chart(body, width=WIDTH, height=bottom + 44, label=label)


def draw_evidence(gate: Gate) -> str:
    """log10 of the e-value against rows, with the threshold; filled marks are planned looks."""
    threshold = gate.log_threshold / LN10
    path = [(float(n), log_e / LN10) for n, log_e in gate.trajectory]
    looks = [(float(k.n), k.log_e_promote / LN10, k.log_e_block / LN10) for k in gate.looks] or _only_look(gate)
    levels = [0.0, threshold, *(v for _, v in path), *(v for _, p, b in looks for v in (p, b))]
    floor = max(min(levels), -2 * threshold)  # a lost bet may fall for ever; below this it says nothing new
    y = fit_scale([max(v, floor) for v in levels], 232, 18)
    x = fit_scale([0.0, *(n for n, _ in path), *(n for n, _, _ in looks)], 58, WIDTH - 24, margin=0.02)
    gap = y(threshold) - y(path[-1][1]) if path else 0.0
    below = 17 if 0 < gap < 30 else -7  # the side of the line that the path's end leaves free
    body = [
        *_y_axis(y, 58, WIDTH - 24, "evidence (log10 e)"),
        *_x_axis(x, 232, "gate rows read", whole=True),
        line(58, y(0), WIDTH - 24, y(0), "axis"),
        line(58, y(threshold), WIDTH - 24, y(threshold), "threshold"),
        text(WIDTH - 24, y(threshold) + below, f"threshold {format_value(threshold)}", "tick strong", anchor="end"),
    ]
    if path:
        body.append(polyline([(x(n), y(v)) for n, v in path], "path challenger"))
    for n, promote, block in looks:
        body += [
            polygon(_triangle(x(n), y(block), -6), "mark harm", title=f"against it: {format_value(block)}"),
            circle(x(n), y(promote), 6, "mark challenger", title=f"for the challenger: {format_value(promote)}"),
        ]
        body += [text(x(n) - 11, y(v) - 9, f"{format_value(v)} ↓", anchor="end") for v in (promote, block) if v < floor]
    ends = (
        f"{format_value(looks[-1][1])} for the challenger and {format_value(looks[-1][2])} against it"
        if looks
        else "not measured"
    )
    label = f"Evidence (log10 e) after {format_count(gate.n)} gate rows: {ends}; {format_value(threshold)} is needed."
    return chart(body, width=WIDTH, height=276, label=label)


def draw_learning(curves: Sequence[Curve], *, values: Sequence[float]) -> str:
    """Validation value and loss of one algorithm's seeds; `values` (of all algorithms) fix a common scale."""
    points = [point for curve in curves for point in curve.points]
    width, left, right = 236.0, 42.0, 226.0
    x = fit_scale([0.0, *(float(p.step) for p in points)], left, right, margin=0.0)
    losses = [p.loss for p in points if p.loss is not None]
    shown, lossy = any(p.value is not None for p in points), bool(losses)
    top = fit_scale(values, 128 if lossy else 206, 16)
    low = fit_scale(losses, 206, 160)
    body: list[str] = []
    if shown:
        body += [*_y_axis(top, left, right, "", about=4), text(left + 4, 10, "value", "tick soft")]
    if lossy:
        body += [*_y_axis(low, left, right, "", about=2), text(left + 4, 154, "loss", "tick soft")]
    body += _x_axis(x, 206, "training step", about=3, whole=True)
    for curve in sorted(curves, key=lambda c: (c.chosen, -c.seed)):
        css = "curve chosen" if curve.chosen else "curve"
        name = f"seed {curve.seed}{', chosen' if curve.chosen else ''}"
        body += _curve([(x(p.step), top(p.value)) for p in curve.points if p.value is not None], css, name)
        body += _curve([(x(p.step), low(p.loss)) for p in curve.points if p.loss is not None], css, name)
    last = [f"seed {c.seed} {format_value(c.points[-1].value)}" for c in curves if c.points]
    name = curves[0].algorithm if curves else "nothing"
    label = f"Learning curves of {name}; last validation value: {', '.join(last) or 'none'}."
    return chart(body, width=width, height=250, label=label, css="small")


def _mark(x: Scale, y: float, mark: Mark, name: str) -> list[str]:
    span = mark.upper - mark.lower if mark.lower is not None and mark.upper is not None else 0.0
    title = f"{name}, {mark.css}: {format_to(mark.value, span)}"
    body = []
    if mark.lower is not None and mark.upper is not None:
        title += f" ({format_to(mark.lower, span)} to {format_to(mark.upper, span)})"
        body = [
            line(x(mark.lower), y, x(mark.upper), y, f"whisker {mark.css}"),
            line(x(mark.lower), y - 4, x(mark.lower), y + 4, f"whisker {mark.css}"),
            line(x(mark.upper), y - 4, x(mark.upper), y + 4, f"whisker {mark.css}"),
        ]
    if mark.css == "champion":
        return [*body, rect(x(mark.value) - 5, y - 5, 10, 10, "mark champion", title=title)]
    return [*body, circle(x(mark.value), y, 5.5, f"mark {mark.css}", title=title)]


def _curve(points: list[tuple[float, float]], css: str, title: str) -> list[str]:
    if len(points) == 1:
        return [circle(*points[0], 4, css.replace("curve", "dot"), title=title)]
    return [polyline(points, css, title=title)] if points else []


def _only_look(gate: Gate) -> list[tuple[float, float, float]]:
    if gate.log_e_promote is None or gate.log_e_block is None:
        return []
    return [(float(gate.n), gate.log_e_promote / LN10, gate.log_e_block / LN10)]


def _x_axis(
    x: Scale, y: float, title: str, *, top: float | None = None, about: int = 5, whole: bool = False
) -> list[str]:
    places, step = ticks(x, about)
    if whole and step < 1:
        places, step = [float(k) for k in range(math.ceil(x.low), math.floor(x.high) + 1)], 1.0
    body = [line(x.start, y, x.end, y, "axis")]
    for place in places:
        if top is not None:
            body.append(line(x(place), top, x(place), y, "grid"))
        body += [
            line(x(place), y, x(place), y + 5, "axis"),
            text(x(place), y + 19, format_tick(place, step), "tick", anchor="middle"),
        ]
    return [*body, text((x.start + x.end) / 2, y + 38, title, "axistitle", anchor="middle")]


def _y_axis(y: Scale, left: float, right: float, title: str, *, about: int = 5) -> list[str]:
    places, step = ticks(y, about)
    body = []
    for place in places:
        body.append(line(left, y(place), right, y(place), "grid"))
        body.append(text(left - 7, y(place) + 4, format_tick(place, step), "tick", anchor="end"))
    if title:
        middle = (y.start + y.end) / 2
        body.append(
            f'<g transform="rotate(-90 14 {middle:.1f})">{text(14, middle, title, "axistitle", anchor="middle")}</g>'
        )
    return body


def _anchor(x: Scale, value: float) -> Anchor:
    place = (x(value) - x.start) / (x.end - x.start)
    return "start" if place < 0.15 else "end" if place > 0.85 else "middle"


def _triangle(x: float, y: float, size: float) -> list[tuple[float, float]]:
    return [(x, y - size), (x - size, y + size * 0.8), (x + size, y + size * 0.8)]
