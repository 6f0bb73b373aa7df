"""Read the task's new log files into the store: files seen before are skipped, lines are all accounted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from data_contracts.amendments.supersession import Replacement
from data_contracts.ingest import IngestResult, ingest
from data_contracts.language.contract_archive import archive_contract
from flows.context import Context
from flows.records import Ingested
from flows.tasks import source_files

Progress = Callable[[str, int, int | None], None]


def ingest_files(
    context: Context,
    paths: Sequence[Path],
    *,
    outcomes: bool,
    now: datetime,
    progress: Progress | None = None,
    replacement: Replacement | None = None,
) -> IngestResult:
    """One batch from the given files, in place of another one where `replacement` names it."""
    result = ingest(
        context.home,
        task=context.name,
        contract=context.contract,
        actions=context.actions,
        paths=paths,
        kind="outcomes" if outcomes else "interactions",
        channels=context.task.reward.channel_names,
        now=now,
        progress=None if progress is None else lambda n: progress("ingest", n, None),
        replacement=replacement,
    )
    if result.n_accepted or result.already_ingested:
        archive_contract(context.home, context.name, context.contract)  # a later one must know what it breaks
    return result


def ingest_source(
    context: Context, paths: Sequence[Path] = (), *, now: datetime, progress: Progress | None = None
) -> Ingested:
    """Everything new at the task's source (or at `paths`), interactions first, then outcomes."""
    results = []
    interactions = list(paths) or source_files(context.task, "interactions")
    outcomes = source_files(context.task, "outcomes")
    for files, is_outcome in ((interactions, False), (outcomes, True)):
        if files:
            results.append(ingest_files(context, files, outcomes=is_outcome, now=now, progress=progress))
    return summarize(results)


def summarize(results: Sequence[IngestResult]) -> Ingested:
    """One account of several batches; `batch_id` and `table_version` are the interactions' (the first)."""
    reasons: dict[str, int] = {}
    for result in results:
        for reason, n in result.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + n
    return Ingested(
        batch_id=results[0].batch_id if results else None,
        n_read=sum(r.n_read for r in results),
        n_accepted=sum(r.n_accepted for r in results),
        n_quarantined=sum(r.n_quarantined for r in results),
        n_duplicate=sum(r.n_duplicate for r in results),
        n_erased=sum(r.n_erased for r in results),
        table_version=results[0].table_version if results else None,
        reasons=reasons,
    )
