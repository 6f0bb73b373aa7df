"""Commands for the person on call: alerts, doctor, verify."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from data_contracts.errors import SluiceError
from flows.cli.output import actor, answer, json_option, open_task, utc_now

if TYPE_CHECKING:
    from data_contracts.home import Home
    from flows.alerts.incidents import Incident


@click.group(invoke_without_command=True, epilog="Example: sluice alerts ack INCIDENT")
@click.pass_context
@json_option
def alerts(ctx: click.Context, as_json: bool) -> None:
    """Open incidents; `ack` one, or send a `test` through the sinks."""
    if ctx.invoked_subcommand is None:
        _list(as_json)


@alerts.command("list")
@json_option
def list_alerts(as_json: bool) -> None:
    """Open incidents of every task."""
    _list(as_json)


@alerts.command("check", epilog="Example: sluice alerts check path/to/task.yaml")
@click.argument("task")
@json_option
def check_task(task: str, as_json: bool) -> None:
    """Ask of one task whether its last successful run is too old, and list its open incidents."""
    from flows.alerts.incidents import open_incidents
    from flows.monitor import check_task_staleness

    context = open_task(task)
    check_task_staleness(context, now=utc_now())
    _show(open_incidents(context.home, context.name), context.home, as_json)


@alerts.command(epilog="Example: sluice alerts ack 3f2a…")
@click.argument("incident")
@json_option
def ack(incident: str, as_json: bool) -> None:
    """Say that you have seen an incident."""
    from data_contracts.home import require_home
    from flows.alerts.incidents import acknowledge

    home = require_home()
    found = acknowledge(home, incident, actor=actor(), now=utc_now())
    payload = {"incident": found.incident_id, "acknowledged_by": actor()}
    answer(payload, as_json=as_json, text=f"{found.incident_id}: acknowledged", home=home)


@alerts.command(epilog="Example: sluice alerts test digits_bandit")
@click.argument("task")
@json_option
def test(task: str, as_json: bool) -> None:
    """Send a test message through every sink of a task's route."""
    from flows.alerts.outbox import send_test

    context = open_task(task)
    delivered = send_test(context.home, webhooks=context.task.alerts.webhooks, now=utc_now())
    lines = [f"  {sink}: {'delivered' if ok else 'NOT delivered'}" for sink, ok in delivered.items()]
    code = 0 if all(delivered.values()) else 1
    answer({"sinks": delivered}, as_json=as_json, text="\n".join(["test:", *lines]), home=context.home, code=code)


@click.command(epilog="Example: sluice doctor")
@json_option
def doctor(as_json: bool) -> None:
    """Boot every part of the stack and name what is wrong."""
    from data_contracts.home import find_home
    from flows.doctor import examine

    parts = examine()
    lines = [f"  {'ok  ' if p.ok else 'FAIL'}  {p.part:<20} {p.detail}" for p in parts]
    healthy = all(p.ok for p in parts)
    payload = {"ok": healthy, "parts": [{"part": p.part, "ok": p.ok, "detail": p.detail} for p in parts]}
    answer(payload, as_json=as_json, text="\n".join(lines), home=find_home(), code=0 if healthy else 1)


@click.command(epilog="Example: sluice verify digits_bandit")
@click.argument("task")
@json_option
def verify(task: str, as_json: bool) -> None:
    """Check every hash and link, and recompute every verdict from its evidence."""
    from flows.monitor import report_integrity
    from flows.verify import verify_task

    context = open_task(task)
    report = verify_task(context)
    report_integrity(context, report.problems, now=utc_now())
    lines = [f"{context.name}: {'ok' if not report.problems else 'BROKEN'}, {report.summary}"]
    lines += [f"  {problem}" for problem in report.problems]
    payload = {"ok": not report.problems, "problems": list(report.problems), "checked": report.checked}
    answer(payload, as_json=as_json, text="\n".join(lines), home=context.home, code=1 if report.problems else 0)


def _list(as_json: bool) -> None:
    from data_contracts.home import require_home
    from flows.alerts.incidents import open_incidents
    from flows.monitor import check_staleness

    home = require_home()
    try:
        check_staleness(home, actor=actor(), now=utc_now())
    except SluiceError as error:  # a task file that moved must not hide the incidents that are open
        click.echo(f"staleness not checked: {error}", err=True)
    _show(open_incidents(home), home, as_json)


def _show(incidents: Sequence[Incident], home: Home, as_json: bool) -> None:
    lines = [
        f"{i.incident_id}  {i.urgency:<6}  {i.task}/{i.rule}  since {i.opened_at:%Y-%m-%d %H:%M}: {i.summary}"
        for i in incidents
    ]
    payload = {"incidents": [i.to_json() for i in incidents]}
    answer(payload, as_json=as_json, text="\n".join(lines) or "no open incidents", home=home)


COMMANDS: tuple[click.Command, ...] = (alerts, doctor, verify)
