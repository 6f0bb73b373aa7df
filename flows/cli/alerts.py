"""Commands for the person on call: open incidents, `ack`, `check`, `test`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from data_contracts.errors import SluiceError
from flows.cli.output import actor, answer, json_option, open_task, utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from data_contracts.home import Home
    from flows.alerts.incident import Incident


@click.group(invoke_without_command=True, epilog="Example: sluice alerts ack INCIDENT")
@click.pass_context
@json_option
def alerts(ctx: click.Context, as_json: bool) -> None:
    """Open incidents; `ack` one, `check` a task, or send a `test` through the sinks."""
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
    """Ask of one task whether its last successful run or its data is too old, and list its open incidents."""
    from flows.alerts.incidents import open_incidents
    from flows.monitor import check_task_staleness

    context, now = open_task(task), utc_now()
    check_task_staleness(context, now=now)
    _show(open_incidents(context.home, context.name), context.home, now, as_json)


@alerts.command(epilog="Example: sluice alerts ack prod.shop.shop.freshness.1")
@click.argument("incident")
@json_option
def ack(incident: str, as_json: bool) -> None:
    """Say that you have seen an incident; the pager hears of it, and it repeats less."""
    from data_contracts.home import require_home
    from flows.monitor import acknowledge_incident

    home = require_home()
    found = acknowledge_incident(home, incident, actor=actor(), now=utc_now())
    payload = {"incident": found.incident_id, "acknowledged_by": found.acknowledged_by}
    answer(payload, as_json=as_json, text=f"{found.incident_id}: acknowledged by {found.acknowledged_by}", home=home)


@alerts.command(epilog="Example: sluice alerts test digits_bandit")
@click.argument("task")
@json_option
def test(task: str, as_json: bool) -> None:
    """Send a test message through every sink of a task's route."""
    from flows.alerts.outbox import send_test

    context = open_task(task)
    sent = send_test(context.home, route=context.task.alerts, now=utc_now())
    lines = [f"  {name} ({label}): {'delivered' if ok else 'NOT delivered'}" for name, (label, ok) in sent.items()]
    payload = {"sinks": {name: ok for name, (_, ok) in sent.items()}}
    code = 0 if all(payload["sinks"].values()) else 1
    answer(payload, as_json=as_json, text="\n".join(["test:", *lines]), home=context.home, code=code)


def _list(as_json: bool) -> None:
    from data_contracts.home import require_home
    from flows.alerts.incidents import open_incidents
    from flows.monitor import check_staleness

    home, now = require_home(), utc_now()
    try:
        check_staleness(home, actor=actor(), now=now)
    except SluiceError as error:  # a task file that moved must not hide the incidents that are open
        click.echo(f"staleness not checked: {error}", err=True)
    _show(open_incidents(home), home, now, as_json)


def _show(incidents: Sequence[Incident], home: Home, now: datetime, as_json: bool) -> None:
    from flows.alerts.outbox import count_owed

    pending = count_owed(home)
    lines = [_line(incident, now) for incident in incidents]
    waiting = [f"waiting for {sink}: {n}" for sink, n in pending.items()]
    payload = {"incidents": [i.to_json() for i in incidents], "pending": pending}
    text = "\n".join([*(lines or ["no open incidents"]), *waiting])
    answer(payload, as_json=as_json, text=text, home=home)


def _line(incident: Incident, now: datetime) -> str:
    hours = (now - incident.opened_at).total_seconds() / 3600
    facts = [f"since {incident.opened_at:%Y-%m-%d %H:%M} ({hours:,.0f} h)"]
    facts += [f"repeated {incident.n_repeats} times"] if incident.n_repeats else []
    facts += [f"seen by {incident.acknowledged_by}"] if incident.acknowledged_by else []
    where = f"{incident.task}/{incident.rule}"
    return (
        f"{incident.incident_id}  {incident.urgency:<6}  {where}  {', '.join(facts)}: {incident.summary}\n"
        f"  next: {incident.finding.next_command}"
    )
