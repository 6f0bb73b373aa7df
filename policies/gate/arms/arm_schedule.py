"""When the arms of a stage are looked at: moments that are fixed when it begins, so that nobody can choose them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray


def looks_taken(
    as_of: np.datetime64,
    *,
    started_at: np.datetime64,
    horizon: timedelta,
    attribution_window: timedelta,
    every: timedelta,
    n_looks: int,
) -> int:
    """Number of planned looks at a horizon up to `as_of`: look j is due at
    started_at + horizon + attribution_window + j every, j = 1 ... n_looks."""
    first = started_at + np.timedelta64(horizon + attribution_window, "us")
    return int(np.clip((as_of - first) // np.timedelta64(every, "us"), 0, n_looks))


def look_of_units(
    complete_at: NDArray[np.datetime64],
    *,
    started_at: np.datetime64,
    horizon: timedelta,
    attribution_window: timedelta,
    every: timedelta,
) -> NDArray[np.int64]:
    """(n,) the look, from 1, that reads each unit: the first one due at or after `complete_at`.

    It depends on when a unit entered, never on when somebody ran a command. Not decreasing where `complete_at` is not.
    """
    first = started_at + np.timedelta64(horizon + attribution_window, "us")
    step = np.timedelta64(every, "us")
    return np.maximum(1, -((first - complete_at) // step)).astype(np.int64)
