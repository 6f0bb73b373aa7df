"""Monitors learnt from the reference, followed through the cells of the new rows by both detectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Column, Contract
from data_contracts.drift.baseline import learn_baseline, standardise
from data_contracts.drift.cells import BATCH, Cells
from data_contracts.drift.detector import (
    AT,
    Detected,
    budgets,
    detect,
    e_values,
    group_members,
    monitor_weights,
)
from data_contracts.drift.learning import learn_monitors, policies_read_covariates
from data_contracts.drift.monitors import Block, Measured, Tally
from data_contracts.drift.records import GROUPS, Budget, Kind, Monitor
from data_contracts.drift.rows import Rows, columns_read, take_rows
from data_contracts.drift.source import Chunks, Keys, read_again, sample_rows
from data_contracts.drift.timeline import Side, Timeline

LEARNT_FROM: Final = 200_000  # rows of the reference: bounds, categories and variances need no more

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False)
class Walk:
    """M monitors through S steps of new rows, and what both detectors made of them."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    expected: Floats  # (S, M)
    observed: Floats  # (S, M)
    z: Floats  # (S, M), NaN where a step does not measure the monitor
    e: Floats  # (S, M) mean of the bets on one step alone
    block: Detected
    warn: Detected
    moment: NDArray[np.int64]  # (S,)
    budgets: tuple[Budget, ...]
    policies_read_covariates: bool

    @property
    def batch(self) -> NDArray[np.int64]:
        """(S,) place in the order of ingestion, from 1."""
        return self.moment // BATCH

    def day(self, step: int) -> str:
        return str(np.datetime64(int(self.moment[step] % BATCH), "D"))

    def monitor(self, step: int, index: int) -> Monitor:
        return Monitor(
            name=self.names[index],
            kind=self.kinds[index],
            observed=float(self.observed[step, index]),
            expected=float(self.expected[step, index]),
            z=float(self.z[step, index]),
            e=float(self.e[step, index]),
        )


def walk_cells(
    reference: Chunks,
    new: Chunks,
    timeline: Timeline,
    *,
    known: Keys,
    fresh: Keys,
    contract: Contract,
    actions: tuple[str, ...],
) -> Walk:
    """Learn monitors and their baseline from the reference, then run both detectors over the new cells.

    Monitors are learnt from at most LEARNT_FROM rows and measured on all, in one pass over each source; what is held
    at once is a chunk of rows, the sample, and one number per monitor and cell. `known` and `fresh` are the keys of
    `reference` and `new`; raises StoreError when a source has changed since they were read.
    """
    # a reference of an older contract may lack a column
    columns = tuple(c for c in contract.observation if c.name in reference.schema.names)
    reader = _Reader(columns, len(actions))
    sample = take_rows(
        sample_rows(reference, known, reader.names(reference), limit=LEARNT_FROM), columns, n_actions=len(actions)
    )
    reward = contract.column("reward")
    blocks = learn_monitors(sample, columns, reward_may_be_missing=reward is None or not reward.required)
    on_arrival = tuple(b for b in blocks if GROUPS[b.kind] != "reward")
    of_reward = tuple(b for b in blocks if GROUPS[b.kind] == "reward")
    before = reader.measure(
        reference, known, (on_arrival, timeline.arrivals.reference), (of_reward, timeline.rewards.reference)
    )
    after = reader.measure(new, fresh, (on_arrival, timeline.arrivals.new), (of_reward, timeline.rewards.new))
    arrivals = _follow(on_arrival, sample, before[0], after[0], timeline.arrivals, timeline.moment)
    rewards = _follow(of_reward, sample, before[1], after[1], timeline.rewards, timeline.moment)
    return _detected(arrivals, rewards, timeline.moment, policies_read_covariates(sample))


@dataclass(frozen=True, slots=True)
class _Reader:
    columns: tuple[Column, ...]
    n_actions: int

    def names(self, source: Chunks) -> tuple[str, ...]:
        return columns_read(self.columns, source.schema)

    def measure(self, source: Chunks, keys: Keys, *sides: tuple[tuple[Block, ...], Cells]) -> tuple[Measured, ...]:
        """The monitors of every side in its cells; one pass, in which rows of no cell are left aside."""
        tallies = [Tally(blocks, cells.n) for blocks, cells in sides]
        for rows, of_row in self._chunks(source, keys, [cells.of_row for _, cells in sides]):
            for tally, cells in zip(tallies, of_row, strict=True):
                tally.add(rows, cells)
        return tuple(tally.measured() for tally in tallies)

    def _chunks(
        self, source: Chunks, keys: Keys, of_row: list[NDArray[np.int32]]
    ) -> Iterator[tuple[Rows, list[NDArray[np.int32]]]]:
        for chunk, part in read_again(source, keys, self.names(source)):
            mine = [cells[part] for cells in of_row]
            judged = np.logical_or.reduce([cells >= 0 for cells in mine])
            if judged.all():
                yield take_rows(chunk, self.columns, n_actions=self.n_actions), mine
            elif judged.any():
                kept = chunk.filter(pa.array(judged))
                yield take_rows(kept, self.columns, n_actions=self.n_actions), [cells[judged] for cells in mine]


@dataclass(frozen=True, slots=True, repr=False)
class _Followed:
    """The monitors of one side, (S, k) each, `e` (B, S, k)."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    expected: Floats
    observed: Floats
    z: Floats
    e: Floats
    usable: NDArray[np.bool_]  # (k,)


def _follow(
    blocks: tuple[Block, ...], sample: Rows, before: Measured, after: Measured, side: Side, moment: NDArray[np.int64]
) -> _Followed:
    kinds = tuple(b.kind for b in blocks for _ in b.names)
    spread = [block.spread(sample) for block in blocks]
    baseline = learn_baseline(
        before,
        row_variance=np.concatenate([np.empty(0), *(s[0] for s in spread)]),
        reach=np.concatenate([np.empty(0), *(s[1] for s in spread)]),
        kinds=kinds,
        weekday=side.reference.weekday,
    )
    expected, z, tolerance = standardise(after, baseline, week=side.new.week)
    at = np.searchsorted(moment, side.new.moment)

    def at_steps(values: Floats) -> Floats:
        spaced = np.full((*values.shape[:-2], len(moment), values.shape[-1]), np.nan)
        spaced[..., at, :] = values
        return spaced

    return _Followed(
        names=tuple(name for b in blocks for name in b.names),
        kinds=kinds,
        expected=at_steps(expected),
        observed=at_steps(after.mean),
        z=at_steps(z),
        e=at_steps(e_values(z, tolerance)),
        usable=np.isfinite(baseline.degrees),
    )


def _detected(arrivals: _Followed, rewards: _Followed, moment: NDArray[np.int64], read_covariates: bool) -> Walk:
    kinds = (*arrivals.kinds, *rewards.kinds)
    e = np.concatenate([arrivals.e, rewards.e], axis=2)
    weights = monitor_weights(kinds, np.concatenate([arrivals.usable, rewards.usable]))
    members = group_members(kinds)
    return Walk(
        names=(*arrivals.names, *rewards.names),
        kinds=kinds,
        expected=np.concatenate([arrivals.expected, rewards.expected], axis=1),
        observed=np.concatenate([arrivals.observed, rewards.observed], axis=1),
        z=np.concatenate([arrivals.z, rewards.z], axis=1),
        e=e.mean(axis=0),
        block=detect(e, weights, members, threshold=AT["block"]),
        warn=detect(e, weights, members, threshold=AT["warn"]),
        moment=moment,
        budgets=budgets(weights, members),
        policies_read_covariates=read_covariates,
    )
