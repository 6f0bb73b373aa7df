"""Elements, scales and ticks of the inline charts. Every text and attribute is escaped here, and only here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Literal

LARGEST = 1e300  # beyond it the length of an axis overflows
SMALLEST = 1e-300  # below it a step underflows
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [low, high] onto pixels [start, end]; what lies outside is drawn at the edge."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


def fit_scale(values: Iterable[float], start: float, end: float, *, margin: float = 0.06) -> Scale:
    """A scale that holds all `values` with some air; constant or no values get a band around them."""
    inside = [min(max(value, -LARGEST), LARGEST) for value in values] or [0.0, 1.0]
    low, high = min(inside), max(inside)
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, SMALLEST):
        half = size / 10 if size > SMALLEST else 1.0
        return Scale(low - half, high + half, start, end)
    air = margin * (high - low)
    return Scale(low - air, high + air, start, end)


def ticks(scale: Scale, about: int = 5) -> tuple[list[float], float]:
    """Round numbers inside the scale, and their step (1, 2, 2.5 or 5 times a power of ten)."""
    rough = (scale.high - scale.low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if power * factor >= rough * 0.999)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [index * step for index in range(first, last + 1)], step


def chart(body: Iterable[str], *, width: float, height: float, label: str, css: str = "") -> str:
    """A whole chart; `label` is what a screen reader says."""
    return (
        f'<svg class="chart {css}" role="img" aria-label="{escape(label)}" viewBox="0 0 {_px(width)} {_px(height)}" '
        f'preserveAspectRatio="xMidYMid meet">{"".join(body)}</svg>'
    )


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line class="{escape(css)}" x1="{_px(x1)}" y1="{_px(y1)}" x2="{_px(x2)}" y2="{_px(y2)}"/>'


def rect(x: float, y: float, width: float, height: float, css: str, *, title: str = "", radius: float = 0) -> str:
    return (
        f'<rect class="{escape(css)}" x="{_px(x)}" y="{_px(y)}" width="{_px(max(width, 0))}" '
        f'height="{_px(max(height, 0))}" rx="{_px(radius)}">{_title(title)}</rect>'
    )


def circle(x: float, y: float, radius: float, css: str, *, title: str = "") -> str:
    return f'<circle class="{escape(css)}" cx="{_px(x)}" cy="{_px(y)}" r="{_px(radius)}">{_title(title)}</circle>'


def polygon(points: Iterable[tuple[float, float]], css: str, *, title: str = "") -> str:
    return f'<polygon class="{escape(css)}" points="{_points(points)}">{_title(title)}</polygon>'


def diamond(x: float, y: float, size: float, css: str, *, title: str = "") -> str:
    return polygon([(x, y - size), (x + size, y), (x, y + size), (x - size, y)], css, title=title)


def polyline(points: Iterable[tuple[float, float]], css: str, *, title: str = "") -> str:
    return f'<polyline class="{escape(css)}" points="{_points(points)}">{_title(title)}</polyline>'


def text(x: float, y: float, content: str, css: str = "tick", *, anchor: Anchor = "start", title: str = "") -> str:
    return (
        f'<text class="{escape(css)}" x="{_px(x)}" y="{_px(y)}" text-anchor="{anchor}">'
        f"{escape(content)}{_title(title)}</text>"
    )


def shorten(name: str, limit: int) -> str:
    """At most `limit` characters; control characters, which XML forbids, become spaces."""
    clean = "".join(c if c.isprintable() else " " for c in name)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _title(content: str) -> str:
    return f"<title>{escape(content)}</title>" if content else ""


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{_px(x)},{_px(y)}" for x, y in points)


def _px(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
