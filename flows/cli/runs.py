"""Commands that run the loop: demo, retrain, backfill, status."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click

from flows.cli.data import as_of_option
from flows.cli.output import Duration, Moment, answer, json_option, open_task, progress_bars, utc_now


@click.command(epilog="Example: sluice demo")
@json_option
def demo(as_json: bool) -> None:
    """Run the whole loop on the shipped tasks and say where the reports are."""
    from data_contracts.home import create_home
    from flows.cli.output import actor
    from flows.demo import run_demo

    home = create_home()
    with progress_bars(as_json=as_json) as progress:
        runs = run_demo(home, actor=actor(), now=utc_now(), progress=progress)
    text = "\n\n".join(run.text for run in runs)
    answer({"runs": [run.payload for run in runs]}, as_json=as_json, text=text, home=home)


@click.command(epilog="Example: sluice retrain open_bandit --from new.jsonl")
@click.argument("task")
@click.option("--from", "paths", multiple=True, help="Log file or glob to ingest first. Default: the task's source.")
@as_of_option
@json_option
def retrain(task: str, paths: tuple[str, ...], as_of: datetime | None, as_json: bool) -> None:
    """The whole run: ingest, validate, snapshot, train, gate, promote, report. Exit 3: data blocked, 4: refused."""
    from flows.loop import retrain as run
    from flows.summary import run_payload, run_text
    from flows.tasks import expand

    files = [file for pattern in paths for file in expand(pattern)]
    context = open_task(task, create=bool(paths))
    with progress_bars(as_json=as_json) as progress:
        result = run(context, paths=files, as_of=as_of, now=utc_now(), progress=progress)
    code = 4 if result.verdict == "refuse" else 0
    payload, text = run_payload(context, result), run_text(context, result)
    answer(payload, as_json=as_json, text=text, home=context.home, code=code)


@click.command(epilog="Example: sluice backfill open_bandit --start 2019-11-26 --end 2019-11-30 --every 2d --dry-run")
@click.argument("task")
@click.option("--start", type=Moment(), required=True, help="First as-of date.")
@click.option("--end", type=Moment(), required=True, help="Last as-of date (included).")
@click.option("--every", type=Duration(), default="7d", show_default=True, help="Step between dates: 12h, 7d, 2w.")
@click.option(
    "--reprocess",
    type=click.Choice(["missing", "failed", "all"]),
    default="missing",
    show_default=True,
    help="Which dates to run: never run, failed before, or every one.",
)
@click.option("--max-active", type=click.IntRange(1), default=1, show_default=True, help="Dates worked on at once.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
def backfill(
    task: str,
    start: datetime,
    end: datetime,
    every: timedelta,
    reprocess: str,
    max_active: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Snapshots and policies as runs at past moments would have made them; never promotes."""
    from flows.backfill import as_of_dates, plan_backfill
    from flows.backfill import backfill as run

    dates = as_of_dates(start, end, every)
    if not dates:
        raise click.UsageError(f"no dates: --start {start:%Y-%m-%d} is after --end {end:%Y-%m-%d}")
    context = open_task(task)
    partitions = plan_backfill(context, dates, reprocess=reprocess)  # type: ignore[arg-type]  # click checked it
    if not dry_run:
        with progress_bars(as_json=as_json) as progress:
            partitions = run(context, partitions, max_active=max_active, now=utc_now(), progress=progress)
    lines = [
        f"  {p.as_of:%Y-%m-%d %H:%M}  {p.status:<8}  {(p.snapshot_id or '')[:12]:<12}  "
        f"{f'version {p.version}' if p.version else p.error or ''}"
        for p in partitions
    ]
    failed = any(p.status == "failed" for p in partitions)
    payload = {"dry_run": dry_run, "partitions": [p.model_dump(mode="json") for p in partitions]}
    text = "\n".join([f"{context.name}:", *lines])
    answer(payload, as_json=as_json, text=text, home=context.home, code=1 if failed else 0)


@click.command(epilog="Example: sluice status digits_bandit")
@click.argument("task", required=False)
@json_option
def status(task: str | None, as_json: bool) -> None:
    """Champion and its age, last run, open challenger, next look, open incidents."""
    from data_contracts.home import require_home
    from flows.champion import known_tasks
    from flows.cli.output import actor
    from flows.context import open_context
    from flows.status import task_status

    home = require_home()
    names: list[str | Path] = [task] if task else list(known_tasks(home))
    found = [task_status(open_context(name, home=home, actor=actor()), now=utc_now()) for name in names]
    text = "\n\n".join(s.text for s in found) or "no task has state here yet"
    answer({"tasks": [s.payload for s in found]}, as_json=as_json, text=text, home=home)


COMMANDS: tuple[click.Command, ...] = (demo, retrain, backfill, status)
