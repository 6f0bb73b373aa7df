"""train | validation | gate window: gate rows are later than everything a challenger is trained or chosen on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from data_contracts.errors import DegenerateData

TRAIN, VALIDATION, GATE, EXCLUDED = 0, 1, 2, 3  # codes of column `split`; EXCLUDED: across a border, or not usable


class SplitSettings(BaseModel):
    """Shares of the matured rows, in order of time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    holdout: float = Field(0.3, gt=0, lt=0.9, description="latest share, withheld for the gate's first look")
    validation: float = Field(0.15, gt=0, lt=0.5, description="share before it, for choosing seed and algorithm")


@dataclass(frozen=True, slots=True)
class Borders:
    """Moments between the parts: train <= train_until < validation <= trained_until < gate window."""

    train_until: datetime
    trained_until: datetime  # a later look reads matured rows (whole episodes) that begin after it
    n_straddling_episodes: int  # left out: across a border, or with a step that is not usable


def assign_splits(
    occurred_at: NDArray[np.datetime64],
    episode_id: NDArray[np.int64] | NDArray[np.str_] | None,
    matured: NDArray[np.bool_],
    *,
    settings: SplitSettings,
    evaluable: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.uint8], Borders]:
    """Cut the matured rows by time: the latest `holdout` share is the gate window, `validation` lies before it.

    `occurred_at`, `episode_id`, `matured`, `evaluable`: shape (n,), any order, times in UTC. Returns codes (n,)
    and the borders. Rows of one moment stay together; of the borders that leave no part empty, the ones
    closest to the shares are taken (the later one of two equally close). With `evaluable`, the shares are of
    evaluable rows, so that the gate window holds that share of what the gate can read; when none is
    evaluable they are of all matured rows, and the gate will refuse.
    With episodes (None: every row is one), an episode belongs to a part only when all its steps do.
    Raises DegenerateData when a part would be empty.
    """
    counted = matured if evaluable is None or not (matured & evaluable).any() else matured & evaluable
    moments, inverse = np.unique(occurred_at[matured], return_inverse=True)
    per_moment = np.bincount(inverse, weights=counted[matured], minlength=len(moments)).astype(np.int64)
    last_train, last_chosen = _border_indices(per_moment, settings)
    train_until, trained_until = moments[last_train], moments[last_chosen]
    code = (occurred_at > train_until).astype(np.uint8) + (occurred_at > trained_until).astype(np.uint8)
    code[~matured] = EXCLUDED
    n_straddling = _exclude_straddlers(code, episode_id) if episode_id is not None else 0
    _require_every_part(code, n_straddling)
    return code, Borders(_moment(train_until), _moment(trained_until), n_straddling)


def _border_indices(per_moment: NDArray[np.int64], settings: SplitSettings) -> tuple[int, int]:
    """Indices of the last moment of train and of validation; `per_moment` (k,): counted rows of each moment.

    Gate window and validation each keep at least one counted row, train at least one row.
    """
    n, up_to = int(per_moment.sum()), np.cumsum(per_moment)
    chosen = np.arange(1, len(per_moment) - 1)  # a moment for train before it, one for the gate after it
    first = per_moment[:1].sum()  # train keeps at least the first moment
    chosen = chosen[(up_to[chosen] < n) & (up_to[chosen] > first)]
    if not len(chosen):
        raise DegenerateData(
            f"too little to split in the snapshot: expected at least 3 moments with rows that the gate can read, "
            f"got {np.count_nonzero(per_moment)} ({n} rows). Ingest more of the log."
        )
    last_chosen = _closest(chosen, n - up_to[chosen], settings.holdout * n)
    train = np.flatnonzero(up_to[:last_chosen] < up_to[last_chosen])
    return _closest(train, up_to[last_chosen] - up_to[train], settings.validation * n), last_chosen


def _closest(candidates: NDArray[np.int64], counts: NDArray[np.int64], wanted: float) -> int:
    """The candidate whose count is closest to `wanted`, the last one of equals."""
    distance = np.abs(counts - wanted)
    return int(candidates[np.flatnonzero(distance == distance.min())[-1]])


def _exclude_straddlers(code: NDArray[np.uint8], episode_id: NDArray[np.int64] | NDArray[np.str_]) -> int:
    """Set EXCLUDED on every row of an episode whose rows differ in code; returns how many episodes."""
    _, episode = np.unique(episode_id, return_inverse=True)
    lowest = np.full(episode.max(initial=-1) + 1, EXCLUDED, np.uint8)
    highest = np.zeros_like(lowest)
    np.minimum.at(lowest, episode, code)
    np.maximum.at(highest, episode, code)
    straddles = lowest != highest
    code[straddles[episode]] = EXCLUDED
    return int(straddles.sum())


def _require_every_part(code: NDArray[np.uint8], n_straddling: int) -> None:
    sizes = np.bincount(code, minlength=4)
    if sizes[:3].min() == 0:
        raise DegenerateData(
            f"empty part in the split: expected rows in train, validation and gate window, got {sizes[TRAIN]}, "
            f"{sizes[VALIDATION]} and {sizes[GATE]} ({n_straddling} episodes lie across a border). "
            "Ingest more of the log, or change `split` in the task file."
        )


def _moment(value: np.datetime64) -> datetime:
    moment: datetime = value.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)
