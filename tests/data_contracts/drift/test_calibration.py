"""The short version of tests/benchmarks/test_drift_calibration.py: few months, the same world and code path."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.drift_world import ONSET, Shift, month, walk

N_MONTHS = 8  # per world; the budget is 5 % and 20 % of months, and what is measured lies far below it


@pytest.mark.parametrize(("tau", "weekly"), [(0.0, False), (0.05, False), (0.05, True)])
def test_clean_months_raise_no_alarm(tau: float, weekly: bool) -> None:
    for seed in range(N_MONTHS):
        walked = walk(*month(seed, n=500, tau=tau, weekly=weekly))
        assert not walked.block.alarm.any(), seed
        assert not walked.warn.alarm.any(), seed
        assert (walked.warn.statistic.sum(axis=1) < 10).mean() > 0.8  # an incident of a world like this would close


@pytest.mark.parametrize(("shift", "days"), [("mean", 5), ("rotation", 3), ("action", 5)])
def test_shifts_are_found_in_time(shift: Shift, days: int) -> None:
    delays = []
    for seed in range(3):
        alarm = np.flatnonzero(walk(*month(100 + seed, n=2000, tau=0.0, shift=shift)).block.alarm.any(axis=1))
        delays.append(int(alarm[0]) - ONSET + 1 if len(alarm) else 99)
    assert min(delays) >= 1
    assert np.median(delays) <= days


def test_a_weekly_pattern_is_expected_by_weekday() -> None:
    walked = walk(*month(200, n=2000, tau=0.0, weekly=True))
    moved = walked.names.index("mean x00")  # 0.3 sd higher on weekends
    level = walked.expected[:, moved].round(1)
    assert sorted(set(level.tolist())) == [0.0, 0.3]
    assert np.abs(walked.z[:, moved]).max() < 5  # 13 deviations, had every day the same mean
    assert np.nanmax(walked.block.statistic) < 150
