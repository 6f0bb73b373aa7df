"""The history of a task's champion and challenger: an append-only chain, from which everything else is folded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from data_contracts.errors import IntegrityError, UsageError
from data_contracts.home import Home
from data_contracts.storage import append_chain, read_chain
from policies.gate.records import Verdict

Action = Literal[
    "declare", "open", "promote", "close", "withdraw", "rollback", "resume", "stage", "unstage", "holdback", "confirm"
]
Outcome = Verdict | Literal["exhausted", "withdrawn"]  # with which a challenger's slot closes
CHAIN_FIELDS = frozenset({"index", "previous", "seal"})  # of the chain itself, beside a move's own fields


class Move(BaseModel):
    """One move of an alias, before it has a place in the history."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: AwareDatetime
    actor: str
    action: Action
    alias: Literal["champion", "challenger"] | None  # None: no alias moves (`resume`)
    version: int
    previous_version: int | None  # which held the alias before
    reason: str
    evidence: str | None = None  # of the look that decided it
    outcome: Outcome | None = None  # of a closed slot
    override: bool = False  # promoted without a promote verdict
    manifest_sha256: str  # of the version: its facts cannot change after the move
    also_barred: tuple[int, ...] = ()  # by a rollback from a stage: the challenger inside it


class HistoryEntry(BaseModel):
    """One entry as people and programs read it; `index` is its number in the chain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: int
    at: AwareDatetime
    actor: str
    action: Action
    alias: Literal["champion", "challenger"] | None
    version: int
    previous: int | None
    reason: str
    evidence: str | None
    outcome: Outcome | None
    override: bool
    manifest_sha256: str
    also_barred: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Where the aliases point after a history, and what it forbids."""

    champion: int | None = None
    challenger: int | None = None
    champions: tuple[int, ...] = ()  # every tenure, oldest first; the last is the champion's
    barred: frozenset[int] = frozenset()  # left by a rollback: never champion again
    closed: frozenset[int] = frozenset()  # had their slot: a challenger is judged once
    frozen: bool = False  # no automatic promotion until `resume`


def history(home: Home, task: str) -> list[HistoryEntry]:
    """Every move, oldest first; raises IntegrityError naming the entry that was changed, or that is missing."""
    return [_checked(home, task, entry) for entry in read_chain(home.history(task))]


def append_move(home: Home, task: str, decide: Callable[[State], Move]) -> HistoryEntry:
    """Append `decide(state)`; when another writer was first, `decide` sees the new state and may raise to give up."""

    def build(entries: list[dict[str, Any]]) -> dict[str, Any]:
        return decide(fold([_checked(home, task, entry) for entry in entries])).model_dump(mode="json")

    return _entry(append_chain(home.history(task), build))


def read_state(home: Home, task: str) -> State:
    return fold(history(home, task))


def fold(entries: Sequence[HistoryEntry]) -> State:
    """The state after `entries`."""
    state = State()
    for entry in entries:
        state = _after(state, entry)
    return state


def require_reason(reason: str) -> None:
    """Raises UsageError for a move without words."""
    if not reason.strip():
        raise UsageError("no reason given: expected a few words for the history, got none. Say why.")


def refused(task: str, version: int, expected: str, got: str) -> UsageError:
    """The error of a move that the history forbids."""
    return UsageError(
        f"version {version} of {task} is refused: expected {expected}, got {got}. `sluice policies` shows the history.",
        version=version,
    )


def _after(state: State, entry: HistoryEntry) -> State:
    champions, barred, closed = state.champions, state.barred, state.closed
    challenger, frozen = state.challenger, state.frozen
    if entry.alias == "champion":
        champions = (*champions, entry.version)
    if entry.action == "open":
        challenger = entry.version
    closes = entry.action in ("close", "withdraw") or (entry.action == "promote" and entry.version == challenger)
    if closes and challenger is not None:
        closed, challenger = closed | {challenger}, None
    if entry.action == "rollback" and entry.previous is not None:
        barred, frozen = barred | {entry.previous, *entry.also_barred}, True
        if challenger in entry.also_barred:
            closed, challenger = closed | {challenger}, None
    if entry.action == "resume":
        frozen = False
    champion = champions[-1] if champions else None
    return State(champion, challenger, champions, barred, closed, frozen)


def _checked(home: Home, task: str, stored: dict[str, Any]) -> HistoryEntry:
    """The chain has proved the bytes; an entry with a valid seal may still hold what no move is."""
    try:
        return _entry(stored)
    except ValidationError as error:
        path = home.history(task) / f"{stored['index']:08d}.json"
        raise IntegrityError(
            f"damaged history entry {path}: expected a move, got {error.error_count()} wrong fields. Restore the "
            "folder from a backup.",
            path=str(path),
        ) from error


def _entry(stored: dict[str, Any]) -> HistoryEntry:
    move = Move.model_validate({name: value for name, value in stored.items() if name not in CHAIN_FIELDS})
    fields = move.model_dump()
    return HistoryEntry(index=stored["index"], previous=fields.pop("previous_version"), **fields)
