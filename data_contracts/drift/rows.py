"""The columns that drift monitors read, taken out of Arrow once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Column

WEIGHT: Final = "importance weight"  # 1 / (K propensity), of the uniform policy; no column can have this name
MATURED: Final = "matured"  # set by attach_rewards; where it is absent, all rows count as matured
NUMERIC: Final = ("number", "integer", "boolean")


@dataclass(frozen=True, slots=True, repr=False)
class Rows:
    """n rows: numbers as (n,) float64 with NaN for null or not finite, text as Arrow arrays of length n."""

    n: int
    numbers: dict[str, NDArray[np.float64]]
    text: dict[str, pa.Array]
    matured: NDArray[np.bool_]  # (n,) rows whose reward would be known by now

    def of_version(self, version: str | None) -> NDArray[np.bool_]:
        """Mask (n,) of the rows that `version` logged; all rows for None."""
        if version is None:
            return np.ones(self.n, np.bool_)
        mask: NDArray[np.bool_] = pc.equal(self.text["policy_version"], version).fill_null(False).to_numpy(False)
        return mask

    def __repr__(self) -> str:
        return f"Rows(n={self.n}, numbers={list(self.numbers)}, text={list(self.text)})"


def columns_read(columns: Iterable[Column], schema: pa.Schema) -> tuple[str, ...]:
    """What `take_rows` needs of a source with this schema."""
    observed = [c.name for c in columns if c.logical_type in (*NUMERIC, "string")]
    names = dict.fromkeys([*observed, "reward", "propensity", "action", "policy_version", MATURED])
    return tuple(name for name in names if name != MATURED or MATURED in schema.names)


def take_rows(table: pa.Table, columns: Iterable[Column], *, n_actions: int) -> Rows:
    """Observation `columns` of `table`, and its reward, action, policy version and importance weight."""
    numbers = {c.name: _floats(table[c.name]) for c in columns if c.logical_type in NUMERIC}
    text = {c.name: table[c.name].combine_chunks() for c in columns if c.logical_type == "string"}
    propensity = _floats(table["propensity"])
    propensity[~(propensity > 0)] = np.nan  # impossible ones are the contract's business
    numbers |= {"reward": _floats(table["reward"]), WEIGHT: 1 / (n_actions * propensity)}
    text |= {name: table[name].combine_chunks() for name in ("action", "policy_version")}
    matured = np.ones(table.num_rows, np.bool_)
    if MATURED in table.column_names:
        matured = np.asarray(table[MATURED].fill_null(False), np.bool_)
    return Rows(table.num_rows, numbers, text, matured)


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    values = np.array(column.cast(pa.float64()).to_numpy(), np.float64)
    values[~np.isfinite(values)] = np.nan
    return values
