"""50 fresh challengers in sequence, one slot each: how many of the promoted are no better?

One in five is better by 3.1 standard errors, the others are worth exactly what the champion is. The ledger gives each
slot its share of the year's .05; the betting branch's grows with the promotions so far (e-LOND).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pytest

from policies.gate.judging.judge import Alpha
from policies.gate.looks.alpha import LedgerSettings, PastSlot, allocate_alpha
from tests.benchmarks.gate_rates import Rate, fresh_seed, size
from tests.worlds.gate_compressed import draw_log, judge_log
from tests.worlds.gate_worlds import World, conversion_world

pytestmark = pytest.mark.benchmark

N_SLOTS: Final = 50
YEAR: Final = 0.05
GOOD_SHARE: Final = 0.2
SIGNAL: Final = 3.1  # lift / standard error of the good ones
N_ROWS: Final = 200_000
N_LOOKS: Final = 20
NEW_YEAR: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Year:
    n_false: int
    n_true: int
    n_good: int

    @property
    def false_share(self) -> float:
        return self.n_false / max(self.n_false + self.n_true, 1)


def _world(seed: list[int], *, good: bool) -> World:
    def draw(lift: float) -> World:
        return conversion_world(np.random.default_rng(seed), n_rows=N_ROWS, relative_lift=lift, n_looks=N_LOOKS)

    first = draw(0.1 if good else 0.0)
    return draw(0.1 * SIGNAL / (first.lift / first.oracle_error())) if good else first


def _year(seed: list[int]) -> Year:
    rng = np.random.default_rng(seed)
    settings, past = LedgerSettings(slots=N_SLOTS), list[PastSlot]()
    false, true, n_good = 0, 0, 0
    for slot in range(N_SLOTS):
        good, now = bool(rng.random() < GOOD_SHARE), NEW_YEAR + timedelta(days=7 * slot)
        allowed = allocate_alpha(past, settings=settings, alpha=YEAR, now=now)
        log = draw_log(_world([*seed, slot], good=good), rng)
        promoted = judge_log(log, rng, alpha=Alpha(planned=allowed.planned, anytime=allowed.anytime)).proven
        past.append(PastSlot(now, 1 / N_SLOTS, settings.period_days, promoted))
        true, false, n_good = true + (promoted and good), false + (promoted and not good), n_good + good
    return Year(false, true, n_good)


def test_few_of_the_promoted_are_no_better() -> None:
    seed, n = fresh_seed(), size("YEARS", 60)
    years = [_year([seed, i]) for i in range(n)]
    rate = float(np.mean([year.false_share for year in years]))
    power = sum(year.n_true for year in years) / sum(year.n_good for year in years)
    null = Rate(sum(year.n_false for year in years), sum(N_SLOTS - year.n_good for year in years))
    print(
        f"\nseed {seed}: {n} years of {N_SLOTS} fresh challengers, {GOOD_SHARE:.0%} of them good (z = {SIGNAL}):"
        f" FDR {rate:.2%}, power {power:.1%}, a challenger that is no better is promoted in {null}"
    )
    assert rate <= 0.05
    assert null.share <= 5 * YEAR / N_SLOTS  # e-LOND may give a slot a few shares, never .05
