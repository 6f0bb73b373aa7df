"""New rows against a reference: the level that the newest batch deserves."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import numpy as np
import pyarrow as pa

from data_contracts.contract import Contract
from data_contracts.drift.cells import BLOCK_ROWS
from data_contracts.drift.levels import judge, nothing
from data_contracts.drift.records import DriftResult
from data_contracts.drift.source import Chunks, TableChunks, read_keys
from data_contracts.drift.timeline import lay_out
from data_contracts.drift.walk import walk_cells

IMMEDIATE: Final = timedelta(0)


def check_drift(
    rows: pa.Table,
    reference: pa.Table | None,
    *,
    reference_name: str | None,
    contract: Contract,
    actions: tuple[str, ...],
    batch_order: tuple[str, ...],
    newest_batch: str | None,
    attribution_window: timedelta = IMMEDIATE,
) -> DriftResult:
    """`check_drift_in_chunks` for rows that are in memory."""
    return check_drift_in_chunks(
        TableChunks(rows),
        None if reference is None else TableChunks(reference),
        reference_name=reference_name,
        contract=contract,
        actions=actions,
        batch_order=batch_order,
        newest_batch=newest_batch,
        attribution_window=attribution_window,
    )


def check_drift_in_chunks(
    rows: Chunks,
    reference: Chunks | None,
    *,
    reference_name: str | None,
    contract: Contract,
    actions: tuple[str, ...],
    batch_order: tuple[str, ...],
    newest_batch: str | None,
    attribution_window: timedelta = IMMEDIATE,
) -> DriftResult:
    """Compare the rows that are not in `reference` with it, cell by cell in the order of ingestion.

    Two detectors run side by side, one at the BLOCK threshold and one at WARN, each restarting after its own alarms.
    The level follows from the alarms in cells of `newest_batch` (see `judge`), so it is the same however often the
    same rows are checked; rewards belong to the batch that was the newest when they became final (see `lay_out`).

    Args:
        rows: all accepted rows, in any order that is the same at every reading; `reward` null where unknown, and
            `matured` (without it all rows are).
        reference: the champion's training rows, or None when it was declared.
        batch_order: the batches in the order in which they were ingested.
        attribution_window: from `occurred_at` to the moment at which a row's reward is final.

    Raises StoreError when rows change while they are read.
    Memory: 21 bytes a row, some 60 while cells are laid out, a chunk of rows and a sample of the reference. Two
    passes over `rows`, three over `reference`.
    Caveat: a row whose id is in the reference is taken to be that row, also when a correction has changed it. Of a
    reference shorter than four weeks no weekly pattern is known: it widens the limits, and days of the week that the
    reference has never seen look like drift.
    """
    if reference is None:
        return nothing("none", "no reference: the champion was declared, not trained", comparable=False)
    name = reference_name or "reference"
    known = read_keys(reference, batch_order=())
    if known.n == 0:
        return nothing(name, "no reference: it has no rows", comparable=False)
    fresh = read_keys(rows, batch_order=batch_order)
    timeline = lay_out(known, fresh, attribution_window=attribution_window)
    if timeline.arrivals.reference.n < 2:
        small = f"a reference of {known.n:,} rows is too small: expected {2 * BLOCK_ROWS:,}"
        return nothing(name, small, comparable=False)
    if len(timeline.moment) == 0:
        waiting = f"nothing to judge: {timeline.n_waiting:,} rows beyond the reference"
        return nothing(name, waiting, comparable=True)
    walk = walk_cells(reference, rows, timeline, known=known, fresh=fresh, contract=contract, actions=actions)
    rank = batch_order.index(newest_batch) + 1 if newest_batch in batch_order else -1
    return judge(walk, np.flatnonzero(walk.batch == rank), name=name, n_waiting=timeline.n_waiting)
