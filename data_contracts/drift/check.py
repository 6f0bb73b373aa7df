"""New rows against a reference: the level that the newest batch deserves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.drift.cells import BLOCK_ROWS, WAITING, new_cells, reference_cells
from data_contracts.drift.detector import (
    BLOCK_AT,
    WARN_AT,
    Detected,
    detect,
    e_values,
    learn_baseline,
    monitor_weights,
    standardise,
)
from data_contracts.drift.learning import learn_monitors
from data_contracts.drift.monitors import measure
from data_contracts.drift.records import DriftResult, Kind, Level, Monitor
from data_contracts.drift.rows import take_rows

BUDGET: Final = "block <= 5 % and warn <= 20 % false alarms per 30 cells of a (batch, day), over all monitors together"


@dataclass(frozen=True, slots=True, repr=False)
class Walk:
    """M monitors through C cells of new rows, and what both detectors made of them."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    expected: NDArray[np.float64]  # (M,)
    observed: NDArray[np.float64]  # (C, M)
    z: NDArray[np.float64]  # (C, M)
    e: NDArray[np.float64]  # (C, M)
    block: Detected
    warn: Detected

    def monitor(self, cell: int, index: int) -> Monitor:
        return Monitor(
            name=self.names[index],
            kind=self.kinds[index],
            observed=float(self.observed[cell, index]),
            expected=float(self.expected[index]),
            z=float(self.z[cell, index]),
            e=float(self.e[cell, index]),
        )


def check_drift(
    rows: pa.Table,
    reference: pa.Table | None,
    *,
    reference_name: str | None,
    contract: Contract,
    actions: tuple[str, ...],
    batch_order: tuple[str, ...],
    newest_batch: str | None,
) -> DriftResult:
    """Compare the rows that are not in `reference` with it, cell by cell in the order of ingestion.

    Two detectors run side by side, one for BLOCK and one for WARN, each restarting after its own alarms. The level
    is the highest alarm in cells of `newest_batch`, so it is the same however often the same rows are checked.

    Deviation from statistics.md section 5: covariates too may block here. There they only warn, and are weighed
    by decision relevance (does the verdict change when rows are reweighted to the new covariates?), which is not
    computed yet; until it is, a shift of this size stops the run and asks a person.

    Caveat: blind to rewards that mature after another batch has become the newest, and to weekly patterns.
    """
    if reference is None or reference.num_rows == 0:
        return _nothing("none", "no reference: the champion was declared, not trained")
    name = reference_name or "reference"
    reference_cell = reference_cells(_times(reference))
    if reference_cell.max() < 1:
        return _nothing(name, f"a reference of {len(reference_cell):,} rows is too small: expected {2 * BLOCK_ROWS:,}")
    fresh = rows.filter(pc.invert(pc.is_in(rows["interaction_id"], reference["interaction_id"].combine_chunks())))
    rank = np.asarray(pc.index_in(fresh["batch_id"], pa.array(batch_order, pa.string())), np.int64)
    cell = new_cells(rank, _times(fresh))
    judged = cell != WAITING
    n_waiting = len(cell) - int(judged.sum())
    if not judged.any():
        return _nothing(name, f"nothing to judge: {n_waiting:,} rows beyond the reference")
    batch_of_cell = np.zeros(cell.max() + 1, np.int64)
    np.maximum.at(batch_of_cell, cell[judged], rank[judged])
    walk = walk_cells(
        reference, fresh.filter(pa.array(judged)), reference_cell, cell[judged], contract=contract, actions=actions
    )
    newest = np.flatnonzero(batch_of_cell == (batch_order.index(newest_batch) if newest_batch in batch_order else -1))
    return _conclude(name, walk, newest, n_waiting=n_waiting)


def walk_cells(
    reference: pa.Table,
    fresh: pa.Table,
    reference_cell: NDArray[np.int64],
    fresh_cell: NDArray[np.int64],
    *,
    contract: Contract,
    actions: tuple[str, ...],
) -> Walk:
    """Learn monitors and their baseline from the reference, then run both detectors over the new cells."""
    # a reference of an older contract may lack a column
    columns = tuple(c for c in contract.observation if c.name in reference.column_names)
    known = take_rows(reference, columns, n_actions=len(actions))
    new = take_rows(fresh, columns, n_actions=len(actions))
    reward = contract.column("reward")
    blocks = learn_monitors(known, columns, reward_may_be_missing=reward is None or not reward.required)
    kinds = tuple(b.kind for b in blocks for _ in b.names)
    spread = [block.spread(known) for block in blocks]
    baseline = learn_baseline(
        measure(blocks, known, reference_cell),
        row_variance=np.concatenate([s[0] for s in spread]),
        reach=np.concatenate([s[1] for s in spread]),
        kinds=kinds,
    )
    measured = measure(blocks, new, fresh_cell)
    z, tolerance = standardise(measured, baseline)
    e = e_values(z, tolerance)
    weights = monitor_weights(kinds, np.isfinite(baseline.degrees))
    return Walk(
        names=tuple(name for b in blocks for name in b.names),
        kinds=kinds,
        expected=baseline.mean,
        observed=measured.mean,
        z=z,
        e=e,
        block=detect(e, weights, threshold=BLOCK_AT),
        warn=detect(e, weights, threshold=WARN_AT),
    )


def _conclude(name: str, walk: Walk, newest: NDArray[np.int64], *, n_waiting: int) -> DriftResult:
    """The level of the cells `newest`, and the three monitors that weigh most where it was decided."""
    waiting = f"; {n_waiting:,} rows wait for a cell" if n_waiting else ""
    n_cells = len(walk.z)
    if len(newest) == 0:
        return _nothing(name, f"no cell of the newest batch among {n_cells}{waiting}", n_cells=n_cells)
    level: Level = "ok"
    detector, cell = walk.block, int(newest[np.argmax(walk.block.statistic[newest])])
    for candidate, detected in (("warn", walk.warn), ("block", walk.block)):
        alarms = newest[detected.alarm[newest]]
        if len(alarms):
            level = "warn" if candidate == "warn" else "block"
            detector, cell = detected, int(alarms[np.argmax(detected.statistic[alarms])])
    share = np.where(np.isnan(walk.z[cell]), -1.0, detector.share[cell])
    top = tuple(walk.monitor(cell, i) for i in np.argsort(-share, kind="stable")[:3] if share[i] > 0)
    return DriftResult(
        level=level,
        reference=name,
        false_alarm_budget=BUDGET,
        n_cells=n_cells,
        statistic=float(walk.block.statistic[newest].max()),
        top=top,
        detail=f"{len(walk.names)} monitors in {len(newest)} cells of the newest batch ({n_cells} in all){waiting}",
    )


def _nothing(name: str, detail: str, *, n_cells: int = 0) -> DriftResult:
    return DriftResult("ok", name, BUDGET, n_cells, 0.0, (), detail)


def _times(table: pa.Table) -> NDArray[np.datetime64]:
    return np.asarray(table["occurred_at"].cast(pa.int64()), np.int64).astype("datetime64[us]")
