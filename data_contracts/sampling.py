"""Downsampled logs: how many interactions of its kind a logged one stands for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def sampling_weights(interactions: pa.Table) -> NDArray[np.float64]:
    """(n,) 1 / sampling_rate; 1 for a row without one, and for every row of a table without the column.

    Where negatives were kept with probability r and carry sampling_rate r, sum(weight * x) / sum(weight) estimates the
    mean of x over the full log (Hájek). Rewards stay as they are: only their weight changes.
    Caveat: variance grows with the spread of the weights, and rows kept with probability 0 cannot be weighted back.
    """
    if "sampling_rate" not in interactions.column_names:
        return np.ones(interactions.num_rows)
    return 1.0 / np.asarray(pc.fill_null(interactions["sampling_rate"], 1.0).to_numpy(), np.float64)
