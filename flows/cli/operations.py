"""Commands for the person on call: alerts (its own module), doctor, verify."""

from __future__ import annotations

import click

from flows.cli.alerts import alerts
from flows.cli.output import answer, json_option, open_task, utc_now


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
    lines = [f"{context.name}: {report.verdict}, {report.summary}"]
    lines += [f"  {line}" for line in (*report.problems, *report.erased)]
    payload = {
        "ok": report.ok,
        "problems": list(report.problems),
        "erased": list(report.erased),
        "checked": report.checked,
    }
    answer(payload, as_json=as_json, text="\n".join(lines), home=context.home, code=1 if report.problems else 0)


COMMANDS: tuple[click.Command, ...] = (alerts, doctor, verify)
