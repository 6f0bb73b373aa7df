"""What the next look at a challenger would read: unread, matured, usable rows of whole periods and episodes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.errors import UsageError
from data_contracts.snapshot import Snapshot
from flows.behavior import evaluable_versions
from flows.challenger import gate_settings
from flows.context import Context
from flows.evaluation import influence_settings
from flows.snapshot import load_rows
from policies.gate.episodes.episode_rows import complete_episodes
from policies.gate.evidence import Evidence, load_evidence
from policies.gate.looks.ledger import looks_of
from policies.gate.looks.schedule import NextLook, next_look
from policies.gate.records import concatenate
from policies.logged_interactions import LoggedInteractions
from policies.registry import read_version
from policies.unit_limits import limit_gate_rows


@dataclass(frozen=True, slots=True)
class Unread:
    """Matured rows later than a challenger's training that no look of it has read."""

    rows: LoggedInteractions  # what the next look reads: usable, of whole periods, within the limit of a unit
    next: NextLook  # whether its time has come, and why not
    n_waiting: int  # usable unread rows, with those of a period that has not closed
    n_over_limit: int  # left out: later rows of units that have `rows_per_unit` rows before them
    rows_per_unit: int | None  # over all looks; None: no unit met a limit
    n_without_distribution: int
    matured_share: float  # share of the matured rows whose reward is known
    rows_per_day: float
    snapshot: Snapshot
    table: pa.Table  # of the whole snapshot


def unread_rows(context: Context, *, version: int, snapshot_id: str) -> Unread:
    """What the next look at `version` would read from this snapshot."""
    manifest = read_version(context.home, context.name, version)
    if manifest.trained_until is None:
        raise UsageError(
            f"no look at version {version} of {context.name}: expected a trained version, got a declared one."
        )
    border = np.datetime64(manifest.trained_until.replace(tzinfo=None), "us")
    snapshot, rows, table = load_rows(context, snapshot_id)
    started = _episode_start(rows)
    later, started = rows.select(started > border), started[started > border]
    evidence = [
        load_evidence(context.home, context.name, look.evidence_id)
        for look in looks_of(context.home, context.name, version)
    ]
    read = concatenate([found.rows for found in evidence]) if evidence else None
    fresh = ~np.isin(later.interaction_id, read.interaction_id) if read is not None else np.ones(later.n, np.bool_)
    unread, started = later.select(fresh), started[fresh]
    evaluable = np.isin(unread.policy_version, list(evaluable_versions(context)))
    usable, started = unread.select(evaluable), started[evaluable]
    limit = limit_gate_rows(
        usable,
        read.unit_id if read is not None else np.array([], np.str_),
        settings=influence_settings(manifest),
    )
    kept, started = usable.select(limit.keep), started[limit.keep]
    if gate_settings(context, version).episodes is not None:  # also those that the limit of a unit would cut
        whole = complete_episodes(kept.episode_id, kept.step, kept.terminated, kept.truncated)
        kept, started = kept.select(whole), started[whole]
    rows_per_day = _rows_per_day(rows.select(np.isin(rows.policy_version, list(evaluable_versions(context)))))
    due = _next_look(context, version, snapshot, started, evidence, rows_per_day)
    chosen = kept.select(due.reads)
    return Unread(
        rows=chosen.select(np.lexsort((chosen.interaction_id, chosen.occurred_at))),
        next=due,
        n_waiting=kept.n,
        n_over_limit=usable.n - kept.n,
        rows_per_unit=limit.rows_per_unit,
        n_without_distribution=int((~evaluable).sum()),
        matured_share=_known_share(table, border, list(evaluable_versions(context))),
        rows_per_day=rows_per_day,
        snapshot=snapshot,
        table=table,
    )


def _next_look(
    context: Context,
    version: int,
    snapshot: Snapshot,
    started: NDArray[np.datetime64],
    evidence: list[Evidence],
    rows_per_day: float,
) -> NextLook:
    """Whole periods among the usable rows that began at `started` (n,); for a first look whatever the window has,
    where it has no whole period and the settings do not make it wait."""
    settings = gate_settings(context, version)
    days = [found.rows.day.min() for found in evidence if found.rows.n and not np.isnat(found.rows.day).any()]
    closed = evidence[-1].decision.evidence["inputs"].get("closes_at") if evidence else None
    ask = partial(
        next_look,
        started,
        first_at=datetime.combine(min(days).item(), time(), UTC) if days else None,
        read_until=datetime.fromisoformat(closed) if closed else None,
        matured_until=snapshot.as_of - context.task.reward.longest_window,
        as_of=snapshot.as_of,
        min_rows=settings.min_rows_per_look,
        rows_per_day=rows_per_day,
    )
    due = ask(close_on_days=settings.close_on_days)
    as_it_is = not evidence and not settings.first_look_waits and not due.reads.any()
    return ask(close_on_days=None) if as_it_is else due


def _episode_start(rows: LoggedInteractions) -> NDArray[np.datetime64]:
    """(n,) time of the first step of each row's episode."""
    _, episode = np.unique(rows.episode_id, return_inverse=True)
    first = np.full(episode.max(initial=-1) + 1, np.datetime64("9999-01-01", "us"))
    np.minimum.at(first, episode, rows.occurred_at)
    return first[episode]


def _known_share(table: pa.Table, border: np.datetime64, versions: list[str]) -> float:
    later = pc.greater(table["occurred_at"].cast(pa.int64()), int(border.astype(np.int64)))
    window = table.filter(
        pc.and_(pc.and_(later, table["matured"]), pc.is_in(table["policy_version"], pa.array(versions, pa.string())))
    )
    return 1.0 if not window.num_rows else 1.0 - window["reward"].null_count / window.num_rows


def _rows_per_day(rows: LoggedInteractions) -> float:
    if rows.n < 2:
        return 0.0
    days = (rows.occurred_at.max() - rows.occurred_at.min()) / np.timedelta64(1, "D")
    return float(rows.n / days) if days > 0 else float(rows.n)
