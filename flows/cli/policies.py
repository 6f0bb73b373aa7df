"""Commands about policies: train, evaluate, look, policies, lineage, promote, rollback, resume, act."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from flows.cli.data import as_of_option
from flows.cli.output import answer, json_option, open_task, outline, progress_bars, utc_now

version_option = click.option("--version", type=int, required=True, help="Version number, see `sluice policies`.")
reason_option = click.option("--reason", required=True, help="Why, for the history.")


@click.command(epilog="Example: sluice train digits_bandit --as-of 2026-10-15")
@click.argument("task")
@as_of_option
@click.option("--from-version", type=int, help="Train on from the weights of this earlier version.")
@json_option
def train(task: str, as_of: datetime | None, from_version: int | None, as_json: bool) -> None:
    """Train challengers on a snapshot; the chosen one takes the slot if it is free."""
    from flows.champion import ensure_champion
    from flows.snapshot import take_snapshot
    from flows.training import open_if_free
    from flows.training import train as run

    context = open_task(task)
    with context.home.lock(context.name), progress_bars(as_json=as_json) as progress:
        ensure_champion(context, now=utc_now())
        snapshot = take_snapshot(context, as_of=as_of, now=utc_now())
        trained = run(context, snapshot.snapshot_id, parent=from_version, now=utc_now(), progress=progress)
        opened = open_if_free(context, trained.version, now=utc_now())
    text = (
        f"{context.name}: version {trained.version} ({trained.algorithm}, seed {trained.seed} of {trained.seeds}) from "
        f"snapshot {trained.snapshot_id[:12]}; " + ("it is the challenger now" if opened else "the slot is taken")
    )
    payload = {**trained.model_dump(mode="json"), "opened": opened}
    answer(payload, as_json=as_json, text=text, home=context.home)


@click.command(epilog="Example: sluice evaluate digits_bandit --version 2 --against 1")
@click.argument("task")
@version_option
@click.option("--against", type=int, help="Version to compare with. Default: the champion.")
@json_option
def evaluate(task: str, version: int, against: int | None, as_json: bool) -> None:
    """Estimate a version's value on its validation rows; the gate's rows are not read."""
    from flows.champion import ensure_champion
    from flows.evaluation import estimate_on_validation, load_pair
    from flows.truth import exact_value

    context = open_task(task)
    champion = ensure_champion(context, now=utc_now())
    pair = load_pair(context, version=version, against=champion if against is None else against)
    estimates = [asdict(e) for e in estimate_on_validation(context, pair)]
    truth = {
        "challenger": exact_value(context, pair.challenger_policy),
        "champion": exact_value(context, pair.champion_policy),
    }
    lines = [f"{context.name}: version {version} against {pair.champion}, validation rows only"]
    lines += [
        f"  {e['policy']:<11} {e['estimator']:<6} {e['value']:+.4f}  [{e['lower']:+.4f}, {e['upper']:+.4f}]"
        f"  effective sample size {e['effective_sample_size']:,.0f}"
        for e in estimates
    ]
    lines += [f"  exact value of the {name}: {value:.4f}" for name, value in truth.items() if value is not None]
    payload = {"version": version, "against": pair.champion, "estimates": estimates, "truth": truth}
    answer(payload, as_json=as_json, text="\n".join(lines), home=context.home)


@click.command(epilog="Example: sluice look digits_bandit")
@click.argument("task")
@json_option
def look(task: str, as_json: bool) -> None:
    """Spend one planned look of the gate at the open challenger. Exit 4: the gate refused."""
    from flows.champion import ensure_champion
    from flows.look import look_now
    from flows.promote import act_on_verdict

    context = open_task(task)
    with context.home.lock(context.name):
        ensure_champion(context, now=utc_now())
        looked = look_now(context, now=utc_now())
        act_on_verdict(context, looked, may_promote=False, now=utc_now())
    payload = {
        "verdict": looked.verdict,
        "reasons": looked.reasons,
        "evidence": looked.evidence_id,
        "look": looked.look,
        "n_looks": looked.n_looks,
        "version": looked.version,
        "champion": looked.champion,
    }
    lines = [f"{context.name}: {looked.verdict} (look {looked.look} of {looked.n_looks} at version {looked.version})"]
    lines += [f"  {reason}" for reason in looked.reasons]
    code = 4 if looked.verdict == "refuse" else 0
    answer(payload, as_json=as_json, text="\n".join(lines), home=context.home, code=code)


@click.command(epilog="Example: sluice policies digits_bandit --json")
@click.argument("task")
@json_option
def policies(task: str, as_json: bool) -> None:
    """List versions, aliases and the history of the champion."""
    from flows.champion import ensure_champion
    from policies.registry import aliases, history, list_versions

    context = open_task(task)
    ensure_champion(context, now=utc_now())
    names = aliases(context.home, context.name)
    versions = list_versions(context.home, context.name)
    moves = history(context.home, context.name)
    payload = {
        "versions": [m.model_dump(mode="json") for m in versions],
        "aliases": names,
        "history": [m.model_dump(mode="json") for m in moves],
    }
    marks = {version: name for name, version in names.items() if version is not None}
    lines = [f"{context.name}:"]
    lines += [f"  {m.version:>3}  {m.origin:<8}  {m.description:<40}  {marks.get(m.version, '')}" for m in versions]
    lines += ["history:"]
    lines += [
        f"  {m.index:>3}  {m.at:%Y-%m-%d %H:%M}  {m.action} {m.version} by {m.actor}"
        f"{' OVERRIDE' if m.override else ''}: {m.reason}"
        for m in moves
    ]
    answer(payload, as_json=as_json, text="\n".join(lines), home=context.home)


@click.command(epilog="Example: sluice lineage digits_bandit --version 2")
@click.argument("task")
@click.option("--version", type=int, help="What a version came from.")
@click.option("--snapshot", "snapshot_id", help="What a snapshot led to (an id, or its unambiguous beginning).")
@json_option
def lineage(task: str, version: int | None, snapshot_id: str | None, as_json: bool) -> None:
    """Which data made which policy, both ways."""
    from policies.lineage import lineage_of_snapshot, lineage_of_version

    if (version is None) == (snapshot_id is None):
        raise click.UsageError("name exactly one of --version and --snapshot")
    context = open_task(task)
    if version is not None:
        found = lineage_of_version(context.home, context.name, version).to_json()
    else:
        found = lineage_of_snapshot(context.home, context.name, snapshot_id or "").to_json()
    text = "\n".join([f"{context.name}:", *outline(found)])
    answer(found, as_json=as_json, text=text, home=context.home)


@click.command(epilog="Example: sluice promote digits_bandit --version 2 --reason 'verdict of look 1'")
@click.argument("task")
@version_option
@reason_option
@click.option("--override", is_flag=True, help="Promote without a promote verdict; shown red for ever.")
@json_option
def promote(task: str, version: int, reason: str, override: bool, as_json: bool) -> None:
    """Make a version the champion."""
    from flows.promote import promote_by_hand

    context = open_task(task)
    entry = promote_by_hand(context, version=version, reason=reason, override=override, now=utc_now())
    payload = {"champion": entry.version, "previous": entry.previous, "history_id": entry.index}
    text = f"{context.name}: version {entry.version} serves now (before: {entry.previous})"
    answer({**payload, "override": entry.override}, as_json=as_json, text=text, home=context.home)


@click.command(epilog="Example: sluice rollback digits_bandit --reason 'complaints doubled'")
@click.argument("task")
@click.option("--version", type=int, help="Version to go back to. Default: the champion before.")
@reason_option
@json_option
def rollback(task: str, version: int | None, reason: str, as_json: bool) -> None:
    """Go back to an earlier champion; the version left is barred, automatic promotion waits for `resume`."""
    from flows.promote import roll_back

    context = open_task(task)
    entry = roll_back(context, to=version, reason=reason, now=utc_now())
    payload = {"champion": entry.version, "previous": entry.previous, "history_id": entry.index}
    text = (
        f"{context.name}: version {entry.version} serves again; version {entry.previous} is barred. "
        "Automatic promotion waits for `sluice resume`."
    )
    answer(payload, as_json=as_json, text=text, home=context.home)


@click.command(epilog="Example: sluice resume digits_bandit --reason 'cause found'")
@click.argument("task")
@reason_option
@json_option
def resume(task: str, reason: str, as_json: bool) -> None:
    """Let runs promote again after a rollback."""
    from policies.registry import resume as run

    context = open_task(task)
    entry = run(context.home, context.name, reason=reason, actor=context.actor, now=utc_now())
    payload = {"champion": entry.version, "previous": entry.previous, "history_id": entry.index}
    answer(payload, as_json=as_json, text=f"{context.name}: runs may promote again", home=context.home)


@click.command(epilog="Example: sluice act digits_bandit --observations rows.jsonl")
@click.argument("task")
@click.option(
    "--observations",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="JSONL, CSV or Parquet with the observation columns; unit_id and interaction_id are optional.",
)
@click.option("--seed", type=int, help="Make the draws repeatable (for tests; serving leaves it out).")
@json_option
def act(task: str, observations: Path, seed: int | None, as_json: bool) -> None:
    """Let the champion decide; every decision is logged with its exact propensity, ready to be ingested."""
    from flows.act import act_on_file

    context = open_task(task, create=True)
    served = act_on_file(context, observations, seed=seed, now=utc_now())
    payload = {
        "n": len(served.rows),
        "policy_version": served.policy_version,
        "log": str(served.log),
        "rows": served.rows,
    }
    lines = [f"{r['interaction_id']}  action {r['action']}  propensity {r['propensity']:.4f}" for r in served.rows[:20]]
    lines += [f"… {len(served.rows) - 20:,} more"] if len(served.rows) > 20 else []
    lines += [f"{context.name}: version {served.policy_version} decided {len(served.rows):,} rows; log: {served.log}"]
    answer(payload, as_json=as_json, text="\n".join(lines), home=context.home)


COMMANDS: tuple[click.Command, ...] = (
    train,
    evaluate,
    look,
    policies,
    lineage,
    promote,
    rollback,
    resume,
    act,
)
