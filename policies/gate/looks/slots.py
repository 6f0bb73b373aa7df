"""Slots in the ledger: a challenger is frozen by hash, with its share of alpha, before its first gate row is read."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from data_contracts.errors import Busy, IntegrityError, SluiceError, UsageError
from data_contracts.home import Home, mark_format
from data_contracts.storage import append_chain
from policies.gate.looks.alpha import LedgerSettings, SlotAlpha, allocate_alpha
from policies.gate.looks.ledger import all_looks, read_entries, without_slot
from policies.gate.looks.ledger_entries import Claim, Entry, LookEntry, SlotEntry, UseEntry, parse_entry, past_slots
from policies.gate.refresh import LossCharge


def next_slot(home: Home, task: str, *, settings: LedgerSettings, alpha: float, now: datetime) -> SlotAlpha:
    """What a challenger could spend if its slot opened now; nothing is entered. Raises BudgetSpent when none is left.

    Ask before a training that would otherwise be in vain.
    """
    return allocate_alpha(past_slots(read_entries(home, task)), settings=settings, alpha=alpha, now=now)


def open_in_ledger(
    home: Home,
    task: str,
    *,
    challenger: int,
    artifact_sha256: str,
    settings: LedgerSettings,
    alpha: float,
    settings_sha256: str,
    actor: str,
    now: datetime,
    claim: Claim = "lift",
    margin: float | None = None,
) -> SlotEntry:
    """Enter the slot of a challenger: its alpha, and the hashes of what will be judged by which settings.

    A slot that is there already is returned as it is (a rerun after a crash): it is spent once, and never given back.
    Raises BudgetSpent when the period's slots are used up; IntegrityError when the challenger's slot was opened for
    other bytes; UsageError when looks at the challenger are in the ledger already, or a refresh has no margin.
    """
    if (claim == "refresh") != (margin is not None and margin > 0):
        raise UsageError(
            f"no slot for version {challenger} of {task}: expected a margin above 0 for the claim refresh and none for "
            f"lift, got {claim} with {margin}. Ask `available_margin` for it."
        )
    known = slot_of(home, task, challenger)
    if known is not None:
        _require_same(task, known, artifact_sha256)
        return known

    def build(stored: list[dict[str, Any]]) -> dict[str, Any]:
        entries = [parse_entry(entry) for entry in stored]
        if any(entry.challenger == challenger for entry in entries if not isinstance(entry, UseEntry)):
            raise Busy(
                f"no second slot for version {challenger} of {task}: expected none of it in the ledger, got its slot "
                "or a look. Another run was first, or it was looked at before slots were kept; run again, or withdraw "
                "it.",
                challenger=challenger,
            )
        allocated = allocate_alpha(past_slots(entries), settings=settings, alpha=alpha, now=now)
        return {
            "kind": "slot",
            "challenger": challenger,
            "artifact_sha256": artifact_sha256,
            "settings_sha256": settings_sha256,
            "claim": claim,
            "margin": margin,
            **asdict(allocated),
            "actor": actor,
            "at": now,
        }

    mark_format(home)
    return SlotEntry.model_validate(append_chain(home.ledger(task), build))


def slot_of(home: Home, task: str, challenger: int) -> SlotEntry | None:
    """The slot of a challenger; None where none was entered (also in stores from before slots)."""
    return next((slot for slot in all_slots(home, task) if slot.challenger == challenger), None)


def require_slot(home: Home, task: str, *, challenger: int, artifact_sha256: str) -> SlotEntry | None:
    """The slot of the challenger that is about to be looked at; call it before the first row is read.

    None only in a store from before slots. Raises UsageError when the ledger knows slots and has none of this
    challenger, IntegrityError when the challenger's bytes are not those that the slot froze.
    """
    slots = all_slots(home, task)
    slot = next((slot for slot in slots if slot.challenger == challenger), None)
    if slot is not None:
        _require_same(task, slot, artifact_sha256)
    elif slots:
        raise without_slot(task, challenger)
    return slot


def all_slots(home: Home, task: str) -> list[SlotEntry]:
    """Every slot of the task, oldest first; raises IntegrityError when the chain is broken."""
    return [entry for entry in read_entries(home, task) if isinstance(entry, SlotEntry)]


def loss_charges(home: Home, task: str) -> list[LossCharge]:
    """Margins of the refreshes that a look has promoted, charged at the moment of the look, oldest first."""
    slots = {slot.challenger: slot for slot in all_slots(home, task)}
    charges: dict[int, LossCharge] = {}
    for look in all_looks(home, task):
        slot = slots.get(look.challenger)
        if slot is not None and slot.margin is not None and look.verdict == "promote":
            charges.setdefault(look.challenger, LossCharge(look.at, slot.margin))
    return list(charges.values())


def ledger_problems(home: Home, task: str) -> list[str]:
    """What does not hold in the ledger, in words: a slot's alpha allocated otherwise than its period allows, a second
    slot of one challenger, a look without a slot in a ledger that knew slots. Raises IntegrityError as reading does."""
    problems: list[str] = []
    entries = read_entries(home, task)
    for place, entry in enumerate(entries):
        before = entries[:place]
        slots = [e.challenger for e in before if isinstance(e, SlotEntry)]
        where = f"ledger entry {entry.index} of {task}"
        if isinstance(entry, SlotEntry):
            problems += [f"{where} is a second slot of version {entry.challenger}"] if entry.challenger in slots else []
            problems += _misallocated(entry, before, where)
        if isinstance(entry, LookEntry) and slots and entry.challenger not in slots:
            problems.append(f"{where} is a look at version {entry.challenger}, for which no slot was opened before")
    return problems


def _misallocated(entry: SlotEntry, before: list[Entry], where: str) -> list[str]:
    settings = LedgerSettings(mode=entry.mode, slots=entry.n_slots, period_days=entry.period_days)
    try:
        expected = allocate_alpha(past_slots(before), settings=settings, alpha=entry.alpha, now=entry.at)
    except SluiceError as error:
        return [f"{where} should not be there: {error}"]
    if expected == entry.allocated:
        return []
    return [f"{where} spends another alpha than its period allows: expected {expected}, got {entry.allocated}"]


def _require_same(task: str, slot: SlotEntry, artifact_sha256: str) -> None:
    if slot.artifact_sha256 != artifact_sha256:
        raise IntegrityError(
            f"version {slot.challenger} of {task} is not what its slot froze: expected artifact "
            f"{slot.artifact_sha256[:12]} (ledger entry {slot.index}), got {artifact_sha256[:12]}. Restore the version "
            "from a backup, or withdraw it.",
            challenger=slot.challenger,
        )
