"""Which data made which policy, and which policies came of which data: read from the records, never guessed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Self

import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from data_contracts.batches import BatchRecord, read_batches
from data_contracts.errors import UsageError
from data_contracts.home import Home
from data_contracts.snapshot import list_snapshots, load_snapshot
from policies.gate.evidence import load_evidence
from policies.gate.looks.ledger import LookEntry, all_looks, looks_of
from policies.gate.records import Verdict
from policies.history import HistoryEntry, history
from policies.versions import VersionManifest, list_versions, read_version


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class SourceFile(_Record):
    """A file of the raw log."""

    name: str
    sha256: str


class SourceBatch(_Record):
    """A batch whose rows are in a snapshot."""

    batch_id: str
    kind: str
    ingested_at: datetime
    n_accepted: int
    files: tuple[SourceFile, ...]

    @classmethod
    def of(cls, batch: BatchRecord) -> Self:
        files = tuple(SourceFile(name=f.name, sha256=f.sha256) for f in batch.files)
        return cls(
            batch_id=batch.batch_id,
            kind=batch.kind,
            ingested_at=batch.ingested_at,
            n_accepted=batch.n_accepted,
            files=files,
        )


class SnapshotSource(_Record):
    """What a snapshot was built from."""

    as_of: datetime
    n_interactions: int
    contract_version: str
    contract_sha256: str
    table_version: int
    outcomes_version: int | None
    table_files: tuple[str, ...]  # relative to the home
    rows_sha256: str
    batches: tuple[SourceBatch, ...]  # oldest first


class LookReference(_Record):
    """A look, and the snapshot whose rows it read."""

    look: int
    challenger: int
    champion: int
    verdict: Verdict
    at: datetime
    evidence_id: str
    snapshot_id: str | None


class VersionLineage(_Record):
    """Everything a version came from, and what became of it."""

    version: int
    snapshot_id: str | None  # None: declared
    snapshot: SnapshotSource | None  # None also where the snapshot is not in this store (any more)
    parents: tuple[int, ...]  # it was trained on from the first, that one from the second, ...
    children: tuple[int, ...]
    manifest: VersionManifest
    looks: tuple[LookReference, ...]  # in which it was the challenger
    history: tuple[HistoryEntry, ...]  # moves to it, or away from it


class SnapshotLineage(_Record):
    """What a snapshot led to."""

    snapshot_id: str
    snapshot: SnapshotSource | None
    versions: tuple[int, ...]  # trained on it
    descendants: tuple[int, ...]  # trained on from those: its rows are in their weights too
    looks: tuple[LookReference, ...]  # that read rows of it


def lineage_of_version(home: Home, task: str, version: int) -> VersionLineage:
    """What a version came from, and what became of it.

    Raises UsageError when there is none, IntegrityError when a record on the way is damaged.
    """
    manifest = read_version(home, task, version)
    versions = list_versions(home, task)
    return VersionLineage(
        version=version,
        snapshot_id=manifest.snapshot_id,
        snapshot=None if manifest.snapshot_id is None else _source(home, task, manifest.snapshot_id),
        parents=_ancestors(manifest, {m.version: m for m in versions}),
        children=tuple(m.version for m in versions if m.parent == version),
        manifest=manifest,
        looks=tuple(_reference(home, task, look) for look in looks_of(home, task, version)),
        history=tuple(m for m in history(home, task) if version in (m.version, m.previous)),
    )


def lineage_of_snapshot(home: Home, task: str, snapshot_id: str) -> SnapshotLineage:
    """What a snapshot led to; `snapshot_id` may be an unambiguous beginning of one.

    Raises UsageError when it names no snapshot, or several; IntegrityError when a record on the way is damaged.
    """
    versions = list_versions(home, task)
    known = {s.snapshot_id for s in list_snapshots(home, task)} | {m.snapshot_id for m in versions if m.snapshot_id}
    full = _resolve(snapshot_id, known, task)
    trained = tuple(m.version for m in versions if m.snapshot_id == full)
    by_version = {m.version: m for m in versions}
    looks = tuple(_reference(home, task, look) for look in all_looks(home, task))
    return SnapshotLineage(
        snapshot_id=full,
        snapshot=_source(home, task, full),
        versions=trained,
        descendants=tuple(m.version for m in versions if set(trained) & (_origins(m, by_version) - {m.version})),
        looks=tuple(look for look in looks if look.snapshot_id == full),
    )


def versions_from(home: Home, task: str, snapshot_ids: Collection[str]) -> tuple[int, ...]:
    """Versions with rows of one of the snapshots in their weights: trained on it, or trained on from such a version."""
    versions = list_versions(home, task)
    by_version = {m.version: m for m in versions}
    trained = {m.version for m in versions if m.snapshot_id in snapshot_ids}
    return tuple(m.version for m in versions if trained & _origins(m, by_version))


def _resolve(beginning: str, known: set[str], task: str) -> str:
    found = sorted(s for s in known if beginning and s.startswith(beginning))
    if len(found) != 1:
        raise UsageError(
            f"no single snapshot {beginning!r} of {task}: expected the beginning of one of {len(known)}, got "
            f"{len(found)} that fit ({', '.join(s[:12] for s in found[:5])}). Give more of its id."
        )
    return found[0]


def _source(home: Home, task: str, snapshot_id: str) -> SnapshotSource | None:
    if not (home.snapshots(task) / snapshot_id).is_dir():
        return None
    snapshot, rows = load_snapshot(home, task, snapshot_id)
    present = set(pc.unique(rows["batch_id"]).to_pylist())
    batches = read_batches(home, task)
    replaced_at = {b.supersedes: b.table_version for b in batches if b.supersedes is not None}
    return SnapshotSource(
        as_of=snapshot.as_of,
        n_interactions=snapshot.n_interactions,
        contract_version=snapshot.contract_version,
        contract_sha256=snapshot.contract_sha256,
        table_version=snapshot.table_version,
        outcomes_version=snapshot.outcomes_version,
        table_files=snapshot.files,
        rows_sha256=snapshot.rows_sha256,
        batches=tuple(
            SourceBatch.of(b)
            for b in batches
            if b.batch_id in present
            or _has_outcomes(b, snapshot.outcomes_version, replaced_at=replaced_at.get(b.readmits or b.batch_id))
        ),
    )


def _has_outcomes(batch: BatchRecord, outcomes_version: int | None, *, replaced_at: int | None) -> bool:
    """Outcomes are joined by time, without their batch: all batches in force at the table's version may have given
    some."""
    if batch.kind != "outcomes" or batch.table_version is None or outcomes_version is None:
        return False
    return batch.table_version <= outcomes_version and (replaced_at is None or outcomes_version < replaced_at)


def _ancestors(manifest: VersionManifest, versions: dict[int, VersionManifest]) -> tuple[int, ...]:
    found: list[int] = []
    parent = manifest.parent
    while parent is not None and parent in versions and parent not in found:
        found.append(parent)
        parent = versions[parent].parent
    return tuple(found)


def _origins(manifest: VersionManifest, versions: dict[int, VersionManifest]) -> set[int]:
    """The version, all it was trained on from, and the same of both parts of a stage."""
    stage = manifest.stage
    parts = [manifest, *([versions[v] for v in (stage.champion, stage.challenger) if v in versions] if stage else [])]
    return {version for part in parts for version in (part.version, *_ancestors(part, versions))}


def _reference(home: Home, task: str, look: LookEntry) -> LookReference:
    return LookReference(
        look=look.look,
        challenger=look.challenger,
        champion=look.champion,
        verdict=look.verdict,
        at=look.at,
        evidence_id=look.evidence_id,
        snapshot_id=load_evidence(home, task, look.evidence_id).facts.get("snapshot_id"),
    )
