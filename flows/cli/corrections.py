"""Commands that correct what is in the store: the quarantine, and erasure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flows.cli.output import answer, json_option, open_task, utc_now

if TYPE_CHECKING:
    from data_contracts.amendments.readmission import Readmission
    from flows.context import Context
    from flows.erasure import Erased


@click.command(
    epilog="\b\nExamples: sluice quarantine open_bandit\n"
    "          sluice quarantine open_bandit show --reason 'propensity' --limit 5\n"
    "          sluice quarantine open_bandit readmit --dry-run"
)
@click.argument("task")
@click.argument("action", type=click.Choice(["list", "show", "readmit"]), default="list")
@click.option("--reason", metavar="CLASS", help="Only lines whose class of reason begins so (see `list`).")
@click.option("--batch", metavar="BATCH", help="Only lines of the batch whose id begins so.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Lines that `show` prints.")
@click.option("--dry-run", is_flag=True, help="Say what `readmit` would take in; change nothing.")
@json_option
def quarantine(
    task: str, action: str, reason: str | None, batch: str | None, limit: int, dry_run: bool, as_json: bool
) -> None:
    """Lines that were not accepted: count them, look at them, take them in after the contract was mended.

    \b
    list      lines by class of reason, batch and file
    show      raw bytes (safely printed), reason, file, line, offset
    readmit   judge the lines again by today's contract; those that pass leave the quarantine
    """
    from flows.quarantine import count_lines, plan_readmission, readmit_lines, show_lines

    context = open_task(task)
    if action == "list":
        counts = count_lines(context, reason=reason, batch=batch)
        answer(counts, as_json=as_json, text=_counts(context, counts), home=context.home)
    elif action == "show":
        rows = show_lines(context, reason=reason, batch=batch, limit=limit)
        lines = [f"{r['file']}:{r['line']} (byte {r['offset']}): {r['reason']}\n  {r['raw']}" for r in rows]
        answer({"lines": rows}, as_json=as_json, text="\n".join(lines) or "nothing in quarantine", home=context.home)
    else:
        with context.home.lock(context.name):
            run = plan_readmission if dry_run else readmit_lines
            done = run(context, reason=reason, batch=batch, now=utc_now())
        payload = {**_fields(done), "dry_run": dry_run}
        answer(payload, as_json=as_json, text=_readmitted(context, done, dry_run=dry_run), home=context.home)


@click.command(
    epilog="\b\nExamples: sluice erase open_bandit --unit user-17 --dry-run\n"
    "          sluice erase open_bandit --unit user-17 --reason 'request 4711' --yes"
)
@click.argument("task")
@click.option("--unit", required=True, help="The unit_id whose rows go, for good.")
@click.option("--reason", help="Why, for the history; without the unit's id.")
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def erase(task: str, unit: str, reason: str | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove a unit from every table, snapshot, evidence, log and report of a task, and refuse its later rows.

    It cannot be undone. Older versions of the tables can no longer be read, and what was computed from the rows can
    no longer be recomputed: `verify` says so. Policies that learned from them are named, and keep serving. What
    stays is a salted hash, by which later files are refused (their lines count as erased). Each task is erased on
    its own; source files and backups outside of the store are yours to clean.
    """
    from data_contracts.errors import UsageError
    from flows.erasure import erase_unit, plan_erasure

    context = open_task(task)
    with context.home.lock(context.name):
        if not dry_run and not yes:
            if as_json:
                raise UsageError("an erasure cannot be undone: expected --yes with --json, got none. Add --yes.")
            click.echo(_erased(context, plan_erasure(context, unit), done=False))
            click.confirm("Erase this for good?", abort=True)
        done = plan_erasure(context, unit) if dry_run else erase_unit(context, unit, reason=reason, now=utc_now())
    payload = {
        "unit_hash": done.unit_hash,
        **done.plan.model_dump(mode="json"),
        "tables": done.tables,
        "again": done.again,
        "dry_run": dry_run,
    }
    answer(payload, as_json=as_json, text=_erased(context, done, done=not dry_run), home=context.home)


def _counts(context: Context, counts: dict[str, Any]) -> str:
    lines = [f"{context.name}: {counts['n']:,} lines in quarantine"]
    for title in ("reasons", "batches", "files"):
        lines += [f"  {title}:", *(f"    {n:>9,}  {name}" for name, n in counts[title].items())] if counts["n"] else []
    return "\n".join(lines)


def _fields(done: Readmission) -> dict[str, Any]:
    return {
        "n_lines": done.n_lines,
        "n_readmitted": done.n_accepted,
        "n_duplicate": done.n_duplicate,
        "n_erased": done.n_erased,
        "n_quarantined": done.n_quarantined,
        "batches": list(done.batches),
        "reasons": done.reasons,
    }


def _readmitted(context: Context, done: Readmission, *, dry_run: bool) -> str:
    verb = "would be" if dry_run else "were"
    lines = [
        f"{context.name}: of {done.n_lines:,} lines {done.n_accepted:,} {verb} readmitted, {done.n_duplicate:,} are in "
        f"the store already, {done.n_quarantined:,} stay"
    ]
    return "\n".join([*lines, *(f"  stay {n:,}: {reason}" for reason, n in done.reasons.items())])


def _erased(context: Context, erased: Erased, *, done: bool) -> str:
    plan = erased.plan
    lines = [
        f"{context.name}: {'erased' if done else 'to be erased:'} {plan.n_interactions:,} interactions, "
        f"{plan.n_outcomes:,} outcomes, {plan.n_quarantined:,} quarantined lines",
        *(f"  snapshot {snapshot} loses rows and can no longer be recomputed" for snapshot in plan.snapshots),
        *(f"  verdict {look} can no longer be recomputed" for look in plan.looks),
        *(f"  policy version {version} learned from them" for version in plan.policies),
        "  older versions of the tables end here",
    ]
    return "\n".join([*lines, *([f"  kept for refusal: {erased.unit_hash}"] if done else [])])


COMMANDS: tuple[click.Command, ...] = (quarantine, erase)
