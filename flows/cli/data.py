"""Commands about the log: ingest, validate, snapshot."""

from __future__ import annotations

from datetime import datetime

import click

from flows.cli.output import Moment, actor, answer, json_option, open_task, progress_bars, utc_now

EXAMPLES = 5  # quarantined lines that are shown; all of them are in the quarantine table

as_of_option = click.option(
    "--as-of", type=Moment(), help="Moment in event time, ISO 8601 (a date means midnight UTC). Default: now."
)


@click.command(
    epilog="\b\nExamples: sluice ingest open_bandit --from 'logs/2026-11-*.jsonl'\n"
    "          sluice ingest open_bandit --from fixed.jsonl --supersedes 3f2a91c0 --reason 'prices in cents'"
)
@click.argument("task")
@click.option(
    "--from", "paths", multiple=True, required=True, help="File or glob of JSONL, CSV or Parquet; may be repeated."
)
@click.argument("more", nargs=-1)
@click.option("--outcomes", is_flag=True, help="The files hold outcomes (interaction_id, value, observed_at).")
@click.option("--supersedes", metavar="BATCH", help="Put these files in the place of that batch (needs --reason).")
@click.option("--reason", help="Why the batch is replaced, for the history.")
@json_option
def ingest(
    task: str,
    paths: tuple[str, ...],
    more: tuple[str, ...],
    outcomes: bool,
    supersedes: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Read log files into the store; every line ends as accepted, quarantined or duplicate (or erased).

    With --supersedes the rows of an earlier batch leave the live table in the same commit. Older versions of the
    table and snapshots keep them; the answer names the snapshots and policies that hold them.
    """
    from data_contracts.errors import InputError
    from data_contracts.quarantine import list_rows
    from flows.champion import ensure_champion
    from flows.corrections import describe_supersession, replacement_of
    from flows.ingest import ingest_files
    from flows.tasks import expand

    files = [file for pattern in (*paths, *more) for file in expand(pattern)]
    missing = [str(f) for f in files if not f.is_file()]
    if missing or not files:
        raise InputError(f"no such file: expected log files, got {', '.join(missing) or 'none'}. Check --from.")
    replacement = replacement_of(supersedes, reason, actor=actor())
    context = open_task(task, create=True)
    with context.home.lock(context.name), progress_bars(as_json=as_json) as progress:
        ensure_champion(context, now=utc_now())
        result = ingest_files(
            context, files, outcomes=outcomes, now=utc_now(), progress=progress, replacement=replacement
        )
        superseded = describe_supersession(context, result)
    quarantined = [
        {"file": row["file"], "line": row["line"], "reason": row["reason"]}
        for row in list_rows(context.home, context.name, EXAMPLES, batch_id=result.batch_id).to_pylist()
    ]
    payload = {
        "batch_id": result.batch_id,
        "n_read": result.n_read,
        "n_accepted": result.n_accepted,
        "n_quarantined": result.n_quarantined,
        "n_duplicate": result.n_duplicate,
        "table_version": result.table_version,
        "already_ingested": result.already_ingested,
        "reasons": result.reasons,
        "quarantined": quarantined,
        "n_erased": result.n_erased,
        "superseded": superseded,
    }
    text = (
        f"{context.name}: read {result.n_read:,} = accepted {result.n_accepted:,} + quarantined "
        f"{result.n_quarantined:,} + duplicate {result.n_duplicate:,}"
    )
    text += f" + erased {result.n_erased:,}" if result.n_erased else ""
    lines = [text, *(f"  quarantined {n:,}: {reason}" for reason, n in sorted(result.reasons.items()))]
    lines += [f"    e.g. {q['file']}:{q['line']}: {q['reason']}" for q in quarantined]
    lines += [f"  superseded: {key}: {value}" for key, value in (superseded or {}).items()]
    answer(payload, as_json=as_json, text="\n".join(lines), home=context.home)


@click.command(epilog="Example: sluice validate open_bandit --as-of 2019-11-28")
@click.argument("task")
@as_of_option
@json_option
def validate(task: str, as_of: datetime | None, as_json: bool) -> None:
    """Judge the stored rows by the task's contract, and the newest batch for drift. Exit 3: blocked."""
    from flows.champion import ensure_champion
    from flows.monitor import report_validation
    from flows.validation import validate as run

    context = open_task(task)
    with context.home.lock(context.name):
        ensure_champion(context, now=utc_now())
        result = run(context, as_of=as_of, now=utc_now())
        if as_of is None:  # a look into the past neither opens nor resolves an incident
            report_validation(context, result, now=utc_now())
    checks = [*result.checks, *(check for section in result.sections for check in section.checks)]
    found = [c for c in checks if not c.passed]
    lines = [f"{context.name}: {result.level} ({len(checks)} checks on {result.n_interactions:,} rows)"]
    lines += [f"  {c.level}: {c.rule} {c.column or ''}: {c.observed}, expected {c.limit}" for c in found]
    if result.drift is not None:
        lines += [f"  drift: {result.drift.level}, {result.drift.detail}"]
        lines += [f"    in the week before: {cause}" for cause in result.drift.possible_causes]
    lines += [f"  Data Docs: {result.data_docs}"] if result.data_docs else []
    code = 3 if result.level == "block" else 0
    answer(result.to_json(), as_json=as_json, text="\n".join(lines), home=context.home, code=code)


@click.command(epilog="Example: sluice snapshot open_bandit --as-of 2019-11-28")
@click.argument("task")
@as_of_option
@click.option("--table-version", type=int, help="Read the table as it was at this version.")
@json_option
def snapshot(task: str, as_of: datetime | None, table_version: int | None, as_json: bool) -> None:
    """Freeze everything the task has to date, as of a moment, under a content hash."""
    from flows.champion import ensure_champion
    from flows.snapshot import take_snapshot

    context = open_task(task)
    with context.home.lock(context.name):  # beside an erasure it could write the unit's rows anew
        ensure_champion(context, now=utc_now())
        taken = take_snapshot(context, as_of=as_of, now=utc_now(), table_version=table_version)
    text = (
        f"{context.name}: snapshot {taken.snapshot_id}\n  as of {taken.as_of:%Y-%m-%d %H:%M:%S} UTC: "
        f"{taken.n_interactions:,} interactions, {taken.n_matured:,} matured; train {taken.n_train:,}, "
        f"validation {taken.n_validation:,}, gate window {taken.n_gate:,}, left out {taken.n_excluded:,}"
    )
    answer(taken.to_json(), as_json=as_json, text=text, home=context.home)


COMMANDS: tuple[click.Command, ...] = (ingest, validate, snapshot)
