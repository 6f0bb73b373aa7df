"""Where a propensity comes from: the log's own column first, else what is declared for the row's policy version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SOURCE: Final = "propensity_source"  # column that `fill_propensities` adds
COLUMN: Final = "column"  # its value where the log has the propensity; null where nothing gives one


@dataclass(frozen=True, slots=True)
class PropensitySource:
    """The whole distribution of a policy version, for rows that do not carry their propensity.

    `distribution` maps n rows (with the observation columns) to (n, K) probabilities in the order of the declared
    actions; a row of NaN where the source says nothing about it.
    """

    name: str  # for people, e.g. `design table design.csv`
    distribution: Callable[[pa.Table], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, repr=False)
class Filled:
    """Rows as they were, but `propensity` is filled and SOURCE says from where; who was filled and who was not."""

    table: pa.Table
    distribution: NDArray[np.float64] | None  # (n, K) as logged or declared, NaN rows where unknown
    n_filled: dict[str, int]  # by policy version
    n_left: dict[str, int]  # by policy version: still without a propensity


def fill_propensities(rows: pa.Table, *, sources: Mapping[str, PropensitySource], actions: tuple[str, ...]) -> Filled:
    """Give rows without `propensity` the probability that their version's source gives their action.

    A logged propensity is never replaced. A row stays without one where its version has no source, the source does
    not know its observation, its action is not declared, or the source gives the action no chance (the distribution is
    kept all the same, so that calibration finds the contradiction). `sources` is keyed by policy version.
    """
    missing = rows["propensity"].is_null().to_numpy()
    propensity = pc.fill_null(rows["propensity"], np.nan).to_numpy().copy()
    named: NDArray[np.object_] = np.array([COLUMN, None], object)[missing.astype(int)]
    whole = logged_distributions(rows, n_actions=len(actions))
    action = pc.fill_null(pc.index_in(rows["action"], pa.array(actions)), -1).to_numpy()
    for version, source in sources.items():
        index = np.flatnonzero(missing & pc.fill_null(pc.equal(rows["policy_version"], version), False).to_numpy())
        if len(index):
            found = source.distribution(rows.take(pa.array(index)))
            whole = np.full((len(missing), len(actions)), np.nan) if whole is None else whole
            whole[index] = np.where(np.isnan(whole[index]), found, whole[index])
            taken = np.where(action[index] >= 0, found[np.arange(len(index)), action[index]], np.nan)
            good = taken > 0  # false for NaN
            propensity[index[good]] = np.minimum(taken[good], 1.0)  # an exported head may round above 1
            named[index[good]] = source.name
    known = ~np.isnan(propensity)
    column = rows.schema.get_field_index("propensity")
    table = rows.set_column(column, "propensity", pa.array(propensity, mask=~known))
    return Filled(
        table=table.append_column(SOURCE, pa.array(named, pa.string())),
        distribution=whole,
        n_filled=_by_version(rows, missing & known),
        n_left=_by_version(rows, ~known),
    )


def logged_distributions(rows: pa.Table, *, n_actions: int) -> NDArray[np.float64] | None:
    """(n, K) column action_probabilities, NaN where null or of another length; None when no row has any."""
    if "action_probabilities" not in rows.column_names:
        return None
    column = rows["action_probabilities"].combine_chunks()
    if column.null_count == len(column):
        return None
    fits = pc.fill_null(pc.equal(pc.list_value_length(column), n_actions), False).to_numpy(zero_copy_only=False)
    if not fits.any():
        return None
    result = np.full((rows.num_rows, n_actions), np.nan)
    values = pc.list_flatten(column.filter(pa.array(fits))).to_numpy(zero_copy_only=False)
    result[fits] = values.reshape(-1, n_actions)
    return result


def _by_version(rows: pa.Table, chosen: NDArray[np.bool_]) -> dict[str, int]:
    counts = pc.value_counts(rows["policy_version"].filter(pa.array(chosen)).drop_null()).to_pylist()
    return dict(sorted((entry["values"], entry["counts"]) for entry in counts))
