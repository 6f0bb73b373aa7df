"""Clean months that alarm, and days until a shift does: the e-detector beside the checks that drift tools ship with.

Every month is a fresh world (its seed is printed) walked by the detector's own code path.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks.drift_world import ONSET, Shift, month, walk
from tests.benchmarks.naive_drift import NAMES, daily_flags

pytestmark = pytest.mark.benchmark

N_MONTHS = 120  # one false alarm among them still has an upper 95 % limit below 5 %
N_SHIFTED = 20
N_NAIVE = 10
NEVER = 99

WORLDS: dict[str, dict[str, Any]] = {
    f"{n:,} rows a day, tau {tau}{', weekly' if weekly else ''}{f', {days} reference days' if days != 30 else ''}": {
        "n": n,
        "tau": tau,
        "weekly": weekly,
        "reference_days": days,
    }
    for n, tau, weekly, days in [
        (500, 0.0, False, 30),
        (500, 0.05, False, 30),
        (2_000, 0.0, False, 30),
        (2_000, 0.05, False, 30),
        (500, 0.05, True, 30),
        (2_000, 0.0, True, 30),
        (2_000, 0.05, True, 30),
        (2_000, 0.05, True, 14),  # too short to know weekdays: the pattern is variation between days
    ]
}


def upper_limit(k: int, n: int) -> float:
    """One-sided upper 95 % limit of a rate (Clopper & Pearson 1934)."""
    return float(stats.beta.ppf(0.95, k + 1, n - k)) if k < n else 1.0


@pytest.mark.parametrize("world", WORLDS)
def test_clean_months(world: str) -> None:
    first = 10_000 * list(WORLDS).index(world)
    walks = [walk(*month(first + i, **WORLDS[world])) for i in range(N_MONTHS)]
    blocks = sum(bool(w.block.alarm.any()) for w in walks)
    warns = sum(bool(w.warn.alarm.any()) for w in walks)
    largest = max(float(w.block.statistic.max()) for w in walks)
    print(
        f"\n{world}: {blocks} of {N_MONTHS} clean months at BLOCK (upper 95 % limit "
        f"{upper_limit(blocks, N_MONTHS):.1%}), {warns} at WARN ({upper_limit(warns, N_MONTHS):.1%}); largest "
        f"statistic {largest:.1f}; seeds {first} ... {first + N_MONTHS - 1}"
    )
    assert upper_limit(blocks, N_MONTHS) <= 0.05
    assert upper_limit(warns, N_MONTHS) <= 0.20


@pytest.mark.parametrize("weekly", [False, True])
@pytest.mark.parametrize("tau", [0.0, 0.05])
@pytest.mark.parametrize(("shift", "days"), [("mean", 5), ("rotation", 3), ("action", 5)])
def test_days_until_a_shift_is_found(shift: Shift, days: int, tau: float, weekly: bool) -> None:
    first = 500_000 + 1_000 * ["mean", "rotation", "action"].index(shift) + int(1_000 * tau)
    walks = [walk(*month(first + i, n=2_000, tau=tau, weekly=weekly, shift=shift)) for i in range(N_SHIFTED)]
    alarms = np.array([w.block.alarm.any(axis=1) for w in walks])
    delays = [_first(alarm[ONSET:]) for alarm in alarms]
    print(
        f"\n{shift}, 2,000 rows a day, tau {tau}{', weekly' if weekly else ''}: found after {np.median(delays):g} days "
        f"(median; {min(delays)} ... {max(delays)}, {NEVER}: not within 10), limit {days}; seeds {first} ... "
        f"{first + N_SHIFTED - 1}"
    )
    assert not alarms[:, :ONSET].any()
    assert np.median(delays) <= days


@pytest.mark.parametrize("tau", [0.0, 0.05])
def test_beside_the_naive_checks(tau: float) -> None:
    """What people run today alarms on clean days, or never; printed for comparison, so little of it is asserted."""
    first, named = 700_000, (*NAMES, "e-detector, BLOCK threshold")
    clean = [_flags(first + i, tau, "none") for i in range(N_NAIVE)]
    shifts: tuple[Shift, ...] = ("mean", "rotation", "action")
    found = {shift: [_flags(first + 100 + i, tau, shift) for i in range(N_NAIVE)] for shift in shifts}
    print(f"\n2,000 rows a day, tau {tau}, {N_NAIVE} months each; seeds {first} ... and {first + 100} ...")
    print(f"{'check':38} clean months | alarm days of 30 | mean .2 sd | rotation | action mix: found (median day)")
    for name in named:
        false = np.array([flags[name] for flags in clean])
        cells = [_found([flags[name] for flags in found[shift]]) for shift in shifts]
        print(f"{name:38} {false.any(axis=1).mean():12.0%} | {false.sum(axis=1).mean():16.1f} | {' | '.join(cells)}")
    naive = np.array([flags[NAMES[0]] for flags in clean])
    ours = np.array([flags[named[-1]] for flags in clean])
    assert naive.sum(axis=1).mean() > 15 > 0 == ours.sum()


def _flags(seed: int, tau: float, shift: Shift) -> dict[str, np.ndarray]:
    reference, new = month(seed, n=2_000, tau=tau, shift=shift)
    return {
        **daily_flags(reference, new),
        "e-detector, BLOCK threshold": walk(reference, new).block.alarm.any(axis=1),
    }


def _found(months: list[np.ndarray]) -> str:
    """Share of months found after the onset, and the median day; (FA) where most alarm before it already."""
    if np.mean([flags[:ONSET].any() for flags in months]) > 0.5:
        return "(FA)"
    delays = [_first(flags[ONSET:]) for flags in months]
    return f"{np.mean(np.array(delays) < NEVER):.0%} ({np.median(delays):g})" if min(delays) < NEVER else "0 %"


def _first(alarm: np.ndarray) -> int:
    return int(np.argmax(alarm)) + 1 if alarm.any() else NEVER
