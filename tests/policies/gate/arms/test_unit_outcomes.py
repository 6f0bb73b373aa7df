"""A unit's outcome is what happened to it in the time after its entry, once that time has passed."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from policies.gate.arms.before_stage import look_back, outcome_variance, predict_outcomes
from policies.gate.arms.unit_outcomes import ArmRows, OutcomeKind, UnitOutcomes, outcome_bounds, unit_outcomes

START = np.datetime64("2026-09-01", "us")
DAY = np.timedelta64(1, "D")


def rows(*of_units: tuple[str, bool, float, float]) -> ArmRows:
    """(unit, challenger's arm, day, reward)"""
    unit, arm, day, reward = zip(*of_units, strict=True)
    return ArmRows(
        unit_id=np.array(unit),
        challenger=np.array(arm),
        occurred_at=START + (np.array(day) * 86_400e6).astype("timedelta64[us]"),
        reward=np.array(reward, float),
    )


# a enters on day 0, b on day 2, c on day 6; in an order of no meaning
LOG = rows(
    ("b", True, 8.99, 0), ("b", True, 2, 1), ("a", False, 3, 1), ("a", False, 0, 0), ("a", False, 6.99, 1),
    ("a", False, 7, 1), ("b", True, 9, 1), ("c", True, 6, 1), ("b", True, 4, np.nan),
)  # fmt: skip


def outcomes(kind: OutcomeKind = "mean", *, until: float, window: float = 0, max_rows: int = 10) -> UnitOutcomes:
    return unit_outcomes(
        LOG,
        horizon=timedelta(days=7),
        attribution_window=timedelta(days=window),
        as_of=START + np.timedelta64(int(until * 86_400e6), "us"),
        kind=kind,
        max_rows=max_rows,
    )


def test_rows_from_entry_to_horizon_count() -> None:
    found = outcomes(until=9)
    assert found.unit_id.tolist() == ["a", "b"], "c's time has not passed"
    # a: days 0, 3 and 6.99, not 7; b: days 2 and 8.99; the unknown reward of day 4 is no zero
    assert found.outcome.tolist() == pytest.approx([2 / 3, 1 / 2])
    assert found.n_rows.tolist() == [3, 2]
    assert found.challenger.tolist() == [False, True]
    assert found.complete_at.tolist() == (START + DAY * np.array([7, 9])).tolist()
    assert outcomes("sum", until=9).outcome.tolist() == [2, 1]


def test_a_unit_enters_when_its_last_reward_is_final() -> None:
    assert outcomes(until=9, window=2).unit_id.tolist() == ["a"]
    assert outcomes(until=8.99, window=2).unit_id.tolist() == []
    assert outcomes(until=15, window=2).unit_id.tolist() == ["a", "b", "c"]


def test_the_first_rows_of_a_unit_count_up_to_the_cap() -> None:
    assert outcomes("sum", until=9, max_rows=2).outcome.tolist() == [1, 1]  # a: days 0 and 3
    assert outcomes("sum", until=9, max_rows=1).outcome.tolist() == [0, 1]


def test_a_unit_without_a_known_reward_has_no_outcome() -> None:
    found = unit_outcomes(
        rows(("a", False, 0, np.nan), ("b", True, 0, 1)),
        horizon=timedelta(days=1),
        attribution_window=timedelta(0),
        as_of=START + 9 * DAY,
        kind="mean",
        max_rows=5,
    )
    assert found.unit_id.tolist() == ["b"]


@pytest.mark.parametrize(
    ("bounds", "kind", "expected"),
    [
        ((0, 1), "mean", (0, 1)),
        ((0, 1), "sum", (0, 5)),
        ((-2, 1), "sum", (-10, 5)),
        ((1, 2), "sum", (1, 10)),
        ((-2, -1), "sum", (-10, -1)),
    ],
)
def test_bounds_of_an_outcome(bounds: tuple[float, float], kind: OutcomeKind, expected: tuple[float, float]) -> None:
    assert outcome_bounds(bounds, kind=kind, max_rows=5) == expected


def test_predictions_are_shrunk_means() -> None:
    # four rows of each of two units: means 1/4 and 3/4, within = 8 * 3/16 / 6 = 1/4 both
    before = look_back(
        np.repeat(["a", "b"], 4), START + DAY * np.tile(np.arange(4), 2), np.array([0, 0, 0, 1, 1, 1, 1, 0.0])
    )
    assert before is not None
    assert (before.overall, before.within) == pytest.approx((0.5, 0.25))
    # variance of the means 1/8, of which within / 4 = 1/16 is noise
    assert before.between == pytest.approx(1 / 16)
    assert before.rows_per_day == pytest.approx(4 / 3)
    predicted = predict_outcomes(before, np.array(["b", "a", "new"]), kind="mean", horizon_days=7, max_rows=99)
    # half of the distance from the overall mean is trusted: (1/16) / (1/16 + 1/16)
    assert predicted.tolist() == pytest.approx([0.625, 0.375, 0.5])
    summed = predict_outcomes(before, np.array(["b"]), kind="sum", horizon_days=7, max_rows=99)
    assert summed.tolist() == pytest.approx([0.625 * 4 / 3 * 7])
    # what is left: half of between, and within over the 7 * 4/3 rows of the horizon
    variance = outcome_variance(before, kind="mean", horizon_days=7, max_rows=99, bounds=(0, 1))
    assert variance == pytest.approx(1 / 32 + 0.25 / (28 / 3))


def test_without_a_past_nothing_is_predicted() -> None:
    nobody = look_back(np.array(["a", "b"]), np.array([START, START]), np.array([1.0, np.nan]))
    assert nobody is None
    assert predict_outcomes(None, np.array(["a"]), kind="mean", horizon_days=7, max_rows=9).tolist() == [0]
    assert outcome_variance(None, kind="mean", horizon_days=7, max_rows=9, bounds=(-1, 1)) == 1.0
