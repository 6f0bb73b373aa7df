"""After a promotion and during a canary: arms are compared at planned moments, the champion follows what is proven.

What is decided is in the history, what decided it in the chain of arm looks; nothing else is remembered.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from flows.arm_comparison import ArmsOfStage, arms_of, compare_arms
from flows.champion import ensure_champion
from flows.context import Context
from flows.records import Step
from flows.stages import Standing, holdback_of, knows_units, register_stage, standing_of
from policies.gate.arms.after_promotion import Conclusion, canary_step, conclude, holdback_step, words_of
from policies.gate.arms.arm_looks import ArmLook, known_arm_look, record_arm_look
from policies.gate.arms.stage_settings import ArmComparison, HoldbackSettings
from policies.gate.looks.ledger import record_use, uses_of
from policies.history import Outcome
from policies.registry import (
    HistoryEntry,
    aliases,
    close_challenger,
    history,
    is_frozen,
    move_champion,
    promote,
    read_version,
    resting_version,
    rollback,
)
from policies.stage import Canary, Holdback, Stage

Taken = Literal["none", "wait", "hold_back", "confirm", "roll_back", "alert", "promote", "withdraw"]


class AfterPromotion(Step):
    """How settled the champion is after a run, and what the run did about it."""

    standing: Standing
    version: int  # serving
    champion: int | None = None  # of the arms: the former one
    challenger: int | None = None
    step: Taken = "none"
    conclusion: Conclusion | None = None
    words: str = ""
    found: tuple[dict[str, Any], ...] = ()  # by horizon
    history_id: int | None = None


def after_promotion_step(context: Context, *, snapshot_id: str, now: datetime) -> AfterPromotion:
    """One step of what follows a promotion or a stage verdict, with the snapshot's rows.

    A fresh promotion gets its holdback; the arms of a canary or a holdback are looked at where a planned look is due,
    and the champion moves where something is proven. Doing it again changes nothing.
    """
    serving = ensure_champion(context, now=now)
    stage = read_version(context.home, context.name, serving).stage
    if stage is None:
        return _hold_back(context, serving, snapshot_id=snapshot_id, now=now)
    if stage.kind != "holdback" and aliases(context.home, context.name)["challenger"] != stage.challenger:
        return _leave(context, serving, stage, now=now)
    if not isinstance(stage, Canary | Holdback):
        return AfterPromotion(standing="staged", version=serving, champion=stage.champion, challenger=stage.challenger)
    arms = arms_of(context, serving)
    return _act(context, arms, _look(context, arms, snapshot_id=snapshot_id, now=now), now=now)


def open_regression(context: Context) -> HistoryEntry | None:
    """The automatic rollback that nobody has answered by `resume` yet."""
    moves = [m for m in history(context.home, context.name) if m.alias == "champion"]
    last = moves[-1] if moves else None
    automatic = last is not None and last.action == "rollback" and last.evidence is not None
    return last if automatic and is_frozen(context.home, context.name) else None


def holdback_settings(context: Context, version: int) -> HoldbackSettings | None:
    """As they were when the version was frozen; None where it has none."""
    gate = read_version(context.home, context.name, version).settings.get("gate", {})
    declared = gate.get("holdback")
    return None if declared is None else HoldbackSettings.model_validate(declared)


def _hold_back(context: Context, serving: int, *, snapshot_id: str, now: datetime) -> AfterPromotion:
    """Begin the holdback of a champion whose last move is its promotion, where the log knows units to draw."""
    full = AfterPromotion(standing=standing_of(context), version=serving)
    move = [m for m in history(context.home, context.name) if m.alias == "champion"][-1]
    settings = holdback_settings(context, serving)
    fresh = move.action == "promote" and not is_frozen(context.home, context.name)
    if (
        not fresh
        or move.previous is None
        or settings is None
        or settings.share == 0
        or _was_held_back(context, serving)
    ):
        return full
    if not knows_units(context, snapshot_id):
        return full.model_copy(update={"words": "no holdback: the log does not know its units, so none can be drawn"})
    former = resting_version(context.home, context.name, move.previous)
    stage = holdback_of(context, former=former, promoted=serving, share=settings.share)
    version = register_stage(context, stage, comparison=_comparison(settings), now=now)
    words = f"{settings.share:.0%} of the units stay with version {former} until the verdict is final"
    entry = _move(context, to=version, expected=serving, action="holdback", words=words, evidence=None, now=now)
    return AfterPromotion(
        standing="provisional",
        version=version,
        champion=former,
        challenger=serving,
        step="hold_back",
        words=words,
        history_id=entry.index,
    )


def _was_held_back(context: Context, promoted: int) -> bool:
    """A person who promotes what a holdback has judged already has decided."""
    moves = [m.version for m in history(context.home, context.name) if m.action == "holdback"]
    stages = [read_version(context.home, context.name, version).stage for version in moves]
    return any(stage is not None and stage.challenger == promoted for stage in stages)


def _leave(context: Context, serving: int, stage: Stage, *, now: datetime) -> AfterPromotion:
    """Back to the champion where the slot of a stage's challenger was closed: by a look, or by a person."""
    words = f"the slot of version {stage.challenger} is closed"
    entry = _move(context, to=stage.champion, expected=serving, action="unstage", words=words, evidence=None, now=now)
    return AfterPromotion(
        standing=standing_of(context),
        version=stage.champion,
        champion=stage.champion,
        challenger=stage.challenger,
        step="withdraw",
        words=words,
        history_id=entry.index,
    )


