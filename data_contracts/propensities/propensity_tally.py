"""The propensities of a log, counted: all that judging them needs, in memory that does not grow with the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.propensities.propensity_calibration import CalibrationBins, calibration_bins
from data_contracts.propensities.propensity_health import TalliedWeights
from data_contracts.propensities.propensity_sources import COLUMN, SOURCE, logged_distributions

COLUMNS: Final = ("policy_version", "action", "propensity")  # needed
OPTIONAL: Final = ("sampling_rate", "action_probabilities", SOURCE)  # used where they are there
# Rows of a cell have the same leading bits of their propensity's mantissa, so they differ by less than 1 / 1024.
DROPPED_BITS: Final = 52 - 10

KEYS: Final = ("policy_version", "action", "source", "bucket", "sampling_rate")
SUMS: Final = {"n": "sum", "least": "min", "largest": "max", "inverse": "sum"}
SCHEMA: Final = pa.schema(
    [
        ("policy_version", pa.string()),
        ("action", pa.string()),
        ("source", pa.string()),  # null: nothing gave a propensity
        ("bucket", pa.int64()),  # leading bits of the propensity; null: no usable one
        ("sampling_rate", pa.float64()),
        ("n", pa.int64()),
        ("least", pa.float64()),
        ("largest", pa.float64()),
        ("inverse", pa.float64()),  # sum of 1 / propensity
    ]
)


@dataclass(frozen=True, slots=True, repr=False)
class VersionPropensities:
    """What one policy version logged; m cells with a propensity in (0, 1], `actions` those it ever took with one."""

    version: str
    n: int
    n_missing: int  # rows without a usable propensity
    sources: dict[str, int]  # rows by where their propensity comes from
    actions: tuple[str, ...]
    action: NDArray[np.int64]  # (m,) index into `actions`
    counts: NDArray[np.int64]  # (m,)
    least: NDArray[np.float64]  # (m,) propensities of a cell lie between, inclusive
    largest: NDArray[np.float64]  # (m,)
    inverse: NDArray[np.float64]  # (m,) sum of 1 / propensity
    shares: NDArray[np.float64]  # (m,) smallest sampling rate / the cell's; 1 where nothing was left out
    bins: CalibrationBins | None  # of the rows whose whole distribution is known

    @property
    def n_known(self) -> int:
        return self.n - self.n_missing

    @property
    def lacks_support(self) -> bool:
        """A whole distribution gives a declared action no chance."""
        return self.bins is not None and self.bins.n_partial > 0

    @property
    def downsampled(self) -> bool:
        return bool((self.shares < 1).any())

    def weights(self, inside: NDArray[np.bool_], *, n_actions: int) -> tuple[TalliedWeights, TalliedWeights]:
        """1{row of `inside`} / (n_actions p), rounded down and rounded up; `inside` is a mask of the cells (m,)."""
        least = np.where(inside, 1 / (n_actions * self.largest), 0.0)
        largest = np.where(inside, 1 / (n_actions * self.least), 0.0)
        return TalliedWeights(least, self.counts, self.shares), TalliedWeights(largest, self.counts, self.shares)

    def mean_weight(self, inside: NDArray[np.bool_], *, n_actions: int) -> float:
        """The exact mean of those weights, over the full log where this one is downsampled."""
        total = float((self.shares * self.counts).sum())
        return float((self.shares * self.inverse)[inside].sum()) / (n_actions * total)

    def __repr__(self) -> str:
        return f"VersionPropensities({self.version!r}, n={self.n}, cells={len(self.counts)})"


@dataclass(frozen=True, slots=True, repr=False)
class PropensityTally:
    """Counts of all rows added so far, whatever their order and their chunks.

    A cell keeps the least and the largest of its propensities: exact where a log has few values, else within 0.1 %;
    the judges round against their own verdict. Memory: at most 1,024 cells per action and factor of two.
    """

    actions: tuple[str, ...]  # declared
    cells: pa.Table  # of SCHEMA
    bins: Mapping[str, CalibrationBins]  # by policy version

    @classmethod
    def empty(cls, actions: tuple[str, ...]) -> PropensityTally:
        return cls(actions, SCHEMA.empty_table(), {})

    @classmethod
    def of(cls, chunks: Iterable[pa.Table], *, actions: tuple[str, ...]) -> PropensityTally:
        tally = cls.empty(actions)
        for chunk in chunks:
            tally = tally.add(chunk)
        return tally

    def add(self, rows: pa.Table, *, distribution: NDArray[np.float64] | None = None) -> PropensityTally:
        """Also count `rows` (n) with COLUMNS and any of OPTIONAL.

        `distribution` (n, K) in the order of `actions`, a row of NaN where unknown; by default the logged column.
        """
        if distribution is None:
            distribution = logged_distributions(rows, n_actions=len(self.actions))
        bins = {} if distribution is None else _bins(rows, self.actions, distribution)
        return self.merge(PropensityTally(self.actions, _grouped(_cells(rows)), bins))

    def merge(self, other: PropensityTally) -> PropensityTally:
        bins = {**self.bins}
        for version, found in other.bins.items():
            bins[version] = bins[version].merge(found) if version in bins else found
        return PropensityTally(self.actions, _grouped(pa.concat_tables([self.cells, other.cells])), bins)

    def versions(self) -> tuple[VersionPropensities, ...]:
        """By name; rows without a policy version are left out (the contract's `required` judges them)."""
        names = sorted(v for v in pc.unique(self.cells["policy_version"]).to_pylist() if v is not None)
        return tuple(self._of_version(name) for name in names)

    @property
    def n(self) -> int:
        return int(pc.sum(self.cells["n"]).as_py() or 0)

    def _of_version(self, version: str) -> VersionPropensities:
        mine = self.cells.filter(pc.equal(self.cells["policy_version"], version))
        usable = mine.filter(pc.is_valid(mine["bucket"])).sort_by([(key, "ascending") for key in KEYS])
        n, n_known = (int(pc.sum(t["n"]).as_py() or 0) for t in (mine, usable))
        by_source = usable.group_by("source").aggregate([("n", "sum")]).sort_by("source").to_pydict()
        names = sorted(pc.unique(usable["action"].drop_null()).to_pylist())
        rates = usable["sampling_rate"].to_numpy()
        return VersionPropensities(
            version=version,
            n=n,
            n_missing=n - n_known,
            sources=dict(zip(by_source["source"], by_source["n_sum"], strict=True)),
            actions=tuple(names),
            action=pc.index_in(usable["action"], pa.array(names, pa.string()))
            .fill_null(-1)
            .to_numpy()
            .astype(np.int64),
            counts=usable["n"].to_numpy(),
            least=usable["least"].to_numpy(),
            largest=usable["largest"].to_numpy(),
            inverse=usable["inverse"].to_numpy(),
            shares=rates.min(initial=1.0) / rates,
            bins=self.bins.get(version),
        )

    def __repr__(self) -> str:
        return f"PropensityTally(n={self.n}, cells={self.cells.num_rows})"


def _cells(rows: pa.Table) -> pa.Table:
    """One cell per row, still to be grouped."""
    n = rows.num_rows
    propensity = pc.fill_null(rows["propensity"].cast(pa.float64()), np.nan).to_numpy()
    usable = (propensity > 0) & (propensity <= 1)
    value = np.where(usable, propensity, 1.0)
    rate = pc.fill_null(rows["sampling_rate"], 1.0) if "sampling_rate" in rows.column_names else pa.repeat(1.0, n)
    source = rows[SOURCE] if SOURCE in rows.column_names else pa.repeat(COLUMN, n)
    return pa.table(
        [
            rows["policy_version"],
            rows["action"].cast(pa.string()),
            source,
            pa.array(value.view(np.int64) >> DROPPED_BITS, mask=~usable),
            rate,
            pa.array(np.ones(n, np.int64)),
            pa.array(value),
            pa.array(value),
            pa.array(1 / value),
        ],
        schema=SCHEMA,
    )


def _grouped(cells: pa.Table) -> pa.Table:
    grouped = cells.group_by(list(KEYS), use_threads=False).aggregate(list(SUMS.items()))
    named = {f"{column}_{how}": column for column, how in SUMS.items()}
    return grouped.rename_columns([named.get(c, c) for c in grouped.column_names]).select(SCHEMA.names)


def _bins(rows: pa.Table, actions: tuple[str, ...], distribution: NDArray[np.float64]) -> dict[str, CalibrationBins]:
    action = pc.index_in(rows["action"].cast(pa.string()), pa.array(actions)).fill_null(-1).to_numpy()
    known = np.isfinite(distribution).all(axis=1) & (action >= 0)
    if not known.any():
        return {}
    version = rows["policy_version"].combine_chunks().dictionary_encode()
    code = pc.fill_null(version.indices, -1).to_numpy(zero_copy_only=False)
    return {
        name: calibration_bins(action[mine].astype(np.int64), distribution[mine])
        for i, name in enumerate(version.dictionary.to_pylist())
        if (mine := known & (code == i)).any()
    }
