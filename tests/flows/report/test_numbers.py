"""Numbers as people read them; expected strings written by hand."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime

import pytest

from flows.report import numbers
from flows.report.numbers import (
    format_count,
    format_days,
    format_ratio,
    format_seconds,
    format_tick,
    format_time,
    format_to,
    format_value,
)


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(numbers)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.85309, "0.853"),
        (1234.5, "1,234"),
        (-31.42, "−31.4"),
        (1e12, "1×10¹²"),
        (-1.5e-9, "−1.5×10⁻⁹"),
        (1e300, "1×10³⁰⁰"),
        (None, "–"),
    ],
)
def test_values(value: float | None, shown: str) -> None:
    assert format_value(value) == shown


@pytest.mark.parametrize(
    ("value", "width", "shown"),
    [
        (0.1702, 0.0574, "+0.170"),
        (-0.0071, 0.0154, "−0.0071"),
        (0.00041, 0.4, "+0.0004"),  # never "+0.00" for a lift that is not zero
        (1234.6, 900.0, "+1,235"),
        (0.5, 0.0, "+0.5"),
        (0.0, 0.1, "0.000"),
    ],
)
def test_values_to_the_width_of_their_interval(value: float, width: float, shown: str) -> None:
    assert format_to(value, width, signed=True) == shown


@pytest.mark.parametrize(
    ("n", "shown"),
    [
        (0, "0"),
        (1_214_000, "1,214,000"),
        (12_345_678, "12.3 million"),
        (999_999_999, "1,000 million"),
        (4_000_000_000_000, "4 trillion"),
        (None, "–"),
    ],
)
def test_counts(n: int | None, shown: str) -> None:
    assert format_count(n) == shown


def test_times_and_durations() -> None:
    assert format_time(datetime(2026, 11, 20, 3, 5, tzinfo=UTC)) == "20 Nov 2026, 03:05\N{NO-BREAK SPACE}UTC"
    assert [format_days(d) for d in (0.2, 1.0, 26.4, 860.4, None)] == [
        "under a day",
        "1 day",
        "26 days",
        "2.4 years",
        "–",
    ]
    assert [format_seconds(s) for s in (0.25, 48.2, 600.0, 9000.0)] == ["0.25 s", "48.2 s", "10 min", "2.5 h"]


def test_ratios() -> None:
    assert [format_ratio(r) for r in (0.2492, -0.004, 0.0, None)] == [
        "+25\N{NO-BREAK SPACE}%",
        "−0.4\N{NO-BREAK SPACE}%",
        "0\N{NO-BREAK SPACE}%",
        "–",
    ]


@pytest.mark.parametrize(
    ("value", "step", "shown"),
    [
        (0.05, 0.05, "0.05"),
        (0.075, 0.025, "0.075"),
        (2000.0, 2000.0, "2k"),
        (1e-18, 0.1, "0"),
        (2e-7, 1e-7, "2×10⁻⁷"),
        (2.5e6, 5e5, "2.5M"),
        (1e20, 1e19, "1×10²⁰"),
    ],
)
def test_ticks(value: float, step: float, shown: str) -> None:
    assert format_tick(value, step) == shown
