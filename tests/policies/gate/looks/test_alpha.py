"""The ledger's alpha: by hand, never more than the period has, and the share of wrong promotions it promises."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.special import ndtri

from data_contracts.errors import BudgetSpent, UsageError
from policies.gate.looks.alpha import LedgerSettings, PastSlot, allocate_alpha

START = datetime(2026, 1, 1, tzinfo=UTC)


def _past(n: int, *, promoted: int = 0, slots: int = 50, every: int = 1, days: int = 365) -> list[PastSlot]:
    return [PastSlot(START + timedelta(days=i * every), 1 / slots, days, i < promoted) for i in range(n)]


def test_the_first_slot_by_hand() -> None:
    first = allocate_alpha([], settings=LedgerSettings(), alpha=0.05, now=START)
    assert first.planned == pytest.approx(0.8 * 0.05 / 50)
    assert first.anytime == pytest.approx(0.2 * 0.05 / 50)
    assert first.slot_alpha == pytest.approx(0.001)
    assert (first.slot_number, first.n_slots, first.n_promoted_before) == (1, 50, 0)
    assert (first.period_started_at, first.period_ends_at) == (START, START + timedelta(days=365))
    assert 1 / first.anytime == pytest.approx(5000)  # what the e-value has to reach


def test_promotions_buy_betting_more_and_the_planned_branch_nothing() -> None:
    """e-LOND: with 3 promotions before, the e-value has to reach a quarter; Bonferroni stays."""
    now = START + timedelta(days=30)
    slot = allocate_alpha(_past(10, promoted=3), settings=LedgerSettings(), alpha=0.05, now=now)
    assert (slot.slot_number, slot.n_promoted_before) == (11, 3)
    assert slot.planned == pytest.approx(0.04 / 50)
    assert slot.anytime == pytest.approx(4 * 0.01 / 50)
    strict = allocate_alpha(_past(10, promoted=3), settings=LedgerSettings(mode="strict"), alpha=0.05, now=now)
    assert (strict.planned, strict.anytime) == pytest.approx((0.04 / 50, 0.01 / 50))


def test_used_slots_are_used_and_free_with_the_next_period() -> None:
    settings, past = LedgerSettings(slots=3), _past(3, slots=3, promoted=1)
    ends = START + timedelta(days=365)
    with pytest.raises(BudgetSpent, match=r"no slot left .* got 3 that used 100% .* frees at 2027-01-01") as caught:
        allocate_alpha(past, settings=settings, alpha=0.05, now=ends - timedelta(seconds=1))
    assert caught.value.fields["frees_at"] == ends
    fresh = allocate_alpha(past, settings=settings, alpha=0.05, now=ends)
    assert (fresh.slot_number, fresh.n_promoted_before, fresh.period_started_at) == (1, 0, ends)


def test_a_period_starts_with_its_first_slot() -> None:
    """Slots on days 0, 9, 18, ... with periods of 10 days: the third slot starts a period, its end is on day 28."""
    past = _past(3, every=9, days=10)
    slot = allocate_alpha(past, settings=LedgerSettings(period_days=10), alpha=0.05, now=START + timedelta(days=19))
    assert (slot.slot_number, slot.period_ends_at) == (2, START + timedelta(days=28))


def test_other_settings_in_mid_period_buy_nothing() -> None:
    """Two of two slots used: fifty slots or a shorter period from now on would spend the same alpha again."""
    past, now = _past(2, slots=2), START + timedelta(days=5)
    for settings in (LedgerSettings(slots=50), LedgerSettings(slots=50, period_days=3, mode="strict")):
        with pytest.raises(BudgetSpent):
            allocate_alpha(past, settings=settings, alpha=0.05, now=now)
    half = allocate_alpha(past[:1], settings=LedgerSettings(slots=50), alpha=0.05, now=now)
    assert half.slot_number == 2
    with pytest.raises(BudgetSpent):
        allocate_alpha(past[:1], settings=LedgerSettings(slots=1), alpha=0.05, now=now)


@pytest.mark.parametrize("slots", [1, 3, 7, 50, 333])
def test_a_period_never_spends_more_than_alpha(slots: int) -> None:
    past: list[PastSlot] = []
    spent = 0.0
    while True:
        try:
            slot = allocate_alpha(past, settings=LedgerSettings(slots=slots, mode="strict"), alpha=0.05, now=START)
        except BudgetSpent:
            break
        spent += slot.slot_alpha
        past.append(PastSlot(START, 1 / slots, 365, True))
    assert len(past) == slots
    assert spent == pytest.approx(0.05)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_alpha_is_a_probability(alpha: float) -> None:
    with pytest.raises(UsageError, match="bad alpha of the ledger"):
        allocate_alpha([], settings=LedgerSettings(), alpha=alpha, now=START)


def test_fifty_challengers_a_year() -> None:
    """Ten of fifty truly better (z = 4.5), forty exactly equal, 4,000 years: a fixed 5 % promotes far more wrongly.

    All slots of a year share rows, so their scores are correlated (.3): the proof needs no independence. Branch E is
    the likelihood ratio exp(4 z - 8), an e-value with mean 1 under the null.
    """
    rng = np.random.default_rng(20260101)
    n_years, n = 4000, 50
    better = rng.permuted(np.tile(np.arange(n) < 10, (n_years, 1)), axis=1)
    common = rng.standard_normal((n_years, 1))
    z = np.sqrt(0.3) * common + np.sqrt(0.7) * rng.standard_normal((n_years, n)) + 4.5 * better
    fixed = _false_share(z > -ndtri(0.05), better)
    rates = {mode: _promote(z, LedgerSettings(mode=mode)) for mode in ("fdr", "strict")}  # type: ignore[arg-type]
    wrong = {mode: _false_share(promoted, better) for mode, promoted in rates.items()}
    power = {mode: promoted[better].mean() for mode, promoted in rates.items()}
    assert fixed > 0.1
    assert wrong["fdr"] <= 0.05
    assert (rates["strict"] & ~better).any(axis=1).mean() <= 0.05
    assert power["fdr"] >= power["strict"] > 0.85


def _promote(z: np.ndarray, settings: LedgerSettings) -> np.ndarray:
    """(years, slots) promotions, slot by slot; thresholds from the allocation for every number of promotions."""
    promoted = np.zeros(z.shape, bool)
    log_e = 4 * z - 8
    for slot in range(z.shape[1]):
        before = promoted[:, :slot].sum(axis=1)
        allowed = [
            allocate_alpha(_past(slot, promoted=d, every=0), settings=settings, alpha=0.05, now=START)
            for d in range(before.max(initial=0) + 1)
        ]
        planned = np.array([-ndtri(a.planned) for a in allowed])[before]
        anytime = np.array([-math.log(a.anytime) for a in allowed])[before]
        promoted[:, slot] = (z[:, slot] >= planned) | (log_e[:, slot] >= anytime)
    return promoted


def _false_share(promoted: np.ndarray, better: np.ndarray) -> float:
    wrong, all_of = (promoted & ~better).sum(axis=1), promoted.sum(axis=1)
    return float((wrong / np.maximum(all_of, 1)).mean())
