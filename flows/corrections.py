"""One batch in place of another: what the command line asks for, and what it answers."""

from __future__ import annotations

from data_contracts.amendments.corrections import read_corrections
from data_contracts.amendments.supersession import Replacement, snapshots_of
from data_contracts.batches import read_batches
from data_contracts.errors import UsageError
from data_contracts.ingest import IngestResult
from flows.context import Context
from policies.lineage import versions_from


def replacement_of(supersedes: str | None, reason: str | None, *, actor: str) -> Replacement | None:
    """None: nothing is replaced. Raises UsageError when only one of the two was given."""
    if supersedes is None and reason is None:
        return None
    if supersedes is None or reason is None or not reason.strip():
        raise UsageError(
            "half a supersession: expected --supersedes BATCH with --reason WORDS, got only one. Give both, or neither."
        )
    return Replacement(supersedes, reason, actor)


def describe_supersession(context: Context, result: IngestResult) -> dict[str, object] | None:
    """What the replaced batch had, and which snapshots and policies still hold its rows; None: nothing was replaced.

    `later_duplicates`: batches that came after it and had duplicates; those of its rows were never kept.
    """
    if result.supersedes is None:
        return None
    home, task = context.home, context.name
    batches = read_batches(home, task)
    replaced = next(b for b in batches if b.batch_id == result.supersedes)
    correction = next(c for c in read_corrections(home, task) if c.correction_id == result.batch_id)
    snapshots = snapshots_of(home, task, replaced)
    return {
        "batch_id": replaced.batch_id,
        "n_rows": correction.n_superseded,
        "snapshots": list(snapshots),
        "policies": list(versions_from(home, task, snapshots)),
        "later_duplicates": [
            b.batch_id
            for b in batches
            if b.n_duplicate and b.kind == replaced.kind and replaced.ingested_at < b.ingested_at < correction.at
        ],
    }