def _look(context: Context, arms: ArmsOfStage, *, snapshot_id: str, now: datetime) -> ArmLook | None:
    """The newest look, taken now where one is due; None before the first."""
    compared = compare_arms(context, arms, snapshot_id=snapshot_id)
    if not any(compared.looks_taken):
        return None
    known = known_arm_look(context.home, context.name, arms.version, compared.looks_taken)
    if known is None:
        conclusion = conclude(compared.found)
        known = record_arm_look(
            context.home,
            context.name,
            ArmLook(
                version=arms.version,
                kind=arms.stage.kind,
                champion=arms.stage.champion,
                challenger=arms.stage.challenger,
                snapshot_id=snapshot_id,
                looks_taken=compared.looks_taken,
                found=compared.found,
                conclusion=conclusion,
                words=words_of(compared.found, conclusion),
                numbers=compared.numbers,
                actor=context.actor,
                at=now,
            ),
        )
    if any(use.decision == known.seal for use in uses_of(context.home, context.name, arms.stage.challenger)):
        return known
    record_use(
        context.home,
        context.name,
        purpose=arms.stage.kind,
        challenger=arms.stage.challenger,
        decision=known.seal,
        interaction_id=compared.interaction_id,
        actor=context.actor,
        now=now,
    )
    return known


def _act(context: Context, arms: ArmsOfStage, look: ArmLook | None, *, now: datetime) -> AfterPromotion:
    stage = arms.stage
    step: Taken = "wait"
    if look is not None and isinstance(stage, Holdback):
        settings = holdback_settings(context, stage.challenger) or HoldbackSettings()
        step = holdback_step(look.conclusion, on_regression=settings.on_regression)
    elif look is not None:
        step = canary_step(look.conclusion)
    if step in ("confirm", "promote") and is_frozen(context.home, context.name):
        step = "wait"
    entry = None if look is None else _take(context, arms, look, step, now=now)
    return AfterPromotion(
        standing=standing_of(context),
        version=entry.version if entry is not None else arms.version,
        champion=stage.champion,
        challenger=stage.challenger,
        step=step,
        conclusion=look.conclusion if look is not None else None,
        words=look.words if look is not None else "no look at the arms is due yet",
        found=tuple(look.model_dump(mode="json")["found"]) if look is not None else (),
        history_id=entry.index if entry is not None else None,
    )


def _take(context: Context, arms: ArmsOfStage, look: ArmLook, step: Taken, *, now: datetime) -> HistoryEntry | None:
    home, task, stage = context.home, context.name, arms.stage
    if step == "roll_back":
        return rollback(
            home, task, to=stage.champion, reason=look.words, actor=context.actor, now=now, evidence=look.seal
        )
    if step == "confirm":
        return _move(
            context,
            to=stage.challenger,
            expected=arms.version,
            action="confirm",
            words=look.words,
            evidence=look.seal,
            now=now,
        )
    if step == "promote":
        return promote(
            home,
            task,
            version=stage.challenger,
            expected=arms.version,
            evidence=look.seal,
            override=False,
            reason=look.words,
            actor=context.actor,
            now=now,
        )
    if step == "withdraw":
        return _withdraw(context, arms, look, now=now)
    return None


def _withdraw(context: Context, arms: ArmsOfStage, look: ArmLook, *, now: datetime) -> HistoryEntry:
    """Close the slot first: cut off in between, the next run finds a closed slot and still takes the stage back."""
    outcomes: dict[Conclusion, Outcome] = {"worse": "block", "incomparable": "refuse"}
    if aliases(context.home, context.name)["challenger"] == arms.stage.challenger:
        close_challenger(
            context.home,
            context.name,
            version=arms.stage.challenger,
            outcome=outcomes.get(look.conclusion, "exhausted"),
            reason=look.words,
            actor=context.actor,
            now=now,
            evidence=look.seal,
        )
    return _move(
        context,
        to=arms.stage.champion,
        expected=arms.version,
        action="unstage",
        words=look.words,
        evidence=look.seal,
        now=now,
    )


def _move(
    context: Context,
    *,
    to: int,
    expected: int,
    action: Literal["holdback", "confirm", "unstage"],
    words: str,
    evidence: str | None,
    now: datetime,
) -> HistoryEntry:
    return move_champion(
        context.home,
        context.name,
        to=to,
        expected=expected,
        action=action,
        actor=context.actor,
        reason=words,
        evidence=evidence,
        override=False,
        now=now,
    )


def _comparison(settings: HoldbackSettings) -> ArmComparison:
    return ArmComparison.model_validate(settings.model_dump(include=set(ArmComparison.model_fields)))
