"""A unit leaves the store: its rows, its lines, every file that held them, and what is written about them.

In this order, so that a rerun after a crash at any point ends it: hashes that refuse later rows; the
tables; sealed folders; texts and histories; last the replaced files themselves, which until then still
say which interactions were the unit's; then the record. Older versions of the tables end here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from data_contracts.amendments.erased_folder import erase_folder, list_erased
from data_contracts.amendments.erased_tables import Order, clean_tables, remove_replaced_files
from data_contracts.amendments.found_unit import Found
from data_contracts.amendments.redaction import files_that_mention, redact_chains, redact_texts, remove_work_in_progress
from data_contracts.amendments.subject import Subject
from data_contracts.amendments.tombstones import (
    Stone,
    Tombstones,
    hasher,
    read_stone,
    read_stones,
    read_tombstones,
    write_stone,
)
from data_contracts.errors import SluiceError, UsageError
from data_contracts.home import Home
from data_contracts.storage import append_chain, read_chain
from data_contracts.store import PARTITION, table_version

SEALED = {"snapshots": "interactions.parquet", "looks": "rows.parquet"}  # kind of folder -> its file of rows
BESIDE = {
    "looks": ("guardrails.parquet", "episodes.parquet")
}  # kind of folder -> files with rows about the same interactions


class Plan(BaseModel):
    """What an erasure touches, without a word of whom: counted before anything is changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_interactions: int
    n_outcomes: int
    n_quarantined: int
    snapshots: tuple[str, ...]
    looks: tuple[str, ...]
    policies: tuple[int, ...]  # trained on one of the snapshots, or trained on from such a version


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased; `tables` maps table -> the version from which on it is clean."""

    unit_hash: str
    plan: Plan
    tables: dict[str, int]


def plan_of(found: Found, *, policies: tuple[int, ...]) -> Plan:
    return Plan(
        n_interactions=found.n_interactions,
        n_outcomes=found.n_outcomes,
        n_quarantined=found.n_quarantined,
        snapshots=found.snapshots,
        looks=found.looks,
        policies=policies,
    )


def was_erased(home: Home, task: str, unit: str) -> Plan | None:
    """What an earlier erasure of the unit found, whether it ended or not; None when there was none."""
    if read_tombstones(home, task) is None:
        return None
    stone = read_stone(home, task, hasher(home, task).hash_of(unit))
    return None if stone is None else Plan.model_validate(stone.plan)


def erase(home: Home, task: str, found: Found, plan: Plan, *, reason: str | None, actor: str, now: datetime) -> Erasure:
    """Erase what was found. The caller holds the task's lock and its ingest lock.

    Raises UsageError when `reason` names the unit, SluiceError when a file still holds one of its ids at the end.
    """
    subject = found.subject
    if reason is not None and subject.redact(reason) != reason:
        raise UsageError("the reason names the unit: expected words without its id. Say why in other words.")
    salted = hasher(home, task)
    unit_hash = salted.hash_of(subject.unit)
    before = read_stone(home, task, unit_hash)
    if before is not None and before.state == "ended" and not found.anything:
        return Erasure(unit_hash, Plan.model_validate(before.plan), _versions(home, task))
    stone = _begin(found, plan, salted, before, now)
    plan = Plan.model_validate(stone.plan)
    write_stone(home, task, stone)
    order = Order(home, task, subject, unit_hash, reason, actor, now)
    clean_tables(order)
    for kind, rows in SEALED.items():
        _clean_folders(_root(home, task, kind), (rows, *BESIDE.get(kind, ())), subject, unit_hash)
    remove_work_in_progress(home, task)
    redact_texts(home, task, subject)
    heads = redact_chains(home, task, subject)
    n_files = remove_replaced_files(order)
    _require_clean(home, task, subject)
    tables = _versions(home, task)
    _record(order, stone, tables, heads, n_files)
    write_stone(home, task, stone.model_copy(update={"state": "ended"}))
    return Erasure(unit_hash, plan, tables)


def read_erasures(home: Home, task: str) -> list[dict[str, Any]]:
    """The history of erasures, oldest first. Raises IntegrityError when it was changed."""
    return read_chain(home.erasures(task) / "history")


def erasure_problems(home: Home, task: str) -> list[str]:
    """Erasures that a crash cut off, and markers of erasures that the history does not know."""
    begun = [stone.unit for stone in read_stones(home, task) if stone.state == "begun"]
    problems = [
        f"unfinished erasure {unit} in {home.erasures(task)}: expected its end, got its beginning. "
        f"`sluice erase {task} --unit` with the same unit ends it."
        for unit in begun
    ]
    known = {entry["unit_hash"] for entry in read_erasures(home, task)} | set(begun)
    for kind in SEALED:
        for name, erased in list_erased(_root(home, task, kind)).items():
            if not known.issuperset(erased.erasures):
                problems.append(
                    f"unknown erasure in {_root(home, task, kind) / name}: expected one of the {len(known)} in the "
                    "history, got another. Restore the folder from a backup."
                )
    return problems


def erased_snapshots(home: Home, task: str) -> list[str]:
    """What cannot be computed again for want of rows, in words."""
    return [
        f"snapshot {name[:12]} is not recomputable: erased, {erased.n_rows} rows"
        for name, erased in list_erased(home.snapshots(task)).items()
    ]


def _begin(found: Found, plan: Plan, salted: Tombstones, before: Stone | None, now: datetime) -> Stone:
    """The unit's tombstone; an erasure that was cut off goes on with what it had found."""
    hashes = {salted.hash_of(i) for i in found.subject.interactions} | set(before.interactions if before else ())
    begun_at = now
    if before is not None and before.state == "begun":
        begun_at, plan = before.begun_at, _merged(Plan.model_validate(before.plan), plan)
    return Stone(
        unit=salted.hash_of(found.subject.unit),
        interactions=tuple(sorted(hashes)),
        state="begun",
        begun_at=begun_at,
        plan=plan.model_dump(mode="json"),
    )


