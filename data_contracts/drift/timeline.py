"""Which rows are judged when: rows as they arrive, and their rewards as they become final."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from data_contracts.drift.cells import Cells, new_cells, reference_cells
from data_contracts.drift.source import Keys, place_in


@dataclass(frozen=True, slots=True, repr=False)
class Side:
    """Cells of the same rows' reference and of the new ones."""

    reference: Cells
    new: Cells


@dataclass(frozen=True, slots=True, repr=False)
class Timeline:
    """Steps are the moments at which a cell of arrivals or of rewards is judged, or one of each."""

    arrivals: Side  # what a row says when it comes: covariates, actions, weights
    rewards: Side
    moment: NDArray[np.int64]  # (S,) of each step
    n_waiting: int  # new rows that are in no cell yet


def lay_out(known: Keys, fresh: Keys, *, attribution_window: timedelta) -> Timeline:
    """Cells of the reference's rows `known`, and of those of `fresh` that are not among them.

    A row belongs to the batch it came with. Its reward belongs to the batch that brought the first row later than
    the reward's maturity (occurred_at + `attribution_window`), or to the newest until there is one: a reward that
    matures after another batch has come is judged with that one. A row of the reference whose reward was not final
    there has a new reward.
    """
    place = place_in(fresh, known)
    final_at = fresh.occurred_at + np.timedelta64(attribution_window, "us")
    reward_known = (place >= 0) & known.matured[place] if known.n else np.zeros(fresh.n, np.bool_)
    arrivals = Side(
        reference=reference_cells(known.occurred_at),
        new=new_cells(fresh.batch, fresh.occurred_at, place < 0),
    )
    rewards = Side(
        reference=reference_cells(known.occurred_at + np.timedelta64(attribution_window, "us"), known.matured),
        new=new_cells(_batch_of_reward(fresh, final_at), final_at, fresh.matured & ~reward_known),
    )
    return Timeline(
        arrivals=arrivals,
        rewards=rewards,
        moment=np.union1d(arrivals.new.moment, rewards.new.moment),
        n_waiting=int((place < 0).sum() - (arrivals.new.of_row >= 0).sum()),
    )


def _batch_of_reward(rows: Keys, final_at: NDArray[np.datetime64]) -> NDArray[np.int32]:
    """(n,) the first batch up to which a row was seen that is no earlier than `final_at`; not before the row's own."""
    n_batches = int(rows.batch.max(initial=0)) + 1
    latest = np.full(n_batches, np.iinfo(np.int64).min)
    np.maximum.at(latest, rows.batch, rows.occurred_at.view(np.int64))
    seen_until = np.maximum.accumulate(latest)
    first = np.searchsorted(seen_until, final_at.view(np.int64), side="left").astype(np.int32)
    return np.maximum(np.minimum(first, np.int32(n_batches - 1)), rows.batch)
