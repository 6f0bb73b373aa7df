"""Moments and durations on the command line, and facts as an outline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from flows.backfill import as_of_dates
from flows.cli.output import Duration, Moment, outline


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-21T05:00:00+02:00", datetime(2026, 11, 21, 3, tzinfo=UTC)),
        ("2026-11-21T03:00:00Z", datetime(2026, 11, 21, 3, tzinfo=UTC)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert Moment().convert(text, None, None) == moment


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21T03:00:00", "2026-13-01", ""])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Moment().convert(text, None, None)


@pytest.mark.parametrize(("text", "expected"), [("30m", timedelta(minutes=30)), ("7d", timedelta(days=7))])
def test_durations(text: str, expected: timedelta) -> None:
    assert Duration().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["0d", "7", "d7", "-1d", "1.5h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


def test_dates_include_both_ends() -> None:
    start = datetime(2026, 10, 1, tzinfo=UTC)
    days = [d.day for d in as_of_dates(start, start + timedelta(days=6), timedelta(days=3))]
    assert days == [1, 4, 7]
    assert as_of_dates(start, start - timedelta(days=1), timedelta(days=3)) == []


def test_an_outline_leaves_out_what_is_empty_and_shortens_long_lists() -> None:
    facts = {"version": 2, "parent": None, "snapshot": {"id": "ab"}, "files": list(range(20)), "looks": [{"look": 1}]}
    assert outline(facts) == [
        "  version: 2",
        "  snapshot:",
        "    id: ab",
        "  files: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … 8 more",
        "  looks:",
        "    -",
        "      look: 1",
    ]
