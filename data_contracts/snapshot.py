"""Everything a task has to date, as of a moment in event time: frozen, named by its content, split by time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts import store
from data_contracts.amendments.erased_folder import kept_file, read_erased
from data_contracts.batches import read_batches
from data_contracts.contract import Contract
from data_contracts.errors import DegenerateData, IntegrityError, UsageError
from data_contracts.home import Home
from data_contracts.interactions import outcome_schema
from data_contracts.language.evolution import read_as
from data_contracts.rewards.outcomes import Rewarded, RewardSettings, attach_rewards, utc64
from data_contracts.snapshot_manifest import (
    FORMULA,
    SNAPSHOT_ID,
    Snapshot,
    logical_id,
    logical_schema,
    read_manifest,
    write_manifest,
)
from data_contracts.splits import EXCLUDED, GATE, TRAIN, VALIDATION, Borders, SplitSettings, assign_splits
from data_contracts.storage import build_folder, sha256_file

__all__ = ["Snapshot", "build_snapshot", "list_snapshots", "load_snapshot", "verify_snapshots"]

MANIFEST, ROWS = "manifest.json", "interactions.parquet"


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What the store holds at the versions asked for."""

    interactions: pa.Table
    outcomes: pa.Table
    table_version: int
    outcomes_version: int | None
    files: tuple[str, ...]  # relative to the home


def build_snapshot(
    home: Home,
    *,
    task: str,
    contract: Contract,
    reward: RewardSettings,
    split: SplitSettings,
    evaluable_versions: frozenset[str] | None,
    as_of: datetime | None,
    now: datetime,
    table_version: int | None = None,
    outcomes_version: int | None = None,
) -> Snapshot:
    """Freeze what is known at `as_of` (default: `now`): rows that occurred and outcomes observed until then.

    The effective moment is clamped to when the newest visible row matured; nothing visible can change a row
    after that, so the id depends neither on when one asks nor on later commits. A snapshot that exists is
    recognised and returned as it was first built. `evaluable_versions`: policy versions whose rows the gate
    can read (None: all); the shares of the split are taken over them.
    Raises DegenerateData when nothing is visible, matured or enough to split; UsageError when `as_of` has no
    time zone; IntegrityError when an existing copy is damaged.
    """
    requested = as_of or now
    delivery = _read_store(home, task, contract, table_version, outcomes_version)
    visible = _visible(delivery.interactions, requested, task)
    rewarded = attach_rewards(visible, delivery.outcomes, reward=reward, as_of=requested)
    _require_rewards(rewarded, task=task, requested=requested, window=reward.longest_window)
    evaluable = _present(visible, evaluable_versions)
    rows, borders = _split(rewarded.table, split, evaluable)
    late = _late_batches(home, task, requested)
    sizes = np.bincount(rows["split"].to_numpy(), minlength=4)
    snapshot = Snapshot(
        snapshot_id="",
        task=task,
        as_of=_effective(visible, requested, reward.longest_window),
        n_interactions=rows.num_rows,
        n_matured=pc.sum(rows["matured"]).as_py(),
        n_episodes=len(np.unique(_episodes(rows))),
        n_train=int(sizes[TRAIN]),
        n_validation=int(sizes[VALIDATION]),
        n_gate=int(sizes[GATE]),
        n_excluded=int(sizes[EXCLUDED]),
        rows_per_policy_version=_count_values(rows["policy_version"]),
        evaluable_versions=evaluable,
        contract_id=contract.id,
        contract_version=contract.version,
        split=split,
        borders=borders,
        schema=logical_schema(rows),
        formula=FORMULA,
        requested_as_of=requested.astimezone(UTC),
        built_at=now,
        n_late=_count_in(visible, late),
        n_late_outcomes=_count_in(_until(delivery.outcomes, "observed_at", requested), late),
        rewards=rewarded.counts,
        reward_settings=reward,
        contract_sha256=contract.sha256,
        table_version=delivery.table_version,
        outcomes_version=delivery.outcomes_version,
        files=delivery.files,
        rows_sha256="",
        channels=rewarded.channels,
    )
    return _store(home, snapshot, rows)


