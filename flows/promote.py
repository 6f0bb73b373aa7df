"""Moves of the champion: by verdict, by a person, and back."""

from __future__ import annotations

from datetime import datetime

from data_contracts.errors import UsageError
from flows.champion import ensure_champion
from flows.context import Context
from flows.records import Looked, Moved
from policies.gate.ledger import looks_of
from policies.registry import (
    HistoryEntry,
    aliases,
    close_challenger,
    is_frozen,
    promote,
    read_version,
    rollback,
)


def act_on_verdict(context: Context, looked: Looked, *, may_promote: bool, now: datetime) -> Moved:
    """Promote, or close the slot, or leave it open for the next look; done already (before a crash) stays done."""
    before = aliases(context.home, context.name)
    if before["champion"] == looked.version:
        return _promoted(looked, history_id=None)
    if looked.final and before["challenger"] != looked.version:
        return _stays(context, looked, f"the slot of version {looked.version} is closed")
    if looked.verdict == "promote" and not may_promote:
        return _stays(context, looked, "this run never promotes; use `sluice promote`")
    if looked.verdict == "promote" and is_frozen(context.home, context.name):
        return _stays(context, looked, "automatic promotion is frozen since a rollback; `sluice resume` lifts it")
    if looked.verdict == "promote":
        entry = promote(
            context.home,
            context.name,
            version=looked.version,
            expected=looked.champion,
            evidence=looked.evidence_id,
            override=False,
            reason=looked.reasons[0],
            actor=context.actor,
            now=now,
        )
        return _promoted(looked, history_id=entry.index)
    if looked.final:
        outcome = looked.verdict if looked.verdict != "hold" else "exhausted"
        close_challenger(
            context.home,
            context.name,
            version=looked.version,
            outcome=outcome,
            reason=looked.reasons[0],
            actor=context.actor,
            now=now,
        )
        return _stays(context, looked, f"the slot of version {looked.version} is closed: {outcome}")
    return _stays(context, looked, f"version {looked.version} waits for look {looked.look + 1} of {looked.n_looks}")


def promote_by_hand(context: Context, *, version: int, reason: str, override: bool, now: datetime) -> HistoryEntry:
    """Promote with the evidence of a promote verdict against the present champion, or with `override`."""
    champion = ensure_champion(context, now=now)
    read_version(context.home, context.name, version)
    evidence = next(
        (
            look.evidence_id
            for look in reversed(looks_of(context.home, context.name, version))
            if look.verdict == "promote" and look.champion == champion
        ),
        None,
    )
    if evidence is None and not override:
        raise UsageError(
            f"version {version} of {context.name} has no promote verdict against champion {champion}: expected one, "
            "or `--override` (shown red in every report from then on). `sluice look` takes the next planned look."
        )
    return promote(
        context.home,
        context.name,
        version=version,
        expected=champion,
        evidence=evidence,
        override=evidence is None,
        reason=reason,
        actor=context.actor,
        now=now,
    )


def roll_back(context: Context, *, to: int | None, reason: str, now: datetime) -> HistoryEntry:
    """Back to the champion before (or to `to`); the version left is barred, automatic promotion frozen."""
    ensure_champion(context, now=now)
    return rollback(context.home, context.name, to=to, reason=reason, actor=context.actor, now=now)


def withdraw_if_orphaned(context: Context, *, champion: int, challenger: int, now: datetime) -> bool:
    """Close a challenger whose looks compared it with another champion than the present one."""
    looks = looks_of(context.home, context.name, challenger)
    if not looks or looks[-1].champion == champion:
        return False
    close_challenger(
        context.home,
        context.name,
        version=challenger,
        outcome="withdrawn",
        reason=f"the champion moved from {looks[-1].champion} to {champion} under its looks",
        actor=context.actor,
        now=now,
    )
    return True


def _promoted(looked: Looked, *, history_id: int | None) -> Moved:
    note = f"version {looked.version} serves now"
    return Moved(champion=looked.version, previous=looked.champion, history_id=history_id, promoted=True, note=note)


def _stays(context: Context, looked: Looked, note: str) -> Moved:
    champion = aliases(context.home, context.name)["champion"]
    return Moved(champion=champion, previous=champion, history_id=None, promoted=False, note=note)
