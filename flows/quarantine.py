"""The quarantine of a task: what is in it, and what of it today's contract takes in."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from data_contracts.amendments.readmission import Readmission, Review, readmit, review
from data_contracts.ingest import ingest_lock
from data_contracts.quarantine import count_by, count_reasons, in_order, printable, select_rows
from data_contracts.store import read_quarantine
from flows.context import Context


def count_lines(context: Context, *, reason: str | None, batch: str | None) -> dict[str, Any]:
    """Lines by class of reason, batch, file and kind."""
    lines = select_rows(read_quarantine(context.home, context.name), reason=reason, batch=batch)
    return {
        "n": lines.num_rows,
        "reasons": count_reasons(lines["reason"].to_pylist()),
        "batches": count_by(lines, "batch_id"),
        "files": count_by(lines, "file"),
        "kinds": count_by(lines, "kind"),
    }


def show_lines(context: Context, *, reason: str | None, batch: str | None, limit: int) -> list[dict[str, Any]]:
    """The first lines with their place, reason and raw bytes as printable text; newest batch first."""
    lines = in_order(select_rows(read_quarantine(context.home, context.name), reason=reason, batch=batch))
    columns = ["file", "line", "offset", "kind", "reason", "raw", "batch_id", "file_sha256", "quarantined_at"]
    rows = lines.slice(0, limit).select(columns).to_pylist()
    return [{**row, "raw": printable(row["raw"]), "quarantined_at": row["quarantined_at"].isoformat()} for row in rows]


def plan_readmission(context: Context, *, reason: str | None, batch: str | None, now: datetime) -> Readmission:
    """What a readmission would do; nothing changes."""
    with ingest_lock(context.home, context.name) as scratch:
        return review(_review(context, scratch, now), reason=reason, batch=batch)


def readmit_lines(context: Context, *, reason: str | None, batch: str | None, now: datetime) -> Readmission:
    """Judge the lines by today's contract; those that pass leave the quarantine for the task's tables."""
    with ingest_lock(context.home, context.name) as scratch:
        return readmit(_review(context, scratch, now), reason=reason, batch=batch)


def _review(context: Context, scratch: Path, now: datetime) -> Review:
    return Review(
        home=context.home,
        task=context.name,
        contract=context.contract,
        actions=context.actions,
        channels=context.task.reward.channel_names,
        actor=context.actor,
        now=now,
        scratch=scratch,
    )
