"""What a run, a failure or silence means for the person on call: findings become incidents, clean checks end them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from pydantic import JsonValue

from data_contracts.errors import IntegrityError, SluiceError
from data_contracts.home import Home
from data_contracts.newest import newest_interaction
from data_contracts.validation import ValidationResult
from flows.after_promotion import AfterPromotion, open_regression
from flows.alerts.events import read_events
from flows.alerts.examples import example_rows
from flows.alerts.findings import Finding, fresh_finding, refused_in_a_row, stale_finding
from flows.alerts.incident import Incident, fold
from flows.alerts.incidents import AlertResult, acknowledge, open_incidents, report_findings
from flows.alerts.judged import rules_judged, validation_findings
from flows.alerts.outbox import deliver_pending
from flows.alerts.prefect_events import emit_incidents
from flows.alerts.rules import Urgency
from flows.alerts.situation import Situation, report_link, situation_of
from flows.champion import known_tasks
from flows.context import Context, open_context
from flows.records import Alerted, Ingested, Looked, Validated
from flows.runs import Run, RunRecord, last_success, list_runs
from flows.settings import environment_name


def report_run(context: Context, run: Run, *, now: datetime) -> Alerted:
    """After a run, blocked or not: open what it found, resolve what it found whole again."""
    validated = run.result("validate", Validated)
    docs = validated.data_docs if validated is not None else None
    situation = situation_of(context, now=now, links=(report_link(run.folder), docs))
    findings, rules = _judged(context, validated, situation)
    delivered, rules_of_delivery = _delivery(context, run.result("ingest", Ingested), situation)
    refused, rules_of_gate = _refusals(context, situation)
    ended = () if validated is not None and validated.level == "block" else ("run_failed", "stale")
    return _report(
        context,
        [*findings, *delivered, *refused],
        rules=(*rules, *rules_of_delivery, *rules_of_gate, *ended),
        now=now,
        run_id=run.record.run_id,
    )


def report_failure(context: Context, run: Run, error: Exception, *, now: datetime) -> Alerted:
    """A run that ended in an error opens one incident; the next run that ends well resolves it."""
    situation = situation_of(context, now=now)
    finding = situation.finding(
        "run_failed",
        str(error),
        observed=type(error).__name__,
        limit="a finished run",
        scope=f"run {run.record.run_id}",
    )
    return _report(context, [finding], rules=("run_failed",), now=now, run_id=run.record.run_id)


def report_validation(context: Context, result: ValidationResult, *, now: datetime) -> Alerted:
    """The same for `sluice validate` alone."""
    fields = {key: value for key, value in result.to_json().items() if key in Validated.model_fields}
    validated = Validated.model_validate(fields)
    findings, rules = _judged(context, validated, situation_of(context, now=now, links=(validated.data_docs,)))
    return _report(context, findings, rules=rules, now=now, run_id=None)


def report_after_promotion(
    context: Context, after: AfterPromotion, *, now: datetime, run_id: str | None = None
) -> Alerted:
    """After `after_promotion_step`: a proven regression stays open until promotion is resumed, arms that lose units
    until they have their shares again."""
    situation = situation_of(context, now=now)
    rolled_back = open_regression(context)
    findings = []
    if rolled_back is not None:
        findings.append(_regression(situation, rolled_back.reason, version=rolled_back.previous, urgency="ticket"))
    elif after.conclusion == "undecided" and after.standing == "provisional":
        findings.append(_regression(situation, after.words, version=after.challenger, urgency="ticket"))
    elif after.step == "alert":
        findings.append(_regression(situation, after.words, version=after.challenger, urgency="page"))
    if after.conclusion == "incomparable":
        observed, limit = "units are missing in one arm", "the shares that units were drawn with"
        findings.append(situation.finding("arm_shares", after.words, observed=observed, limit=limit))
    return _report(context, findings, rules=("regression", "arm_shares"), now=now, run_id=run_id)


def report_integrity(context: Context, problems: Sequence[str], *, now: datetime) -> Alerted:
    """After `sluice verify`: stored bytes that do not match their hash open an incident, whole ones resolve it."""
    found = f"{len(problems)} problems" if len(problems) > 1 else "one problem"
    situation = situation_of(context, now=now)
    findings = (
        [situation.finding("integrity", problems[0], observed=found, limit="every hash holds")] if problems else []
    )
    return _report(context, findings, rules=("integrity",), now=now, run_id=None)


def check_staleness(home: Home, *, actor: str, now: datetime) -> list[Alerted]:
    """The dead-man's alert and stale data, of every task that has run. Called by the monitor's schedule and by
    `alerts`. A task file that cannot be read does not hide the other tasks: the first such error is raised at the end.
    """
    alerted: list[Alerted] = []
    errors: list[SluiceError] = []
    for file in known_tasks(home):
        try:
            context = open_context(file, home=home, actor=actor)
            if list_runs(home, context.name):
                alerted.append(check_task_staleness(context, now=now))
        except SluiceError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return alerted


def check_task_staleness(context: Context, *, now: datetime) -> Alerted:
    """Between runs: is the last success too old, is the log? Repeats what is open and resolves what is whole."""
    situation = situation_of(context, now=now)
    late, of_runs = _stale(context, situation, now)
    old, of_data = _fresh(context, situation, now)
    return _report(context, [*late, *old], rules=(*of_runs, *of_data), now=now, run_id=None)


def acknowledge_incident(home: Home, incident_id: str, *, actor: str, now: datetime) -> Incident:
    """Record who has seen an incident, and tell the receivers of its task; a task file that cannot be read leaves them
    to the next run. Raises UsageError when the incident is not open."""
    incident = acknowledge(home, incident_id, actor=actor, now=now)
    emit_incidents([incident], change="acknowledged")
    for file in known_tasks(home):
        if file.stem == incident.task:
            with suppress(SluiceError):
                context = open_context(file, home=home, actor=actor)
                deliver_pending(
                    home, route=context.task.alerts, environment=incident.environment, task=incident.task, now=now
                )
    return incident


def _judged(
    context: Context, validated: Validated | None, situation: Situation
) -> tuple[list[Finding], tuple[str, ...]]:
    if validated is None:
        return [], ()
    examples = partial(example_rows, context)
    findings = validation_findings(validated, contract=context.contract, situation=situation, examples=examples)
    return findings, rules_judged(validated)


def _regression(situation: Situation, words: str, *, version: int | None, urgency: Urgency) -> Finding:
    """A page while the policy serves, a ticket when it was rolled back."""
    return situation.finding(
        "regression",
        words,
        observed=f"version {version} below the champion before it",
        limit="not below",
        scope=f"version {version} of {situation.task}",
        urgency=urgency,
    )


def _delivery(
    context: Context, ingested: Ingested | None, situation: Situation
) -> tuple[list[Finding], tuple[str, ...]]:
    """Whether most new lines that this run read were rejected; a run that read only known ones says nothing."""
    n_new = ingested.n_accepted + ingested.n_quarantined if ingested is not None else 0
    if ingested is None or n_new == 0:
        return [], ()
    share, limit = ingested.n_quarantined / n_new, context.task.alerts.quarantined_share
    if share < limit:
        return [], ("quarantine",)
    first = next(iter(ingested.reasons), "unknown")
    finding = situation.finding(
        "quarantine",
        f"{ingested.n_quarantined:,} of {n_new:,} new lines were rejected, most of all: {first}",
        observed=f"{share:.0%} of the new lines",
        limit=f"less than {limit:.0%}",
        scope=f"batch {(ingested.batch_id or '')[:12]} of {context.name}",
    )
    return [finding], ("quarantine",)


def _refusals(context: Context, situation: Situation) -> tuple[list[Finding], tuple[str, ...]]:
    """The gate refusing several times in a row, counted over the task's runs."""
    looks = [Looked.model_validate(step) for record in list_runs(context.home, context.name) for step in _looks(record)]
    n, most = refused_in_a_row([look.verdict for look in looks]), context.task.alerts.refusals
    if not looks:
        return [], ()
    if n < most:
        return [], ("gate_refused",)
    observed, limit = f"{n} refusals in a row", f"fewer than {most}"
    scope = f"version {looks[-1].version} of {context.name}"
    return [situation.finding("gate_refused", looks[-1].reasons[0], observed=observed, limit=limit, scope=scope)], (
        "gate_refused",
    )


