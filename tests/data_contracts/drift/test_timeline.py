"""When a reward is judged: with the batch that was the newest when it became final."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from data_contracts.drift.cells import BATCH
from data_contracts.drift.source import Keys
from data_contracts.drift.timeline import lay_out

START = np.datetime64("2026-03-01", "us")
DAY = np.timedelta64(1, "D")
N = 60  # rows a day


def days(*numbers: int, batch: dict[int, int] | None = None, matured_until: int | None = None) -> Keys:
    """N rows on each day, in the batch of the day (day + 1 unless named), with ids that follow from the day."""
    day = np.repeat(numbers, N)
    within = np.tile(np.arange(N), len(numbers))
    return Keys(
        id_hash=(day * 1_000 + within).astype(np.uint64),
        occurred_at=START + day * DAY + within * np.timedelta64(1, "m"),
        batch=np.array([(batch or {}).get(int(d), int(d) + 1) for d in day], np.int32),
        matured=np.ones(len(day), np.bool_) if matured_until is None else day <= matured_until,
    )


def batches_of(moment: np.ndarray) -> list[int]:
    return (moment // BATCH).tolist()


def test_without_a_window_a_reward_is_judged_with_its_row() -> None:
    laid = lay_out(days(*range(10)), days(*range(13)), attribution_window=timedelta(0))
    assert laid.rewards.new.of_row.tolist() == laid.arrivals.new.of_row.tolist()
    assert batches_of(laid.moment) == [11, 12, 13]


def test_a_reward_that_matures_under_a_later_batch_is_judged_with_that_one() -> None:
    # a window of three days: day 10's rewards are final on day 13, under the batch of day 13
    known = days(*range(10))
    fresh = days(*range(14), matured_until=10)
    laid = lay_out(known, fresh, attribution_window=timedelta(days=3))
    of_day_10 = fresh.occurred_at.astype("datetime64[D]") == START.astype("datetime64[D]") + 10
    cells = laid.rewards.new.of_row[of_day_10]
    assert set(cells.tolist()) == {0}
    assert batches_of(laid.rewards.new.moment) == [14]
    assert batches_of(laid.arrivals.new.moment) == [11, 12, 13, 14]
    assert laid.moment.tolist() == laid.arrivals.new.moment.tolist()  # judged in the same step as day 13's arrivals


def test_a_reward_that_the_reference_did_not_know_yet_is_new() -> None:
    known = days(*range(10), matured_until=6)  # trained on day 9 with a window of three days
    fresh = days(*range(11), matured_until=7)
    laid = lay_out(known, fresh, attribution_window=timedelta(days=3))
    of_day_7 = fresh.occurred_at.astype("datetime64[D]") == START.astype("datetime64[D]") + 7
    assert (laid.rewards.new.of_row >= 0).tolist() == of_day_7.tolist()
    assert batches_of(laid.rewards.new.moment) == [11]
    assert (laid.rewards.reference.of_row >= 0).sum() == 7 * N


def test_a_final_reward_that_no_later_row_has_followed_is_judged_with_the_newest_batch() -> None:
    laid = lay_out(days(*range(10)), days(*range(12)), attribution_window=timedelta(days=30))
    assert set(batches_of(laid.rewards.new.moment)) == {12}


def test_every_final_reward_is_judged_once_however_batches_come() -> None:
    # a backfill: days 10 and 11 come in batch 20, after day 12 in batch 13
    known = days(*range(10))
    fresh = days(*range(13), batch={10: 20, 11: 20})
    laid = lay_out(known, fresh, attribution_window=timedelta(days=1))
    new = ~np.isin(fresh.id_hash, known.id_hash)
    assert (laid.rewards.new.of_row[new] >= 0).all()
    assert not (laid.rewards.new.of_row[~new] >= 0).any()
    assert set(batches_of(laid.rewards.new.moment)) == {20}  # of day 12's, no later row was seen before batch 20


def test_rows_that_wait_for_a_cell_are_counted() -> None:
    fresh = days(*range(11))
    few = Keys(*(getattr(fresh, f)[: 10 * N + 20] for f in Keys.__slots__))
    assert lay_out(days(*range(10)), few, attribution_window=timedelta(0)).n_waiting == 20