def load_snapshot(home: Home, task: str, snapshot_id: str) -> tuple[Snapshot, pa.Table]:
    """The manifest, and all rows in order of (occurred_at, interaction_id) with final reward, matured and split.

    Rows of an erased unit are missing; the manifest's counts are those of when it was built.
    Raises UsageError when there is no such snapshot, IntegrityError naming the file when a hash does not fit.
    """
    snapshot, path = open_snapshot(home, task, snapshot_id)
    return snapshot, pq.read_table(path, partitioning=None)


def open_snapshot(home: Home, task: str, snapshot_id: str) -> tuple[Snapshot, Path]:
    """The manifest, and the file of its rows, whose bytes have been checked, for whoever does not hold them all.

    Raises as load_snapshot.
    """
    known = _ids(home, task)
    if snapshot_id not in known:
        raise UsageError(
            f"no snapshot {snapshot_id!r} of {task}: expected one of the {len(known)} in the store. "
            f"`sluice snapshot {task}` makes one."
        )
    folder = home.snapshots(task) / snapshot_id
    snapshot = read_manifest(folder / MANIFEST)
    path, expected = kept_file(folder, ROWS, snapshot.rows_sha256)
    found = sha256_file(path) if path.is_file() else "nothing"
    if found != expected:
        raise IntegrityError(
            f"damaged rows in {path}: expected SHA-256 {expected[:12]}, got {found[:12]}. "
            "Restore the file from a backup, or delete the folder and build the snapshot again.",
            path=str(path),
            snapshot_id=snapshot_id,
        )
    return snapshot, path


def list_snapshots(home: Home, task: str) -> list[Snapshot]:
    """Every snapshot of the task, oldest moment first. Raises IntegrityError when a manifest is damaged."""
    manifests = [read_manifest(home.snapshots(task) / name / MANIFEST) for name in _ids(home, task)]
    return sorted(manifests, key=lambda s: (s.as_of, s.snapshot_id))


def verify_snapshots(home: Home, task: str) -> list[str]:
    """Check every file's hash and recompute every id from the rows; returns problems, one sentence each."""
    problems = []
    for snapshot_id in _ids(home, task):
        try:
            snapshot, rows = load_snapshot(home, task, snapshot_id)
        except IntegrityError as error:
            problems.append(str(error))
            continue
        if read_erased(home.snapshots(task) / snapshot_id) is not None:
            continue  # not recomputable: `not_recomputable` says so
        recomputed = logical_id(snapshot.identity(), rows)
        if recomputed != snapshot_id:
            problems.append(
                f"wrong content in {home.snapshots(task) / snapshot_id}: expected rows of snapshot "
                f"{snapshot_id[:12]}, got those of {recomputed[:12]}. Restore the folder from a backup."
            )
    return problems


def _read_store(
    home: Home, task: str, contract: Contract, version: int | None, outcomes_version: int | None
) -> _Delivery:
    version = store.table_version(home, task) if version is None else version
    if version is None:
        raise DegenerateData(
            f"no interactions in {task}: expected an ingested log, got none. Run `sluice ingest {task} --from PATH`."
        )
    if outcomes_version is None:
        outcomes_version = store.table_version(home, task, "outcomes")
    return _Delivery(
        interactions=read_as(store.read_interactions(home, task, version=version), contract),
        outcomes=(
            outcome_schema().empty_table()
            if outcomes_version is None
            else store.read_outcomes(home, task, version=outcomes_version)
        ),
        table_version=version,
        outcomes_version=outcomes_version,
        files=tuple(
            sorted(
                str(Path(file).relative_to(home.root))
                for file in store.table_files(home, task, "interactions", version=version)
            )
        ),
    )


def _visible(interactions: pa.Table, requested: datetime, task: str) -> pa.Table:
    visible = _until(interactions, "occurred_at", requested)
    if not visible.num_rows:
        raise DegenerateData(
            f"nothing visible in {task} as of {requested.isoformat()}: expected interactions that occurred until "
            f"then, got 0 of {interactions.num_rows}. Ingest the log of that time, or ask for a later moment."
        )
    return visible.sort_by([("occurred_at", "ascending"), ("interaction_id", "ascending")])


