"""Runs of the past: the snapshot and the policy that a run at each as-of date would have made; never a promotion."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Literal

from pydantic import JsonValue

from data_contracts.errors import SluiceError
from flows.champion import ensure_champion
from flows.context import Context
from flows.ingest import Progress
from flows.loop import utc_now
from flows.records import Snapshotted, Step, Trained
from flows.runs import CallStep, begin_run, call_directly, list_runs
from flows.snapshot import reference, take_snapshot
from flows.training import train

Reprocess = Literal["missing", "failed", "all"]


class Partition(Step):
    """One as-of date of a backfill."""

    as_of: datetime
    status: Literal["planned", "done", "skipped", "failed"]
    snapshot_id: str | None = None
    version: int | None = None
    error: str | None = None


def as_of_dates(start: datetime, end: datetime, every: timedelta) -> list[datetime]:
    """start, start + every, … up to and including end."""
    n = int((end - start) / every) + 1 if end >= start else 0
    return [start + i * every for i in range(n)]


def plan_backfill(context: Context, dates: list[datetime], *, reprocess: Reprocess) -> list[Partition]:
    """What a backfill would do: dates that are done (or failed, with `missing`) are skipped."""
    last = {r.request.get("as_of"): r for r in list_runs(context.home, context.name) if r.command == "backfill"}
    partitions = []
    for date in dates:
        record = last.get(date.isoformat())
        finished = record is not None and record.state == "finished"
        failed = record is not None and record.state in ("failed", "blocked")
        skip = (finished and reprocess != "all") or (failed and reprocess == "missing")
        skip = skip or (record is None and reprocess == "failed")
        known = record.steps if record is not None and finished else {}
        partitions.append(
            Partition(
                as_of=date,
                status="skipped" if skip else "planned",
                snapshot_id=Snapshotted.model_validate(known["snapshot"]).snapshot_id if "snapshot" in known else None,
                version=Trained.model_validate(known["train"]).version if "train" in known else None,
            )
        )
    return partitions


def backfill(
    context: Context,
    partitions: list[Partition],
    *,
    max_active: int = 1,
    now: datetime,
    call: CallStep[Step] = call_directly,
    progress: Progress | None = None,
) -> list[Partition]:
    """Run the planned partitions, at most `max_active` at a time, under the task's lock."""
    with context.home.lock(context.name), ThreadPoolExecutor(max_active) as pool:
        ensure_champion(context, now=now)
        return list(pool.map(lambda p: _run(context, p, now=now, call=call, progress=progress), partitions))


def _run(
    context: Context, partition: Partition, *, now: datetime, call: CallStep[Step], progress: Progress | None
) -> Partition:
    """Snapshot and training of one date; a failure is recorded and does not stop the others."""
    if partition.status == "skipped":
        return partition
    request: dict[str, JsonValue] = {"as_of": partition.as_of.isoformat()}
    run = begin_run(context.home, context.name, command="backfill", request=request, now=now, call=call)
    try:
        snapshot = run.step(
            "snapshot", Snapshotted, lambda: reference(take_snapshot(context, as_of=partition.as_of, now=now))
        )
        trained = run.step("train", Trained, lambda: train(context, snapshot.snapshot_id, now=now, progress=progress))
    except SluiceError as error:
        run.finish("failed", now=utc_now(), error=str(error))
        return partition.model_copy(update={"status": "failed", "error": str(error)})
    run.finish("finished", now=utc_now())
    done = {"status": "done", "snapshot_id": trained.snapshot_id, "version": trained.version}
    return partition.model_copy(update=done)
