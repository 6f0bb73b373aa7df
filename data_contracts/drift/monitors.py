"""What is watched: means, products, shares and null rates, each the mean of one number over the rows of a cell.

A monitor is learnt from the reference once (bounds, categories, versions) and then measured in any cell. Blocks
measure several monitors together, because products of columns are one matrix product per cell.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.drift.records import Kind
from data_contracts.drift.rows import Rows

LARGEST: Final = 3.0  # standard deviations of a column that enter a product

Floats = NDArray[np.float64]
Cells = NDArray[np.integer]


class Block(Protocol):
    """k monitors of one kind."""

    @property
    def kind(self) -> Kind: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def measure(self, rows: Rows, cells: Cells, n_cells: int) -> tuple[Floats, Floats]:
        """Sums and numbers of rows, both (n_cells, k)."""
        ...

    def spread(self, rows: Rows) -> tuple[Floats, Floats]:
        """Variance of one row, and its largest distance from the mean, both (k,)."""
        ...


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean of a number, winsorised to [low, high]; of one version's rows, or of all."""

    kind: Kind
    name: str
    column: str
    version: str | None
    low: float
    high: float

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def values(self, rows: Rows) -> Floats:
        clipped = np.clip(rows.numbers[self.column], self.low, self.high)
        return np.where(rows.of_version(self.version), clipped, np.nan)

    def measure(self, rows: Rows, cells: Cells, n_cells: int) -> tuple[Floats, Floats]:
        values = self.values(rows)
        known = ~np.isnan(values)
        sums: Floats = np.bincount(cells[known], weights=values[known], minlength=n_cells).astype(np.float64)
        counts: Floats = np.bincount(cells[known], minlength=n_cells).astype(np.float64)
        return sums[:, None], counts[:, None]

    def spread(self, rows: Rows) -> tuple[Floats, Floats]:
        values = self.values(rows)
        values = values[~np.isnan(values)]
        return np.array([values.var()]), np.array([np.abs(values - values.mean()).max()])


