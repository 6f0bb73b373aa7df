"""Evaluating a policy on a log that it may not fit everywhere: older rows, another policy's columns, gaps."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from policies.export import OnnxPolicy


def probabilities_of_complete_rows(policy: OnnxPolicy, observations: pa.Table) -> NDArray[np.float64]:
    """(n, K) probabilities; a row of NaN where a number that the policy reads is null or not finite in float32.

    All rows are NaN where a column that it reads is not there. Raises InputError for a column of another type.
    """
    result = np.full((observations.num_rows, policy.n_actions), np.nan)
    complete = _complete(policy, observations)
    if complete.any():
        result[complete] = policy.action_probabilities(observations.filter(pa.array(complete)))
    return result


def _complete(policy: OnnxPolicy, observations: pa.Table) -> NDArray[np.bool_]:
    complete = np.ones(observations.num_rows, np.bool_)
    for feature in policy.encoding.features:
        if feature.kind == "constant":
            continue
        if feature.column not in observations.column_names:
            return np.zeros_like(complete)
        column = observations[feature.column]
        if feature.kind != "category":
            complete &= column.is_valid().to_numpy()
        if pa.types.is_floating(column.type):
            with np.errstate(over="ignore"):
                complete &= np.isfinite(pc.fill_null(column, 0.0).to_numpy().astype(np.float32))
    return complete
