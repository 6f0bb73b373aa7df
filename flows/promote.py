"""Moves of the champion: by verdict, by a person, and back."""

from __future__ import annotations

from datetime import datetime

from data_contracts.errors import UsageError
from flows.challenger import gate_settings
from flows.champion import ensure_champion
from flows.context import Context
from flows.records import Looked, Moved
from flows.stages import PatchForm, stage_challenger, why_not_staged
from policies.gate.arms.stage_settings import StageSettings
from policies.gate.evidence import load_evidence
from policies.gate.looks.ledger import looks_of
from policies.history import Outcome
from policies.registry import (
    HistoryEntry,
    aliases,
    close_challenger,
    is_frozen,
    promote,
    read_version,
    resting_version,
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
            expected=_serving(context, looked),
            evidence=looked.evidence_id,
            override=False,
            reason=looked.reasons[0],
            actor=context.actor,
            now=now,
        )
        return _promoted(looked, history_id=entry.index)
    if looked.verdict == "stage":
        return _stage(context, looked, may_promote=may_promote, now=now)
    if looked.final:
        return _close(context, looked, looked.verdict if looked.verdict != "hold" else "exhausted", now=now)
    return _stays(context, looked, f"version {looked.version} waits for look {looked.look + 1} of {looked.n_looks}")


def _stage(context: Context, looked: Looked, *, may_promote: bool, now: datetime) -> Moved:
    """Serve in part. At the last look a canary by unit alone goes on, as its arms end it; all else is exhausted."""
    if not may_promote or is_frozen(context.home, context.name):
        return _stays(context, looked, "this run never stages, or promotion is frozen since a rollback")
    form = _form(context, looked)
    why = why_not_staged(context, looked, form)
    ends_by_itself = isinstance(form, StageSettings) and form.by == "unit" and why is None
    if looked.look >= looked.n_looks and not ends_by_itself:
        return _close(context, looked, "exhausted", now=now)
    if why is not None:
        return _stays(context, looked, why)
    before = aliases(context.home, context.name)["champion"]
    entry = stage_challenger(context, looked, form, now=now)
    return Moved(
        champion=entry.version,
        previous=before,
        history_id=entry.index,
        promoted=False,
        note=f"version {entry.version} serves in part: {entry.reason}",
    )


def _close(context: Context, looked: Looked, outcome: Outcome, *, now: datetime) -> Moved:
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


def _form(context: Context, looked: Looked) -> PatchForm | StageSettings:
    """A patch where a part is proven by itself and looks remain to prove the whole, else a canary as declared."""
    found = load_evidence(context.home, context.name, looked.evidence_id).decision.evidence
    if found["patch"] is not None and looked.look < looked.n_looks:
        return PatchForm(found["patch"]["column"], tuple(found["patch"]["values"]))
    return gate_settings(context, looked.version).stage


def _serving(context: Context, looked: Looked) -> int:
    """The champion that a promotion replaces: the one that the look compared with, or a stage that returns to it."""
    serving = aliases(context.home, context.name)["champion"]
    if serving is not None and resting_version(context.home, context.name, serving) == looked.champion:
        return serving
    return looked.champion


def promote_by_hand(context: Context, *, version: int, reason: str, override: bool, now: datetime) -> HistoryEntry:
    """Promote with the evidence of a promote verdict against the present champion, or with `override`."""
    champion = ensure_champion(context, now=now)
    read_version(context.home, context.name, version)
    evidence = next(
        (
            look.evidence_id
            for look in reversed(looks_of(context.home, context.name, version))
            if look.verdict == "promote" and look.champion == resting_version(context.home, context.name, champion)
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
    if not looks or looks[-1].champion == resting_version(context.home, context.name, champion):
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
