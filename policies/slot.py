"""The challenger's slot: one version is judged at a time, and each version once."""

from __future__ import annotations

from datetime import datetime

from data_contracts.errors import Busy
from data_contracts.home import Home
from policies.history import HistoryEntry, Move, Outcome, State, append_move, read_state, refused, require_reason
from policies.versions import load_version, manifest_sha256


def can_open(home: Home, task: str, version: int) -> bool:
    """Whether the slot may take `version` now: it is free, and the version was neither judged, serving nor barred."""
    state = read_state(home, task)
    return state.challenger is None and version not in state.closed | state.barred | {state.champion}


def open_slot(home: Home, task: str, *, version: int, actor: str, reason: str, now: datetime) -> HistoryEntry:
    """Put `version` into the challenger's slot. Raises Busy when another one is in it; UsageError when the version
    is the champion, is barred, or had the slot before: a challenger is judged once."""
    require_reason(reason)
    load_version(home, task, version)
    sha256 = manifest_sha256(home, task, version)

    def decide(state: State) -> Move:
        if state.challenger is not None:
            raise Busy(
                f"the slot of {task} is taken: expected it to be free, got version {state.challenger} in it. "
                "Wait for its verdict, or withdraw it.",
                challenger=state.challenger,
            )
        for versions, what in (
            (state.closed, "one whose slot is closed"),
            (state.barred, "a barred one"),
            ({state.champion}, "the champion"),
        ):
            if version in versions:
                raise refused(task, version, "a version that was not judged yet", what)
        return Move(
            at=now,
            actor=actor,
            action="open",
            alias="challenger",
            version=version,
            previous_version=None,
            reason=reason,
            manifest_sha256=sha256,
        )

    return append_move(home, task, decide)


def close_challenger(
    home: Home,
    task: str,
    *,
    version: int,
    outcome: Outcome,
    reason: str,
    actor: str,
    now: datetime,
    evidence: str | None = None,
) -> HistoryEntry:
    """Free the slot of `version`, for good. Raises Busy when the slot holds no such version (any more)."""
    require_reason(reason)

    def decide(state: State) -> Move:
        if state.challenger != version:
            raise Busy(
                f"version {version} of {task} is not under evaluation: expected it in the slot, got "
                f"{state.challenger or 'none'}. Look at `sluice policies`."
            )
        return Move(
            at=now,
            actor=actor,
            action="withdraw" if outcome == "withdrawn" else "close",
            alias="challenger",
            version=version,
            previous_version=version,
            reason=reason,
            evidence=evidence,
            outcome=outcome,
            manifest_sha256=manifest_sha256(home, task, version),
        )

    return append_move(home, task, decide)
