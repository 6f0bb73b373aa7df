"""Later observations become rewards: one channel, an attribution window, a default when nothing arrives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from data_contracts.errors import UsageError

LONGEST_WINDOW = timedelta(days=3650)  # keeps occurred_at + window inside the range of a datetime


class RewardSettings(BaseModel):
    """`reward:` of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: str = "reward"
    attribution_window: timedelta = Field(
        timedelta(0), ge=timedelta(0), le=LONGEST_WINDOW, description="ISO 8601 duration, e.g. P7D"
    )
    default: float | None = Field(
        None, allow_inf_nan=False, description="reward when nothing arrived inside the window; None: required"
    )

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Channels that an outcome may name; the first is of those that name none."""
        return (self.channel,)


@dataclass(frozen=True, slots=True)
class RewardCounts:
    """Where every outcome went (they add up to `n_outcomes`), and how many matured rows had none.

    An outcome is judged in the order of the fields and counted once.
    """

    n_outcomes: int
    n_not_yet: int  # observed after the moment asked for
    n_orphan: int  # of no interaction that is visible at that moment
    n_other_channel: int
    n_outside_window: int  # observed before its interaction, or later than the attribution window
    n_repeated: int  # the row, or an earlier outcome, has given the reward already
    n_waiting: int  # its interaction has not matured
    n_used: int
    n_defaulted: int  # matured interactions that took the default
    n_missing: int  # matured interactions without reward and without default: no policy learns from them


@dataclass(frozen=True, slots=True)
class Rewarded:
    """Interactions with final `reward` (float64, null where unknown) and `matured` (bool), same rows and order."""

    table: pa.Table
    counts: RewardCounts


def attach_rewards(interactions: pa.Table, outcomes: pa.Table, *, reward: RewardSettings, as_of: datetime) -> Rewarded:
    """Join outcomes to their interactions as they were known at `as_of`.

    matured = occurred_at + window <= as_of. The reward of a matured row is the one in the row (an outcome
    observed at occurred_at), else the earliest outcome of the channel with
    occurred_at <= observed_at <= min(as_of, occurred_at + window), else the default, else null. Of two
    outcomes observed at the same moment the smaller value counts, so arrival order never decides.

    `interactions` (n rows, unique `interaction_id`), `outcomes` (m rows, schema of `outcome_schema`).
    Raises UsageError when `as_of` has no time zone.
    Caveat: dropping rows without outcome biases values when outcomes are missing for a reason; declare a
    default where silence means something.
    """
    moment, window = utc64(as_of), np.timedelta64(reward.attribution_window, "us")
    occurred = interactions["occurred_at"].to_numpy()
    matured = occurred + window <= moment
    in_row = interactions["reward"].to_numpy()  # nulls become NaN
    has_own = interactions["reward"].is_valid().to_numpy()
    row = _row_of(outcomes, interactions)
    value, observed = outcomes["value"].to_numpy(), outcomes["observed_at"].to_numpy()
    inside = _inside_window(row, observed, occurred, window)
    stages = {
        "n_not_yet": observed > moment,
        "n_orphan": row < 0,
        "n_other_channel": ~pc.fill_null(pc.equal(outcomes["channel"], reward.channel), False).to_numpy(),
        "n_outside_window": ~inside,
    }
    candidate = ~np.logical_or.reduce(list(stages.values()))
    first = _earliest(np.flatnonzero(candidate & ~_at(has_own, row)), row=row, observed=observed, value=value)
    stages["n_repeated"] = ~np.isin(np.arange(len(row)), first)
    stages["n_waiting"] = ~_at(matured, row)

    final, known = in_row.astype(np.float64), has_own.copy()
    final[row[first]], known[row[first]] = value[first], True
    lacking = matured & ~known
    if reward.default is not None:
        final[lacking], known[lacking] = reward.default, True
    column = pa.array(final, pa.float64(), mask=~(matured & known))
    defaulted = reward.default is not None
    counts = RewardCounts(
        n_outcomes=len(row),
        **_count_first(stages, len(row)),
        n_defaulted=int(lacking.sum()) if defaulted else 0,
        n_missing=0 if defaulted else int(lacking.sum()),
    )
    table = interactions.set_column(interactions.schema.get_field_index("reward"), "reward", column)
    return Rewarded(table.append_column("matured", pa.array(matured)), counts)


def utc64(moment: datetime) -> np.datetime64:
    """A moment as NumPy's microseconds in UTC; raises UsageError when it has no time zone."""
    if moment.tzinfo is None:
        raise UsageError(
            f"naive time {moment.isoformat()}: expected a time zone. Write it with an offset, e.g. "
            f"{moment.isoformat()}+00:00."
        )
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _row_of(outcomes: pa.Table, interactions: pa.Table) -> NDArray[np.int64]:
    """(m,) row of each outcome's interaction, -1 where there is none."""
    ids = interactions["interaction_id"].combine_chunks()
    found = pc.index_in(outcomes["interaction_id"], value_set=ids)
    return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int64)


def _inside_window(
    row: NDArray[np.int64],
    observed: NDArray[np.datetime64],
    occurred: NDArray[np.datetime64],
    window: np.timedelta64,
) -> NDArray[np.bool_]:
    known = row >= 0
    inside = np.zeros(len(row), np.bool_)
    start = occurred[row[known]]
    inside[known] = (observed[known] >= start) & (observed[known] <= start + window)
    return inside


def _at(values: NDArray[np.bool_], row: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`values` of each outcome's row; False where it has none."""
    return np.append(values, False)[row]


def _earliest(
    candidates: NDArray[np.int64],
    *,
    row: NDArray[np.int64],
    observed: NDArray[np.datetime64],
    value: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Indices of the one outcome that counts for each row that has a candidate."""
    order = candidates[np.lexsort((value[candidates], observed[candidates], row[candidates]))]
    is_first = np.diff(row[order], prepend=-1) != 0
    return np.compress(is_first, order)


def _count_first(stages: dict[str, NDArray[np.bool_]], n: int) -> dict[str, int]:
    """How many outcomes stopped at each stage; what passed them all was used."""
    left = np.ones(n, np.bool_)
    counts: dict[str, int] = {}
    for name, stopped in stages.items():
        counts[name] = int((left & stopped).sum())
        left &= ~stopped
    return {**counts, "n_used": int(left.sum())}
