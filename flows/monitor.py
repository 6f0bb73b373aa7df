"""What a run, a failure or silence means for the person on call: findings become incidents, clean runs resolve them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from data_contracts.home import Home
from data_contracts.validation import ValidationResult
from flows.alerts.incidents import AlertResult, Finding, report_findings, stale_finding
from flows.champion import known_tasks
from flows.context import Context, open_context
from flows.records import Alerted, Looked, Validated
from flows.runs import Run, last_success, list_runs
from flows.settings import environment_name

VALIDATION_RULES = ("contract", "drift")
RUN_RULES = (*VALIDATION_RULES, "run_failed", "gate_refused", "stale")


def report_run(context: Context, run: Run, *, now: datetime) -> Alerted:
    """After a run, blocked or not: open what it found, resolve what it found whole again."""
    validated = run.result("validate", Validated)
    looked = run.result("look", Looked) or run.result("look_open", Looked)
    findings = _validation_findings(context, validated) if validated is not None else []
    if looked is not None and looked.verdict == "refuse":
        findings.append(_finding(context, "gate_refused", looked.reasons[0], observed="refuse", limit="a verdict"))
    blocked = validated is not None and validated.level == "block"
    rules = VALIDATION_RULES if blocked else tuple(r for r in RUN_RULES if r != "gate_refused" or looked is not None)
    return _alerted(_report(context, findings, rules=rules, now=now, run_id=run.record.run_id))


def report_failure(context: Context, run: Run, error: Exception, *, now: datetime) -> Alerted:
    """A run that ended in an error opens one incident; the next run that ends well resolves it."""
    finding = _finding(context, "run_failed", str(error), observed=type(error).__name__, limit="a finished run")
    return _alerted(_report(context, [finding], rules=("run_failed",), now=now, run_id=run.record.run_id))


def report_validation(context: Context, result: ValidationResult, *, now: datetime) -> Alerted:
    """The same for `sluice validate` alone."""
    fields = {key: value for key, value in result.to_json().items() if key in Validated.model_fields}
    findings = _validation_findings(context, Validated.model_validate(fields))
    return _alerted(_report(context, findings, rules=VALIDATION_RULES, now=now, run_id=None))


def report_integrity(context: Context, problems: Sequence[str], *, now: datetime) -> Alerted:
    """After `sluice verify`: stored bytes that do not match their hash open an incident, whole ones resolve it."""
    found = f"{len(problems)} problems" if len(problems) > 1 else "one problem"
    findings = (
        [_finding(context, "integrity", problems[0], observed=found, limit="every hash holds")] if problems else []
    )
    return _alerted(_report(context, findings, rules=("integrity",), now=now, run_id=None))


def check_staleness(home: Home, *, actor: str, now: datetime) -> list[Alerted]:
    """The dead-man's alert: no successful run within a task's SLA. Called by the monitor's schedule and by `alerts`."""
    return [
        check_task_staleness(context, now=now)
        for file in known_tasks(home)
        if list_runs(home, (context := open_context(file, home=home, actor=actor)).name)
    ]


def check_task_staleness(context: Context, *, now: datetime) -> Alerted:
    """Open or resolve the `stale` incident of one task."""
    runs = list_runs(context.home, context.name)
    last = last_success(context.home, context.name) or runs[0].moment
    finding = stale_finding(
        last,
        now=now,
        stale_after_hours=context.task.cadence.stale_after_hours,
        task=context.name,
        owner=_owner(context),
    )
    findings = [finding] if finding is not None else []
    return _alerted(_report(context, findings, rules=("stale",), now=now, run_id=None))


def _validation_findings(context: Context, validated: Validated) -> list[Finding]:
    """One finding per root cause: a broken contract explains a drift, so only the contract is reported then."""
    broken = [c for c in validated.checks if not c["passed"]]
    if broken:
        worst = broken[0]
        names = ", ".join(sorted({str(c["rule"]) for c in broken}))
        return [
            _finding(
                context,
                "contract",
                f"{len(broken)} of {len(validated.checks)} checks failed: {names}",
                observed=str(worst["observed"]),
                limit=str(worst["limit"]),
                link=validated.data_docs,
            )
        ]
    if validated.drift is not None and validated.drift["level"] != "ok":
        top = "; ".join(
            f"{m['name']} {m['observed']:.4g} (expected {m['expected']:.4g})" for m in validated.drift["top"]
        )
        return [
            _finding(
                context,
                "drift",
                f"the newest batch differs from the {validated.drift['reference']}: {top}",
                observed=f"statistic {validated.drift['statistic']:.3g}, level {validated.drift['level']}",
                limit=str(validated.drift["false_alarm_budget"]),
                link=validated.data_docs,
            )
        ]
    return []


def _finding(
    context: Context, rule: str, summary: str, *, observed: str, limit: str, link: str | None = None
) -> Finding:
    return Finding.of_rule(
        rule,
        summary=summary,
        observed=observed,
        limit=limit,
        scope=f"task {context.name}",
        owner=_owner(context),
        links=(link,) if link else (),
        next_command=f"sluice status {context.name}",
    )


def _owner(context: Context) -> str:
    """Whom to call, and where."""
    return f"{context.contract.owner}, {context.contract.support}"


def _report(
    context: Context, findings: list[Finding], *, rules: tuple[str, ...], now: datetime, run_id: str | None
) -> AlertResult:
    return report_findings(
        context.home,
        task=context.name,
        environment=environment_name(),
        findings=findings,
        rules_checked=rules,
        webhooks=context.task.alerts.webhooks,
        now=now,
        run_id=run_id,
    )


def _alerted(result: AlertResult) -> Alerted:
    return Alerted(
        opened=list(result.opened), resolved=list(result.resolved), open=[*result.opened, *result.still_open]
    )