def _looks(record: RunRecord) -> list[JsonValue]:
    return [record.steps[name] for name in ("look_open", "look") if name in record.steps]


def _stale(context: Context, situation: Situation, now: datetime) -> tuple[list[Finding], tuple[str, ...]]:
    """The dead-man's finding. Runs that a broken contract blocks are not silence: that incident is open already."""
    runs = list_runs(context.home, context.name)
    last, hours = last_success(context.home, context.name), context.task.cadence.stale_after_hours
    late = partial(
        stale_finding,
        task=context.name,
        now=now,
        stale_after_hours=hours,
        owner=situation.owner,
        known_since=runs[0].moment,
        effect=situation.effect("stale", blocks=False),
        next_command=situation.command("stale"),
    )
    finding = late(last)
    if finding is not None and late(_last_answer(context, runs)) is None:
        return [], ()
    return ([finding] if finding is not None else []), ("stale",)


def _last_answer(context: Context, runs: Sequence[RunRecord]) -> datetime | None:
    """When the last run ended that did its job, or that an incident which is still open had blocked."""
    blocked = any(i.finding.blocks for i in open_incidents(context.home, context.name))
    states = ("finished", "blocked") if blocked else ("finished",)
    return max((r.ended_at for r in runs if r.state in states and r.ended_at), default=None)


def _fresh(context: Context, situation: Situation, now: datetime) -> tuple[list[Finding], tuple[str, ...]]:
    """Stale data by the contract's SLA, also where no run would notice; a promise that only warns pages nobody."""
    hours = context.contract.freshness_hours
    if hours is None:
        return [], ("freshness",)
    try:
        newest = newest_interaction(context.home, context.name, now=now)
    except IntegrityError as error:  # silence must still be found, and this as well
        return [situation.finding("integrity", str(error), observed="one problem", limit="every hash holds")], ()
    finding = fresh_finding(
        newest,
        task=context.name,
        now=now,
        freshness_hours=hours,
        owner=situation.owner,
        effect=situation.effect("freshness", blocks=False),
        next_command=situation.command("freshness"),
        urgency="page" if context.contract.freshness_severity == "block" else "ticket",
    )
    return ([finding] if finding is not None else []), ("freshness",)


def _report(
    context: Context, findings: list[Finding], *, rules: tuple[str, ...], now: datetime, run_id: str | None
) -> Alerted:
    result = report_findings(
        context.home,
        task=context.name,
        contract=context.contract.id,
        environment=environment_name(),
        findings=findings,
        rules_checked=rules,
        route=context.task.alerts,
        now=now,
        run_id=run_id,
    )
    _emit(context.home, result)
    return Alerted(
        opened=list(result.opened), resolved=list(result.resolved), open=[*result.opened, *result.still_open]
    )


def _emit(home: Home, result: AlertResult) -> None:
    if not (result.opened or result.repeated or result.resolved):
        return
    incidents = fold(read_events(home))
    for change in ("opened", "repeated", "resolved"):
        emit_incidents([incidents[i] for i in getattr(result, change)], change=change)
