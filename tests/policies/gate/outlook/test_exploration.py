"""Days to a verdict against the closed form, and against logs whose e-process really runs."""

from __future__ import annotations

import math

import pytest

from data_contracts.errors import UsageError
from policies.gate.outlook.exploration import RATES, days_to_verdict, rows_needed

KNOWN = {
    "n_actions": 4, "lift": 0.01, "reward_variance": 0.05, "threshold": 1000.0, "rows_per_day": 5000.0, "changed": 0.3,
}  # fmt: skip


def closed_form(rate: float) -> float:
    """2 ln(6 * 1000) * 0.3 * 0.05 * (1 / p_champion + 1 / p_other) / 0.01^2, with p_other = rate / 4."""
    inverse = 1 / (1 - rate + rate / 4) + 4 / rate
    return 2 * math.log(6000) * 0.3 * 0.05 * inverse / 0.01**2


def test_rows_and_days_by_the_closed_form() -> None:
    found = days_to_verdict(**KNOWN)
    assert [option.rate for option in found] == [0.01, 0.05, 0.1, 0.2] == list(RATES)
    for option in found:
        assert option.rows == math.ceil(closed_form(option.rate))
        assert option.days == pytest.approx(option.rows / 5000)


def test_uniform_logging_by_hand() -> None:
    # rate 1: both actions have probability 1/4, so 0.3 * 0.05 * 8 = 0.12, and 2 ln 6000 * 1200 rows
    (option,) = days_to_verdict(**KNOWN, rates=(1.0,))
    assert option.rows == math.ceil(2 * math.log(6000) * 1200)


def test_more_exploration_and_more_lift_take_less_time() -> None:
    days = [option.days or 0 for option in days_to_verdict(**KNOWN)]
    assert days == sorted(days, reverse=True)
    twice = days_to_verdict(**{**KNOWN, "lift": 0.02})
    assert [option.days for option in twice] == pytest.approx([d / 4 for d in days], rel=1e-3)


def test_nothing_to_find_is_never_found() -> None:
    assert {option.rows for option in days_to_verdict(**{**KNOWN, "lift": 0.0})} == {None}
    assert {option.days for option in days_to_verdict(**{**KNOWN, "rows_per_day": 0.0})} == {None}


@pytest.mark.parametrize("wrong", [{"n_actions": 1}, {"changed": 0.0}, {"rates": (0.0,)}, {"rates": (1.5,)}])
def test_impossible_plans_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="no plan for exploration"):
        days_to_verdict(**{**KNOWN, **wrong})


def test_rows_needed_by_hand() -> None:
    assert rows_needed(2.0, lift=0.1, threshold=1000) == math.ceil(2 * math.log(6000) * 2 / 0.01)
    assert rows_needed(2.0, lift=0.0, threshold=1000) is None
    assert rows_needed(2.0, lift=-0.1, threshold=1000) is None
    assert rows_needed(0.0, lift=0.1, threshold=1000) is None
    assert rows_needed(math.inf, lift=0.1, threshold=1000) is None