class _Shares(ABC):
    """Shares of k values; subclasses name them and say which one a row has."""

    __slots__ = ()

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The k monitors."""

    @abstractmethod
    def codes(self, rows: Rows) -> NDArray[np.int64]:
        """(n,) index into `names`, -1 outside the block."""

    def measure(self, rows: Rows, cells: Cells, n_cells: int) -> tuple[Floats, Floats]:
        codes, k = self.codes(rows), len(self.names)
        inside = codes >= 0
        # one more code than names: "none of them" counts as a row, but is no monitor
        flat = np.bincount(cells[inside] * (k + 1) + codes[inside], minlength=n_cells * (k + 1))
        table: Floats = flat.reshape(n_cells, k + 1).astype(np.float64)
        return table[:, :k], np.repeat(table.sum(axis=1, keepdims=True), k, axis=1)

    def spread(self, rows: Rows) -> tuple[Floats, Floats]:
        sums, counts = self.measure(rows, np.zeros(rows.n, np.int64), 1)
        share = sums[0] / np.maximum(counts[0], 1)
        return share * (1 - share), np.ones(len(share))


@dataclass(frozen=True, slots=True)
class TextShares(_Shares):
    """Shares of the most frequent `values` of a text column, and of all others together when `others`."""

    kind: Kind
    column: str
    version: str | None
    values: tuple[str, ...]
    others: bool

    @property
    def names(self) -> tuple[str, ...]:
        of = f" of policy {self.version}" if self.version is not None else ""
        shown = (*self.values, "others") if self.others else self.values
        return tuple(f"share of {self.column} {value}{of}" for value in shown)

    def codes(self, rows: Rows) -> NDArray[np.int64]:
        column = rows.text[self.column]
        index = pc.index_in(column, pa.array(self.values, pa.string())).fill_null(len(self.values)).to_numpy()
        outside = column.is_null().to_numpy(False) | ~rows.of_version(self.version)
        return np.where(outside, -1, index).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Departures(_Shares):
    """Share of rows whose number is not the one value that the reference has."""

    kind: Kind
    name: str
    column: str
    version: str | None
    constant: float

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def codes(self, rows: Rows) -> NDArray[np.int64]:
        values = rows.numbers[self.column]
        same = np.abs(values - self.constant) <= 1e-9 * max(1.0, abs(self.constant))
        return np.where(np.isnan(values) | ~rows.of_version(self.version), -1, same).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Missing(_Shares):
    """Share of rows without a value; of the reward, among matured rows."""

    column: str
    kind: Kind = "null"

    @property
    def names(self) -> tuple[str, ...]:
        return (f"share without {self.column}",)

    def codes(self, rows: Rows) -> NDArray[np.int64]:
        if self.column in rows.numbers:
            present = ~np.isnan(rows.numbers[self.column])
        else:
            present = np.asarray(rows.text[self.column].is_valid().to_numpy(False), np.bool_)
        due = rows.matured if self.column == "reward" else np.ones(rows.n, np.bool_)
        return np.where(due, present, -1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Means of all products of two standardised columns: a rotation shows in no single column.

    Columns are cut at LARGEST deviations, so that the largest product is known and not merely the largest seen: of
    two columns that are rarely not zero, the reference may never have seen both at once.
    """

    columns: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    kind: Kind = "pair"

    @property
    def names(self) -> tuple[str, ...]:
        k = len(self.columns)
        return tuple(f"{self.columns[i]} x {self.columns[j]}" for i in range(k) for j in range(i + 1, k))

    def standardised(self, rows: Rows) -> Floats:
        """(n, d), 0 where there is no value."""
        bounds = zip(self.columns, self.low, self.high, self.center, self.scale, strict=True)
        columns = [(np.clip(rows.numbers[c], low, high) - mid) / scale for c, low, high, mid, scale in bounds]
        return np.nan_to_num(np.clip(np.stack(columns, axis=1), -LARGEST, LARGEST), nan=0.0)

    def measure(self, rows: Rows, cells: Cells, n_cells: int) -> tuple[Floats, Floats]:
        order = np.argsort(cells, kind="stable")
        counts = np.bincount(cells, minlength=n_cells)
        ends, present = np.cumsum(counts), np.flatnonzero(counts)
        values = self.standardised(rows)[order]
        upper = np.triu_indices(len(self.columns), 1)
        sums = np.zeros((n_cells, len(upper[0])))
        for cell in present:
            part = values[ends[cell] - counts[cell] : ends[cell]]
            sums[cell] = (part.T @ part)[upper]
        return sums, np.repeat(counts[:, None].astype(np.float64), sums.shape[1], axis=1)

    def spread(self, rows: Rows) -> tuple[Floats, Floats]:
        values = self.standardised(rows)
        upper = np.triu_indices(values.shape[1], 1)
        mean = (values.T @ values)[upper] / rows.n
        variance = ((values**2).T @ values**2)[upper] / rows.n - mean**2
        largest = np.abs(values).max(axis=0)
        return np.maximum(variance, 0.0), np.outer(largest, largest)[upper] + np.abs(mean)


@dataclass(frozen=True, slots=True, repr=False)
class Measured:
    """M monitors in C cells: `mean` (C, M), `count` (C, M) of the rows behind each mean."""

    mean: Floats
    count: Floats


class Tally:
    """Sums of every monitor of `blocks` over the rows of each of `n_cells` cells, chunk by chunk."""

    def __init__(self, blocks: tuple[Block, ...], n_cells: int) -> None:
        self._blocks, self._n_cells = blocks, n_cells
        n_monitors = sum(len(block.names) for block in blocks)
        self._sums, self._counts = np.zeros((n_cells, n_monitors)), np.zeros((n_cells, n_monitors))

    def add(self, rows: Rows, cells: Cells) -> None:
        """`cells` (n,) number the rows' cells from 0; a negative one belongs to none."""
        if not self._blocks or not (cells >= 0).any():
            return
        n = self._n_cells
        numbered = np.where(cells < 0, n, cells)  # rows of no cell go to one more, which is dropped
        parts = [block.measure(rows, numbered, n + 1) for block in self._blocks]
        self._sums += np.concatenate([sums[:n] for sums, _ in parts], axis=1)
        self._counts += np.concatenate([counts[:n] for _, counts in parts], axis=1)

    def measured(self) -> Measured:
        mean = np.divide(self._sums, self._counts, out=np.full_like(self._sums, np.nan), where=self._counts > 0)
        return Measured(mean=mean, count=self._counts)
