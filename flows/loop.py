"""The loop, once: ingest -> validate -> snapshot -> look -> trigger -> train -> look -> promote -> report -> alerts.

Plain functions; `flows/retrain.py` runs the same steps as Prefect tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from data_contracts.errors import BudgetSpent, Busy, ContractViolation
from flows.after_promotion import AfterPromotion, after_promotion_step
from flows.challenger import gate_settings, open_challenger
from flows.champion import ensure_champion
from flows.context import Context
from flows.first_day import FirstDayFound, report_first_day
from flows.ingest import Progress, ingest_source
from flows.look import last_look_if_spent, look_of_run, take_look
from flows.monitor import report_after_promotion, report_failure, report_run
from flows.promote import act_on_verdict, withdraw_if_orphaned
from flows.records import (
    Alerted,
    Ingested,
    Looked,
    Moved,
    Reported,
    Slot,
    Snapshotted,
    Step,
    Trained,
    Triggered,
    Validated,
    Waits,
)
from flows.reporting import write_run_report
from flows.runs import CallStep, Run, begin_run, call_directly
from flows.snapshot import reference, take_snapshot
from flows.stages import resting_champion
from flows.training import open_if_free, require_free_slot, train
from flows.triggers import Origin, decide_trigger
from flows.unread import Unread, unread_rows
from flows.validation import validate
from policies.gate.looks.ledger import looks_of
from policies.gate.looks.schedule import NextLook
from policies.gate.records import Verdict


@dataclass(frozen=True, slots=True)
class RetrainResult:
    """What one run did; every part that did not happen is None."""

    run_id: str
    champion: int
    snapshot_id: str | None  # None: the task only reports
    trigger: Triggered
    trained: Trained | None
    looked: Looked | None
    moved: Moved | None
    reported: Reported
    alerted: Alerted
    first_day: FirstDayFound | None = None  # of a task that only reports
    waits: Waits | None = None  # an open challenger whose look was not due

    @property
    def verdict(self) -> Verdict | None:
        """What the gate said, or what a task that only reports always ends with."""
        return self.looked.verdict if self.looked else self.first_day.verdict if self.first_day else None

    @property
    def reasons(self) -> list[str]:
        if self.looked is not None:
            return self.looked.reasons
        if self.first_day is not None:
            return self.first_day.reasons
        return [self.waits.sentence if self.waits else self.trigger.why_not or self.trigger.detail]


def utc_now() -> datetime:
    return datetime.now(UTC)


def retrain(
    context: Context,
    *,
    paths: Sequence[Path] = (),
    as_of: datetime | None = None,
    origin: Origin = "manual",
    now: datetime,
    call: CallStep[Step] = call_directly,
    progress: Progress | None = None,
) -> RetrainResult:
    """The whole run under the task's lock. Raises ContractViolation when the data is blocked.

    A run that was cut off before is taken over: its committed steps are not repeated.
    """
    with context.home.lock(context.name):
        request: dict[str, JsonValue] = {
            "paths": [str(p) for p in paths],
            "as_of": as_of.isoformat() if as_of else None,
            "origin": origin,
        }
        run = begin_run(context.home, context.name, command="retrain", request=request, now=now, call=call)
        try:
            result = _steps(context, run, paths=paths, as_of=as_of, origin=origin, progress=progress)
        except Exception as error:
            blocked = isinstance(error, ContractViolation)
            run.finish("blocked" if blocked else "failed", now=utc_now(), error=str(error))
            if not blocked:
                report_failure(context, run, error, now=utc_now())
            raise
        run.finish("finished", now=utc_now())
        return result


def _steps(
    context: Context,
    run: Run,
    *,
    paths: Sequence[Path],
    as_of: datetime | None,
    origin: Origin,
    progress: Progress | None,
) -> RetrainResult:
    now = run.record.moment
    run.step("champion", Slot, lambda: Slot(champion=ensure_champion(context, now=now), challenger=None))
    run.step("ingest", Ingested, lambda: ingest_source(context, paths, now=now, progress=progress))
    validated = run.step("validate", Validated, lambda: _validate(context, as_of=as_of, now=now))
    if validated.level == "block":
        write_run_report(context, run)
        report_run(context, run, now=utc_now())
        raise ContractViolation(_violation(context, validated), checks=validated.checks)
    if context.task.report_only:
        return _report_only(context, run, as_of=as_of)
    snapshot = run.step("snapshot", Snapshotted, lambda: reference(take_snapshot(context, as_of=as_of, now=now)))
    after = partial(after_promotion_step, context, snapshot_id=snapshot.snapshot_id, now=now)
    run.step("arms", AfterPromotion, after)
    _continue_slot(context, run, snapshot.snapshot_id)
    trigger = run.step("trigger", Triggered, lambda: _trigger(context, snapshot.snapshot_id, origin=origin, now=now))
    if trigger.train:
        _new_challenger(context, run, snapshot.snapshot_id, progress)
    standing = run.step("standing", AfterPromotion, after)
    report_after_promotion(context, standing, now=utc_now(), run_id=run.record.run_id)
    reported = run.step("report", Reported, lambda: write_run_report(context, run))
    alerted = run.step("alerts", Alerted, lambda: report_run(context, run, now=utc_now()))
    return RetrainResult(
        run_id=run.record.run_id,
        champion=ensure_champion(context, now=now),
        snapshot_id=snapshot.snapshot_id,
        trigger=trigger,
        trained=run.result("train", Trained),
        looked=run.result("look", Looked) or run.result("look_open", Looked),
        moved=run.result("promote", Moved) or run.result("promote_open", Moved),
        reported=reported,
        alerted=alerted,
        waits=run.result("waits", Waits),
    )


def _report_only(context: Context, run: Run, *, as_of: datetime | None) -> RetrainResult:
    """Nothing is trained: the run says what the log can tell, and what it lacks."""
    now = run.record.moment
    found = run.step("first_day", FirstDayFound, lambda: report_first_day(context, as_of=as_of or now))
    why = "this task only reports (report_only in its file)"
    trigger = run.step("trigger", Triggered, lambda: Triggered(fired=[], detail=why, train=False, why_not=why))
    reported = run.step("report", Reported, lambda: write_run_report(context, run))
    alerted = run.step("alerts", Alerted, lambda: report_run(context, run, now=utc_now()))
    return RetrainResult(
        run_id=run.record.run_id,
        champion=ensure_champion(context, now=now),
        snapshot_id=None,
        trigger=trigger,
        trained=None,
        looked=None,
        moved=None,
        reported=reported,
        alerted=alerted,
        first_day=found,
    )


def _continue_slot(context: Context, run: Run, snapshot_id: str) -> None:
    """The next planned look at the challenger that was open when the run began, when enough rows are unread."""
    now = run.record.moment
    slot = run.step("slot", Slot, lambda: _slot(context, now=now))
    if slot.challenger is None:
        return
    version = slot.challenger
    spent = last_look_if_spent(context, version)
    if spent is not None:  # its arms go on, or promotion was frozen: what it said may be acted on now
        run.step("promote_open", Moved, lambda: act_on_verdict(context, spent, may_promote=True, now=now))
        return
    due = unread_rows(context, version=version, snapshot_id=snapshot_id).next
    if not due.ready and not look_of_run(context, version, run.record.run_id):
        run.step("waits", Waits, lambda: _waits(context, version, due))
        return
    looked = run.step(
        "look_open",
        Looked,
        lambda: take_look(context, version=version, snapshot_id=snapshot_id, now=now, run_id=run.record.run_id),
    )
    run.step("promote_open", Moved, lambda: act_on_verdict(context, looked, may_promote=True, now=now))


def _new_challenger(context: Context, run: Run, snapshot_id: str, progress: Progress | None) -> None:
    """Train, freeze by hash, take the first look on the withheld latest window, act on the verdict."""
    now = run.record.moment
    trained = run.step("train", Trained, lambda: train(context, snapshot_id, now=now, progress=progress))
    run.step("open", Slot, lambda: _open(context, trained.version, now=now))
    unread = unread_rows(context, version=trained.version, snapshot_id=snapshot_id)
    if not _first_look_is_due(context, run, trained.version, unread):
        run.step("waits", Waits, lambda: _waits(context, trained.version, unread.next))
        return
    looked = run.step(
        "look",
        Looked,
        lambda: take_look(context, version=trained.version, snapshot_id=snapshot_id, now=now, run_id=run.record.run_id),
    )
    run.step("promote", Moved, lambda: act_on_verdict(context, looked, may_promote=True, now=now))


def _waits(context: Context, version: int, due: NextLook) -> Waits:
    taken = len(looks_of(context.home, context.name, version))
    n_looks = gate_settings(context, version).looks
    return Waits(version=version, look=taken + 1, n_looks=n_looks, why=due.why_not or "", ready_at=due.ready_at)


def _first_look_is_due(context: Context, run: Run, version: int, unread: Unread) -> bool:
    """A first look waits for a period to close; without any row that it could wait for it says why, by a refusal."""
    waits = unread.next.closes_at is not None and unread.n_waiting > 0
    return unread.next.ready or not waits or look_of_run(context, version, run.record.run_id) is not None


def _validate(context: Context, *, as_of: datetime | None, now: datetime) -> Validated:
    return Validated.model_validate(
        {
            key: value
            for key, value in validate(context, as_of=as_of, now=now).to_json().items()
            if key in Validated.model_fields
        }
    )


def _slot(context: Context, *, now: datetime) -> Slot:
    champion, challenger = resting_champion(context, now=now), open_challenger(context)
    if challenger is not None and withdraw_if_orphaned(context, champion=champion, challenger=challenger, now=now):
        challenger = None
    return Slot(champion=champion, challenger=challenger)


def _open(context: Context, version: int, *, now: datetime) -> Slot:
    if not open_if_free(context, version, now=now):
        raise Busy(f"the slot of {context.name} was taken while version {version} was trained. Run again.")
    return Slot(champion=ensure_champion(context, now=now), challenger=version)


def _trigger(context: Context, snapshot_id: str, *, origin: Origin, now: datetime) -> Triggered:
    challenger = open_challenger(context)
    if challenger is not None:
        why = f"version {challenger} is still under evaluation; its slot closes before the next training"
        return Triggered(fired=[], detail=why, train=False, why_not=why)
    try:
        require_free_slot(context, now=now)
    except BudgetSpent as error:
        return Triggered(fired=[], detail="no slot is left", train=False, why_not=str(error))
    return decide_trigger(context, snapshot_id, origin=origin, now=now)


def _violation(context: Context, validated: Validated) -> str:
    broken = [f"{c['rule']}: {c['observed']} ({c['limit']})" for c in validated.failed]
    drift = validated.drift or {}
    if drift.get("level") == "block":
        broken.append("drift: " + "; ".join(f"{m['name']} z {m['z']:.1f}" for m in drift["top"]))
    return (
        f"the data of {context.name} breaks its contract: {'; '.join(broken[:5])}. Nothing was trained; the champion "
        f"keeps serving. See {validated.data_docs} and infra/RUNBOOK.md."
    )
