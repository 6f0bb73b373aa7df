"""Whether a run trains, and why (or why not): first policy, new matured rows, changed settings, a person."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import numpy as np

from flows.context import Context
from flows.records import Triggered
from flows.snapshot import load_rows
from flows.training import training_key
from policies.registry import VersionManifest, list_versions

Origin = Literal["manual", "schedule", "backfill"]


def decide_trigger(context: Context, snapshot_id: str, *, origin: Origin, now: datetime) -> Triggered:
    """Compare the snapshot with the one that the latest version was trained on."""
    trained = [m for m in list_versions(context.home, context.name) if m.origin == "trained"]
    fired = [f"clock: {context.task.cadence.cron} at {now:%Y-%m-%d %H:%M} UTC"] if origin == "schedule" else []
    if origin == "manual":
        fired.append("manual")
    if not trained:
        return Triggered(fired=[*fired, "first"], detail="no policy has been trained yet", train=True)
    last = max(trained, key=_newest_data)
    if any(m.key == training_key(context, snapshot_id, None) for m in trained):
        return _nothing(fired, f"version {last.version} was trained on these rows with these settings already")
    if last.settings_sha256 != context.settings_sha256:
        return Triggered(fired=[*fired, "settings"], detail="the task's settings changed", train=True)
    return _by_rows(context, snapshot_id, last, fired, origin)


def _by_rows(context: Context, snapshot_id: str, last: VersionManifest, fired: list[str], origin: Origin) -> Triggered:
    n_new = _new_rows(context, snapshot_id, last)
    needed = context.task.cadence.after_new_rows if origin == "schedule" else 1
    detail = f"{n_new:,} new matured rows since version {last.version}"
    if n_new < needed:
        return _nothing(fired, f"{detail}; training waits for {needed:,}")
    return Triggered(fired=[*fired, "rows"], detail=detail, train=True)


def _newest_data(manifest: VersionManifest) -> tuple[datetime, int]:
    """Backfilled versions are registered late but were trained on old data."""
    return manifest.trained_until or datetime.min.replace(tzinfo=UTC), manifest.version


def _new_rows(context: Context, snapshot_id: str, last: VersionManifest) -> int:
    _, rows, _ = load_rows(context, snapshot_id)
    if last.snapshot_id is None:
        return rows.n
    _, known, _ = load_rows(context, last.snapshot_id)
    return int((~np.isin(rows.interaction_id, known.interaction_id)).sum())


def _nothing(fired: list[str], why_not: str) -> Triggered:
    return Triggered(fired=fired, detail=why_not, train=False, why_not=why_not)
