"""Which monitors a reference gives: bounds, categories, constants and versions come from its rows alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Column
from data_contracts.drift.monitors import Block, Departures, Mean, Missing, Pairs, TextShares
from data_contracts.drift.records import Kind
from data_contracts.drift.rows import WEIGHT, Rows

WINSOR: Final = (0.005, 0.995)  # quantiles of the reference: one wild value moves no mean
MAXIMUM_VALUES: Final = 20  # of a text column that are watched one by one
MAXIMUM_ACTIONS: Final = 50
MAXIMUM_PAIRED: Final = 20  # columns; 190 products
SAME: Final = 1e-6  # relative difference of propensities that are equal


def learn_monitors(rows: Rows, columns: tuple[Column, ...], *, reward_may_be_missing: bool) -> tuple[Block, ...]:
    """Blocks of monitors for observation `columns`, rewards, actions and importance weights of the reference.

    Reward, actions and weights are watched per policy version: a new version is meant to choose and earn
    differently. `reward_may_be_missing`: watch the share of matured rows without reward, which a contract that
    requires rewards in the row makes impossible.
    """
    optional = [c.name for c in columns if not c.required and c.logical_type != "timestamp"]
    versions = [v for v in pc.unique(rows.text["policy_version"]).to_pylist() if v is not None]
    means = [m for c in columns if c.name in rows.numbers for m in _mean(rows, c.name, kind="mean", version=None)]
    blocks: list[Block] = [*means]
    blocks += [Missing(name) for name in optional]
    if reward_may_be_missing:
        blocks.append(Missing("reward", kind="pipeline"))
    blocks += [_shares(rows, c.name, "category", None, MAXIMUM_VALUES) for c in columns if c.name in rows.text]
    blocks += _pairs(rows, [m for m in means if isinstance(m, Mean)])
    for version in sorted(versions):
        blocks += _mean(rows, "reward", kind="reward", version=version)
        blocks.append(_shares(rows, "action", "action", version, MAXIMUM_ACTIONS))
        blocks += _mean(rows, WEIGHT, kind="weight", version=version)
    return tuple(b for b in blocks if b.names)


def policies_read_covariates(rows: Rows) -> bool:
    """Whether some version took an action with one propensity here and another there: it looks at the observation."""
    weight = rows.numbers[WEIGHT]
    versions = rows.text["policy_version"].dictionary_encode().indices.fill_null(-1).to_numpy(False)
    actions = rows.text["action"].dictionary_encode().indices.fill_null(-1).to_numpy(False)
    known = ~np.isnan(weight)
    pairs = np.stack([versions[known], actions[known]], axis=1)
    _, pair = np.unique(pairs, axis=0, return_inverse=True)
    low, high = np.full(pair.max(initial=-1) + 1, np.inf), np.full(pair.max(initial=-1) + 1, -np.inf)
    np.minimum.at(low, pair, weight[known])
    np.maximum.at(high, pair, weight[known])
    return bool((high > low * (1 + SAME)).any())


def _mean(rows: Rows, column: str, *, kind: Kind, version: str | None) -> Iterator[Mean | Departures]:
    """The winsorised mean; the share of departures where the reference has one value only; nothing without values."""
    values = rows.numbers[column][rows.of_version(version)]
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return
    of = f" of policy {version}" if version is not None else ""
    low, high = _bounds(values)
    if low == high:
        yield Departures(kind, f"share of {column}{of} other than {low:g}", column, version, low)
    else:
        yield Mean(kind, f"mean {column}{of}", column, version, low, high)


def _bounds(values: NDArray[np.float64]) -> tuple[float, float]:
    """Winsorising bounds; the extremes when the quantiles fall together (a column that is rarely not zero)."""
    low, high = np.quantile(values, WINSOR, method="inverted_cdf")  # values that occur
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)


def _shares(rows: Rows, column: str, kind: Kind, version: str | None, limit: int) -> TextShares:
    values = rows.text[column].filter(rows.of_version(version)).drop_null()
    counted = sorted((-c["counts"], c["values"]) for c in pc.value_counts(values).to_pylist())
    return TextShares(kind, column, version, tuple(v for _, v in counted[:limit]), others=bool(counted))


def _pairs(rows: Rows, means: list[Mean]) -> list[Pairs]:
    """Products of the columns with the largest winsorised variance; none when fewer than two columns vary."""
    spread = {m: (float(np.nanmean(v)), float(np.nanstd(v))) for m in means for v in [m.values(rows)]}
    chosen = sorted((m for m in means if spread[m][1] > 0), key=lambda m: (-spread[m][1], m.column))[:MAXIMUM_PAIRED]
    if len(chosen) < 2:
        return []
    return [
        Pairs(
            columns=tuple(m.column for m in chosen),
            low=tuple(m.low for m in chosen),
            high=tuple(m.high for m in chosen),
            center=tuple(spread[m][0] for m in chosen),
            scale=tuple(spread[m][1] for m in chosen),
        )
    ]
