"""After a promotion and its grace, only the champion may decide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from data_contracts.propensities.live_versions import LiveVersions, Tenure, live_versions_check, tenures
from data_contracts.propensities.propensity_settings import ServingSettings

PROMOTED = datetime(2026, 11, 20, 12, tzinfo=UTC)
AS_OF = PROMOTED + timedelta(hours=10)
HOUR = timedelta(hours=1)
MOVES = [("1", datetime(2026, 11, 1, tzinfo=UTC)), ("2", PROMOTED)]


def log(lines: list[tuple[str | None, timedelta]], arms: list[str | None] | None = None) -> pa.Table:
    """Rows as (policy version, time since the promotion)."""
    n = len(lines)
    return pa.table(
        {
            "interaction_id": [f"i{i}" for i in range(n)],
            "occurred_at": pa.array([PROMOTED + since for _, since in lines], pa.timestamp("us", tz="UTC")),
            "policy_version": pa.array([version for version, _ in lines], pa.string()),
            "arm": pa.array(arms or [None] * n, pa.string()),
        }
    )


def looked_at(*tables: pa.Table, settings: ServingSettings | None = None, as_of: datetime = AS_OF) -> LiveVersions:
    found = LiveVersions(tenures(MOVES), frozenset({"external"}), settings=settings or ServingSettings(), as_of=as_of)
    for table in tables:
        found = found.add(table)
    return found


def test_tenures_follow_one_another_and_the_first_had_always_been() -> None:
    later = PROMOTED + HOUR
    assert tenures([]) == ()
    assert tenures([*MOVES, ("1", later)]) == (
        Tenure("1", None, PROMOTED),
        Tenure("2", PROMOTED, later),
        Tenure("1", later, None),
    )


@pytest.mark.parametrize(
    ("version", "since", "expected"),
    [
        ("2", HOUR, True),
        ("1", -HOUR, True),
        ("1", HOUR, True),  # the last moment of grace
        ("1", HOUR + timedelta(microseconds=1), False),
        ("1", 9 * HOUR, False),
        ("2", -HOUR, True),  # clocks differ
        ("2", -2 * HOUR, False),  # before it was promoted
        ("3", HOUR, False),  # never champion
        ("nobody", HOUR, False),
        (None, HOUR, False),
        ("external", 9 * HOUR, True),  # declared, and no version of the registry
    ],
)
def test_who_may_decide_when(version: str | None, since: timedelta, expected: bool) -> None:
    check = live_versions_check(looked_at(log([("2", 2 * HOUR), (version, since)])))
    assert check.passed is expected
    assert check.n_rows == 2
    assert (check.rule, check.level) == ("unexpected_policy_version", "warn")
    assert check.examples == (() if expected else ("i1",))


def test_counts_add_up_over_chunks() -> None:
    stale = log([("1", 5 * HOUR)] * 7)
    check = live_versions_check(looked_at(stale, log([("2", 5 * HOUR), ("3", 5 * HOUR)]), stale))
    assert check.observed == "15 of 16 rows (14 by 1, 1 by 3)"
    assert len(check.examples) == 5


def test_an_arm_is_a_declared_experiment() -> None:
    assert live_versions_check(looked_at(log([("1", 5 * HOUR)], ["canary"]))).passed


def test_a_mended_log_resolves() -> None:
    rows = log([("1", 5 * HOUR), ("2", 6 * HOUR)])
    assert not live_versions_check(looked_at(rows)).passed
    assert live_versions_check(looked_at(rows, as_of=PROMOTED + 30 * HOUR)).passed
    longer = ServingSettings(recent=timedelta(days=2))
    assert not live_versions_check(looked_at(rows, settings=longer, as_of=PROMOTED + 30 * HOUR)).passed


def test_rows_after_the_moment_are_not_there_yet() -> None:
    assert looked_at(log([("1", 11 * HOUR)])).n_recent == 0


def test_no_grace_at_all() -> None:
    settings = ServingSettings(grace=timedelta(0))
    assert not live_versions_check(looked_at(log([("1", timedelta(microseconds=1))]), settings=settings)).passed
