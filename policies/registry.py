"""Which version serves: the champion moves by compare-and-swap, and only to a version whose bytes verify.

The whole registry is reached from here; versions are in policies/versions.py, the challenger in policies/slot.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypedDict

from data_contracts.errors import Busy, SluiceError, UsageError
from data_contracts.home import Home
from policies.gate.arms.arm_looks import arm_looks_of
from policies.gate.looks.ledger import looks_of
from policies.history import HistoryEntry, Move, State, append_move, history, read_state, refused, require_reason
from policies.slot import can_open, close_challenger, open_slot
from policies.stage import serving_rest
from policies.versions import (
    Candidate,
    VersionFacts,
    VersionManifest,
    list_versions,
    load_seeds,
    load_version,
    manifest_sha256,
    read_version,
    register_version,
    verify_versions,
    version_folder,
)

__all__ = [
    "Aliases",
    "Candidate",
    "HistoryEntry",
    "VersionFacts",
    "VersionManifest",
    "aliases",
    "can_open",
    "champion_since",
    "close_challenger",
    "declare_champion",
    "history",
    "is_frozen",
    "list_versions",
    "load_seeds",
    "load_version",
    "move_champion",
    "open_slot",
    "promote",
    "read_version",
    "register_version",
    "resting_version",
    "resume",
    "rollback",
    "verify_registry",
    "version_folder",
]

ChampionMove = Literal["declare", "promote", "rollback", "stage", "unstage", "holdback", "confirm"]


class Aliases(TypedDict):
    champion: int | None  # None before the first one is declared
    challenger: int | None  # None while the slot is free


def aliases(home: Home, task: str) -> Aliases:
    """Where `champion` and `challenger` point."""
    state = read_state(home, task)
    return {"champion": state.champion, "challenger": state.challenger}


def is_frozen(home: Home, task: str) -> bool:
    """True from a rollback until `resume`: runs must not promote by themselves."""
    return read_state(home, task).frozen


def champion_since(home: Home, task: str) -> datetime | None:
    """When the present champion began to serve."""
    return max((entry.at for entry in history(home, task) if entry.alias == "champion"), default=None)


def declare_champion(home: Home, task: str, *, version: int, actor: str, now: datetime) -> HistoryEntry:
    """Make `version` the first champion; when another run was first with the same one, its entry is returned."""
    try:
        return move_champion(
            home,
            task,
            to=version,
            expected=None,
            action="declare",
            actor=actor,
            reason="declared in the task file",
            evidence=None,
            override=False,
            now=now,
        )
    except Busy:
        first = history(home, task)[0]
        if first.version != version:
            raise
        return first


def move_champion(
    home: Home,
    task: str,
    *,
    to: int,
    expected: int | None,
    action: ChampionMove,
    actor: str,
    reason: str,
    evidence: str | None,
    override: bool,
    now: datetime,
    also_barred: tuple[int, ...] = (),
) -> HistoryEntry:
    """Point `champion` at `to` if it still points at `expected`, after the bytes of `to` were verified.

    Raises Busy when the champion moved meanwhile, UsageError for a barred or unknown version, the champion itself,
    or no reason; IntegrityError when the artifact is damaged.
    """
    require_reason(reason)
    load_version(home, task, to)
    sha256 = manifest_sha256(home, task, to)

    def decide(state: State) -> Move:
        if state.champion != expected:
            raise Busy(
                f"the champion of {task} moved: expected version {expected}, got {state.champion}. "
                "Look at `sluice policies` and decide again.",
                champion=state.champion,
            )
        if to in state.barred:
            raise refused(task, to, "a version that no rollback has left", "a barred one")
        if to == state.champion:
            raise refused(task, to, "another version than the champion", "the champion")
        return Move(
            at=now,
            actor=actor,
            action=action,
            alias="champion",
            version=to,
            previous_version=expected,
            reason=reason,
            evidence=evidence,
            override=override,
            manifest_sha256=sha256,
            also_barred=also_barred,
        )

    return append_move(home, task, decide)


def promote(
    home: Home,
    task: str,
    *,
    version: int,
    expected: int,
    evidence: str | None,
    override: bool,
    reason: str,
    actor: str,
    now: datetime,
) -> HistoryEntry:
    """Make `version` the champion in place of `expected`; an open slot of it closes with the same entry.

    `evidence` names a look in the ledger whose verdict is promote, at this version against `expected` (or against the
    version that a stage `expected` returns to), or a look at the arms of `expected` that proved this version better;
    without one `override` must be True, and the entry says so for ever. Raises UsageError otherwise, Busy when the
    champion moved meanwhile.
    """
    if evidence is None and not override:
        raise refused(task, version, "a promote verdict or an override", "neither")
    against = resting_version(home, task, expected)
    if evidence is not None and not (
        any(
            look.evidence_id == evidence and look.verdict == "promote" and look.champion == against
            for look in looks_of(home, task, version)
        )
        or any(
            look.seal == evidence and look.conclusion == "better" and look.challenger == version
            for look in arm_looks_of(home, task, expected)
        )
    ):
        raise refused(task, version, f"a promote verdict against version {against}", f"evidence {evidence[:12]}")
    return move_champion(
        home,
        task,
        to=version,
        expected=expected,
        action="promote",
        actor=actor,
        reason=reason,
        evidence=evidence,
        override=override,
        now=now,
    )


def rollback(
    home: Home,
    task: str,
    *,
    to: int | None = None,
    reason: str,
    actor: str,
    now: datetime,
    evidence: str | None = None,
) -> HistoryEntry:
    """Back to `to`, an earlier champion (without it: the last one that is not barred).

    The version left is barred for good, and automatic promotion waits for `resume`. From a stage (a canary, a patch, a
    holdback) it goes to the champion before it, and the challenger inside is barred with it: its slot closes. Raises
    UsageError when there is no such champion, Busy when the champion moved meanwhile. `evidence`: of a look at the arms
    of a holdback that decided it.
    """
    state = read_state(home, task)
    left = _served_for(home, task, state.champion)
    earlier = [v for v in state.champions if v not in state.barred | left and read_version(home, task, v).stage is None]
    if to is None and not earlier:
        raise UsageError(f"no rollback of {task}: expected an earlier champion that is not barred, got none.")
    target = earlier[-1] if to is None else to
    if target not in state.champions:
        raise refused(task, target, "an earlier champion", "one that never served (`sluice promote` judges it)")
    if read_version(home, task, target).stage is not None:
        raise refused(task, target, "a champion of its own", "a stage, which ended")
    return move_champion(
        home,
        task,
        to=target,
        expected=state.champion,
        action="rollback",
        actor=actor,
        reason=reason,
        evidence=evidence,
        override=False,
        now=now,
        also_barred=tuple(sorted(left - {state.champion, target})),
    )


def resting_version(home: Home, task: str, version: int) -> int:
    """The version that a stage returns to without a new verdict; any other version itself. Challengers are compared
    with it."""
    stage = read_version(home, task, version).stage
    return version if stage is None else serving_rest(stage)


def _served_for(home: Home, task: str, champion: int | None) -> frozenset[int]:
    """The champion, and the challenger inside it where it is a stage."""
    if champion is None:
        return frozenset()
    stage = read_version(home, task, champion).stage
    return frozenset({champion} if stage is None else {champion, stage.challenger})


def resume(home: Home, task: str, *, reason: str, actor: str, now: datetime) -> HistoryEntry:
    """Let runs promote by themselves again; raises UsageError when nothing is frozen."""
    require_reason(reason)

    def decide(state: State) -> Move:
        if not state.frozen or state.champion is None:
            raise UsageError(
                f"nothing to resume in {task}: expected a rollback before, got none since the last resume."
            )
        return Move(
            at=now,
            actor=actor,
            action="resume",
            alias=None,
            version=state.champion,
            previous_version=state.champion,
            reason=reason,
            manifest_sha256=manifest_sha256(home, task, state.champion),
        )

    return append_move(home, task, decide)


def verify_registry(home: Home, task: str) -> list[str]:
    """Check every artifact, manifest and history entry, and the links between them; problems in words, naming files."""
    problems = verify_versions(home, task)
    try:
        entries = history(home, task)
    except SluiceError as error:
        return [*problems, str(error)]
    for entry in entries:
        path = version_folder(home, task, entry.version) / "manifest.json"
        if not path.is_file() or manifest_sha256(home, task, entry.version) != entry.manifest_sha256:
            problems.append(
                f"other manifest {path}: expected SHA-256 {entry.manifest_sha256[:12]}, which history entry "
                f"{entry.index} names, got other bytes or none. Restore it from a backup."
            )
    return problems
