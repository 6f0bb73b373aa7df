"""Caps by unit: worked by hand, never above the share, untouched where nothing is above it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.units.unit_caps import cap_unit_weights, capped_share, largest_total, rank_in_unit


def test_the_share_is_never_below_ten_even_ones() -> None:
    assert [capped_share(n, 0.01) for n in (1, 10, 50, 1000, 10**6)] == [1.0, 1.0, 0.2, 0.01, 0.01]


@pytest.mark.parametrize(
    ("totals", "share", "cap"),
    [
        # 98 units of 1 and two of 51: c = .1 (98 + 2 c)
        ([1.0] * 98 + [51.0, 51.0], 0.1, 9.8 / 0.8),
        # only the largest: c = .1 (99 + c)
        ([1.0] * 99 + [50.0], 0.1, 9.9 / 0.9),
        ([1.0] * 100, 0.1, np.inf),
        ([1.0] * 5 + [1000.0], 0.01, np.inf),  # ten even shares of six units are everything
    ],
)
def test_the_cap_by_hand(totals: list[float], share: float, cap: float) -> None:
    assert largest_total(np.array(totals), share=share) == pytest.approx(cap)


@given(
    totals=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=80),
    share=st.floats(0.005, 0.9),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_unit_keeps_more_than_its_share_and_others_keep_all(totals: list[float], share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(len(totals)), rng.integers(1, 5, len(totals)))
    parts = rng.random(len(unit)) + 0.1
    weight = np.array(totals)[unit] * parts / np.bincount(unit, weights=parts)[unit]
    capped = cap_unit_weights(weight, unit, share=share)
    allowed = capped_share(len(totals), share)
    sums, before = np.bincount(unit, weights=capped), np.bincount(unit, weights=weight)
    assert sums.max() <= allowed * sums.sum() * (1 + 1e-9)
    below = before < sums.max() * (1 - 1e-9)
    assert sums[below] == pytest.approx(before[below])  # only those at the cap were cut
    assert (capped <= weight * (1 + 1e-12)).all()


def test_what_needs_no_cap_is_the_same_array() -> None:
    weight = np.ones(300)
    assert cap_unit_weights(weight, np.arange(300), share=0.01) is weight


def test_k_units_of_any_rewards_move_a_capped_mean_by_at_most_k_shares() -> None:
    rng = np.random.default_rng()
    unit = np.concatenate([np.arange(400), rng.integers(5, size=3000)])  # five units own most rows
    weight = cap_unit_weights(np.ones(len(unit)), unit, share=0.03)
    honest = rng.random(len(unit))
    for k in (1, 3, 5):
        moved = np.where(unit < k, 1.0, honest)
        assert abs(np.average(moved - honest, weights=weight)) <= k * 0.03
        assert abs(np.average(moved - honest)) > k * 0.03  # without the cap


def test_the_earliest_rows_of_a_unit_rank_first_whatever_their_order() -> None:
    unit = np.array([1, 0, 1, 1, 0])
    at = np.array([3, 5, 1, 3, 2]).astype("datetime64[us]")
    ids = np.array(["b", "x", "z", "a", "y"])
    assert rank_in_unit(unit, at, ids).tolist() == [2, 1, 0, 1, 0]
    order = np.array([4, 2, 0, 3, 1])
    assert rank_in_unit(unit[order], at[order], ids[order]).tolist() == [0, 0, 2, 1, 1]