def _until(table: pa.Table, column: str, moment: datetime) -> pa.Table:
    return table.filter(pa.array(table[column].to_numpy() <= utc64(moment)))


def _require_rewards(rewarded: Rewarded, *, task: str, requested: datetime, window: timedelta) -> None:
    table = rewarded.table
    if not pc.any(table["matured"]).as_py():
        first = pc.min(table["occurred_at"]).as_py() + window
        raise DegenerateData(
            f"nothing matured in {task} as of {requested.isoformat()}: expected interactions older than the "
            f"attribution window ({window}), got {table.num_rows} younger ones. The first matures at "
            f"{first.isoformat()}."
        )
    if table["reward"].null_count == table.num_rows:
        raise DegenerateData(
            f"no reward in {task} as of {requested.isoformat()}: expected outcomes inside the attribution window, "
            f"got none for {table.num_rows} interactions ({rewarded.counts}). Ingest the outcomes, or declare "
            "`reward.default` in the task file."
        )


def _effective(visible: pa.Table, requested: datetime, window: timedelta) -> datetime:
    """The earliest moment from which the snapshot looks as it does at `requested`.

    Outcomes do not enter: one observed after the newest row matured lies outside every window.
    """
    newest: datetime = pc.max(visible["occurred_at"]).as_py()
    return min(requested.astimezone(UTC), newest.astimezone(UTC) + window)


def _present(visible: pa.Table, evaluable: frozenset[str] | None) -> tuple[str, ...]:
    """Only versions with rows here count, so that policies registered later do not change an older snapshot."""
    found = set(pc.unique(visible["policy_version"]).to_pylist())
    return tuple(sorted(found if evaluable is None else found & evaluable))


def _split(table: pa.Table, settings: SplitSettings, evaluable: tuple[str, ...]) -> tuple[pa.Table, Borders]:
    one_step = table["episode_id"].null_count == table.num_rows
    code, borders = assign_splits(
        table["occurred_at"].to_numpy(),
        None if one_step else _episodes(table),
        table["matured"].to_numpy() & table["reward"].is_valid().to_numpy(),
        settings=settings,
        evaluable=pc.is_in(table["policy_version"], pa.array(evaluable, pa.string())).to_numpy(),
    )
    return table.append_column("split", pa.array(code)), borders


def _episodes(table: pa.Table) -> NDArray[np.int64]:
    """(n,) a code for each row's episode; a row without one is its own."""
    codes = pc.index_in(table["episode_id"], value_set=pc.unique(table["episode_id"].drop_null()))
    own = -1 - np.arange(table.num_rows)
    return np.where(codes.is_valid().to_numpy(), pc.fill_null(codes, 0).to_numpy(), own)


def _count_values(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def _late_batches(home: Home, task: str, requested: datetime) -> pa.Array:
    late = [batch.batch_id for batch in read_batches(home, task) if batch.ingested_at > requested]
    return pa.array(late, pa.string())


def _count_in(table: pa.Table, batches: pa.Array) -> int:
    return int(pc.sum(pc.is_in(table["batch_id"], batches)).as_py() or 0)


def _store(home: Home, snapshot: Snapshot, rows: pa.Table) -> Snapshot:
    """Name the content and write it, unless it is there already."""
    snapshot_id = logical_id(snapshot.identity(), rows)
    final = home.snapshots(snapshot.task) / snapshot_id
    if not final.exists():
        with build_folder(final) as folder:
            pq.write_table(rows, folder / ROWS, compression="zstd")
            named = replace(snapshot, snapshot_id=snapshot_id, rows_sha256=sha256_file(folder / ROWS))
            write_manifest(folder / MANIFEST, named)
    return read_manifest(final / MANIFEST)


def _ids(home: Home, task: str) -> list[str]:
    folder = home.snapshots(task)
    return sorted(p.name for p in folder.iterdir() if SNAPSHOT_ID.fullmatch(p.name)) if folder.is_dir() else []