def _versions(home: Home, task: str) -> dict[str, int]:
    return {table: version for table in PARTITION if (version := table_version(home, task, table)) is not None}


def _merged(earlier: Plan, now: Plan) -> Plan:
    """After a crash less is found than before it: counts are those of the first, lists hold both."""
    lists = {
        name: tuple(sorted({*getattr(earlier, name), *getattr(now, name)}))
        for name in ("snapshots", "looks", "policies")
    }
    counts = {
        name: max(getattr(earlier, name), getattr(now, name))
        for name in ("n_interactions", "n_outcomes", "n_quarantined")
    }
    return Plan.model_validate({**lists, **counts})


def _root(home: Home, task: str, kind: str) -> Path:
    return home.snapshots(task) if kind == "snapshots" else home.looks(task)


def _clean_folders(root: Path, files: tuple[str, ...], subject: Subject, unit_hash: str) -> None:
    rows, *beside = files
    texts = ("decision.json",) if rows == SEALED["looks"] else ()
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith(".tmp-"):
            erase_folder(folder, rows, subject, unit_hash=unit_hash, beside=tuple(beside), texts=texts)


def _require_clean(home: Home, task: str, subject: Subject) -> None:
    left = files_that_mention(home, task, subject)
    if left:
        raise SluiceError(
            f"erasure of task {task} is not complete: expected no file that holds the unit's ids, got {len(left)} "
            f"({', '.join(str(path) for path in left[:5])}). Its rows are refused already; remove the ids from these "
            "files (another unit's rows may name it in a column of their own), and erase again.",
            files=[str(path) for path in left],
        )


def _record(
    order: Order, stone: Stone, tables: dict[str, int], heads: dict[str, tuple[str, str]], n_files: int
) -> None:
    """One entry of the history; there already when a crash came between it and the end."""
    begun_at = stone.begun_at.isoformat()
    if any((e["unit_hash"], e["begun_at"]) == (stone.unit, begun_at) for e in read_erasures(order.home, order.task)):
        return
    entry = {
        "unit_hash": stone.unit,
        "begun_at": begun_at,
        **stone.plan,
        "tables": tables,
        "n_files_removed": n_files,
        "histories_sealed_anew": heads,
        "reason": order.reason,
        "actor": order.actor,
        "at": order.now,
    }
    append_chain(order.home.erasures(order.task) / "history", lambda entries: entry)
