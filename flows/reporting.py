"""Collect what a run did into the facts of its report, from committed records alone."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from data_contracts.ingest import count_accounting, read_batches
from data_contracts.quarantine import summarize
from data_contracts.snapshot import Snapshot, load_snapshot
from data_contracts.storage import read_json
from flows.after_promotion import AfterPromotion
from flows.alerts.incidents import open_incidents
from flows.challenger import gate_settings
from flows.context import Context
from flows.evaluation import estimate_on_validation, load_pair
from flows.first_day import FirstDayFound
from flows.records import Ingested, Looked, Reported, Snapshotted, Triggered, Validated, Waits
from flows.report.compare import describe_changes
from flows.report.data_facts import Drift
from flows.report.facts import RunFacts, read_facts
from flows.report.gate_facts import gate_checks
from flows.report.render import write_report
from flows.runs import Run, list_runs
from flows.settings import code_version, lock_sha256
from flows.truth import exact_value, exact_values_by_segment
from flows.versions import policy_of
from policies.export import load_policy
from policies.gate.evidence import Evidence, load_evidence
from policies.registry import HistoryEntry, history, list_versions, load_version, read_version

Facts = dict[str, Any]  # one section of RunFacts, checked by its model


def write_run_report(context: Context, run: Run) -> Reported:
    """HTML and JSON beside the run's record; says what changed since the task's last report."""
    facts = collect_facts(context, run)
    changes = tuple(describe_changes(_previous(context, run), facts))
    html = write_report(facts.model_copy(update={"changes": changes}), run.folder)
    return Reported(html=str(html), json_path=str(html.with_suffix(".json")))


def collect_facts(context: Context, run: Run) -> RunFacts:
    """Everything the report shows of a run, in whatever state it ended."""
    looked = run.result("look", Looked) or run.result("look_open", Looked)
    evidence = load_evidence(context.home, context.name, looked.evidence_id) if looked else None
    snapshotted = run.result("snapshot", Snapshotted)
    snapshot = load_snapshot(context.home, context.name, snapshotted.snapshot_id)[0] if snapshotted else None
    sections: Facts = {
        "task": context.name,
        "description": context.task.description,
        "run_id": run.record.run_id,
        "command": run.record.command,
        "started_at": run.record.moment,
        "ended_at": datetime.now(UTC),
        "as_of": snapshot.as_of if snapshot else run.record.moment,
        **_trigger(run),
        **_verdict(context, run, looked, evidence),
        **_policies(context, looked),
        **_values(context, looked, evidence),
        **_training(context, looked),
        **_standing(run),
        "data": _data(context, run, snapshot, evidence),
        "lineage": _lineage(context, snapshot),
        "incidents": [
            {"rule": i.rule, "urgency": i.urgency, "summary": i.summary, "since": i.opened_at}
            for i in open_incidents(context.home, context.name)
        ],
        "next": _next(context, looked),
    }
    return RunFacts.model_validate(sections)


def _previous(context: Context, run: Run) -> RunFacts | None:
    """The facts of the task's last report before this run."""
    earlier = [r for r in list_runs(context.home, context.name) if r.run_id != run.record.run_id]
    for record in reversed(earlier):
        path = context.home.runs(context.name) / record.run_id / "report.json"
        if path.exists():
            return read_facts(path)
    return None


def _trigger(run: Run) -> Facts:
    triggered = run.result("trigger", Triggered)
    if triggered is None:
        return {"trigger": {"fired": [], "detail": "", "trained": False, "why_not": "the data was blocked"}}
    fields = triggered.model_dump(include={"fired", "detail", "why_not"})
    return {"trigger": {**fields, "trained": "train" in run.record.steps}}


def _verdict(context: Context, run: Run, looked: Looked | None, evidence: Evidence | None) -> Facts:
    if looked is None or evidence is None:
        triggered = run.result("trigger", Triggered)
        validated = run.result("validate", Validated)
        blocked = validated is not None and validated.level == "block"
        sentence = "The data breaks its contract: nothing was trained, the champion keeps serving." if blocked else ""
        first_day = run.result("first_day", FirstDayFound)
        if first_day is not None:
            return {"verdict": first_day.verdict, "sentence": first_day.reasons[0], "reasons": first_day.reasons[1:]}
        waits = run.result("waits", Waits)
        nothing = f"Nothing was trained: {triggered.detail if triggered else ''}."
        return {"verdict": None, "sentence": sentence or (f"V{waits.sentence[1:]}." if waits else nothing)}
    numbers = evidence.decision.evidence
    gate = {
        key: numbers[key]
        for key in ("log_e_promote", "log_e_block", "log_threshold", "look", "n_looks", "n", "n_units", "trajectory")
    }
    more = numbers["more"]
    return {
        "verdict": looked.verdict,
        "sentence": looked.reasons[0],
        "reasons": looked.reasons[1:],
        "per": "interaction" if numbers.get("episodes") is None else "episode",
        "override": _chosen(_champion_moves(context)).override,
        "lift": numbers["lift"],
        "gate": {**gate, "evidence_id": looked.evidence_id, "looks": _looks(numbers)},
        "more": more and {**more, "minimum_lift": gate_settings(context, looked.version).minimum_lift},
        "weights": numbers["weights"],
        "checks": gate_checks(numbers, truth=_truth_of_segments(context, looked)),
    }


def _truth_of_segments(context: Context, looked: Looked) -> dict[str, float]:
    """Exact differences by `column=value`, where the world is simulated."""
    before, after = (
        exact_values_by_segment(context, policy_of(context, version)) for version in (looked.champion, looked.version)
    )
    return {name: after[name] - before[name] for name in before}


def _standing(run: Run) -> Facts:
    found = run.result("standing", AfterPromotion)
    if found is None:
        return {}
    return {"standing": {"standing": found.standing, "words": found.words, "step": found.step}}


def _looks(numbers: Facts) -> list[Facts]:
    """Evidence in both directions at the end of each look so far; none where the gate refused."""
    at_looks = numbers["log_e_at_looks"]
    if at_looks is None:
        return []
    ends = numbers["inputs"]["look_ends"]
    return [
        {"n": n, "log_e_promote": promote, "log_e_block": block}
        for n, promote, block in zip(ends, at_looks["promote"], at_looks["block"], strict=True)
    ]


def _policies(context: Context, looked: Looked | None) -> Facts:
    champion_moves = _champion_moves(context)
    champion = read_version(context.home, context.name, champion_moves[-1].version)
    facts: Facts = {
        "champion": {
            "version": champion.version,
            "origin": champion.origin,
            "description": champion.description,
            "since": champion_moves[-1].at,
        },
        "previous_champion": _chosen(champion_moves).previous,
    }
    if looked is None:
        return facts
    manifest = read_version(context.home, context.name, looked.version)
    serves = looked.version in (champion.version, _chosen(champion_moves).version)
    state = "promoted" if serves else "closed" if looked.final else "open"
    challenger = {
        "version": looked.version,
        "algorithm": manifest.algorithm,
        "seed": manifest.seed,
        "artifact_sha256": manifest.artifact_sha256,
        "state": state,
        "trained_until": manifest.trained_until,
    }
    return {**facts, "challenger": challenger}


def _chosen(moves: list[HistoryEntry]) -> HistoryEntry:
    """The last move that chose who serves: a holdback and its end only say how settled that is."""
    return next(move for move in reversed(moves) if move.action not in ("holdback", "confirm"))


def _champion_moves(context: Context) -> list[HistoryEntry]:
    return [m for m in history(context.home, context.name) if m.alias == "champion" and m.action != "resume"]


def _values(context: Context, looked: Looked | None, evidence: Evidence | None) -> Facts:
    """Estimates on the gate's rows (on validation rows, where the gate refused), action shares, and the truth."""
    if looked is None or evidence is None:
        return {}
    pair = load_pair(context, version=looked.version, against=looked.champion)
    estimates = evidence.decision.evidence["estimates"]
    window = "gate" if estimates else "validation"
    if not estimates:
        estimates = [asdict(e) for e in estimate_on_validation(context, pair)]
    rows = evidence.rows
    shares = zip(context.actions, rows.champion.mean(axis=0), rows.challenger.mean(axis=0), strict=True)
    truth = (exact_value(context, pair.champion_policy), exact_value(context, pair.challenger_policy))
    return {
        "estimates": estimates,
        "window": window,
        "actions": [{"action": a, "champion": float(p0), "challenger": float(p1)} for a, p0, p1 in shares if rows.n],
        "truth": None
        if None in truth
        else {"champion": truth[0], "challenger": truth[1], "by_policy": _truth_by_policy(context, looked.version)},
    }


def _training(context: Context, looked: Looked | None) -> Facts:
    """Learning curves and every algorithm and seed that was trained beside the challenger."""
    if looked is None:
        return {}
    manifest = read_version(context.home, context.name, looked.version)
    folder = context.home.training(context.name) / manifest.key
    chosen = {(c.algorithm, c.seed) for c in manifest.candidates if c.chosen}
    curves, candidates = [], []
    for candidate in manifest.candidates:
        artifact = folder / f"{candidate.algorithm}-{candidate.seed}"
        curves.append(
            {
                "algorithm": candidate.algorithm,
                "seed": candidate.seed,
                "chosen": (candidate.algorithm, candidate.seed) in chosen,
                "points": _curve(read_json(artifact / "result.json")),
            }
        )
        candidates.append(
            {
                "algorithm": candidate.algorithm,
                "seed": candidate.seed,
                "validation_value": candidate.validation_value,
                "truth": exact_value(context, load_policy(artifact)),
                "deployable": candidate.deployable,
                "chosen": candidate.chosen,
            }
        )
    return {"curves": curves, "candidates": candidates}


def _curve(result: dict[str, Any]) -> list[Facts]:
    return [
        {"step": p["step"], "loss": p["losses"].get("loss"), "value": p["validation_value"]} for p in result["curve"]
    ]


def _truth_by_policy(context: Context, version: int) -> list[Facts]:
    values = []
    for manifest in list_versions(context.home, context.name):
        if manifest.version <= version:
            value = exact_value(context, load_version(context.home, context.name, manifest.version))
            values.append({"name": f"version {manifest.version} ({manifest.description})", "value": value})
    return values


def _data(context: Context, run: Run, snapshot: Snapshot | None, evidence: Evidence | None) -> Facts:
    ingested = run.result("ingest", Ingested)
    totals = count_accounting(context.home, context.name)
    validated = run.result("validate", Validated)
    facts: Facts = {
        "n_read": totals.n_read,
        "n_accepted": totals.n_accepted,
        "n_quarantined": totals.n_quarantined,
        "n_duplicate": totals.n_duplicate,
        "n_erased": totals.n_erased,
        "n_superseded": totals.n_superseded,
        "quarantine_reasons": [{"reason": reason, "n": n} for reason, n in summarize(context.home, context.name)],
        "n_without_distribution": evidence.decision.evidence["inputs"]["n_without_distribution"] if evidence else 0,
    }
    if ingested is not None and snapshot is not None:
        facts |= _snapshot_counts(context, snapshot)
    if validated is not None:
        facts["validation"] = {
            "level": validated.level,
            "checks": validated.checks,
            "data_docs": _relative(validated.data_docs, run),
        }
        facts["drift"] = validated.drift and {k: v for k, v in validated.drift.items() if k in Drift.model_fields}
        first_day = run.result("first_day", FirstDayFound)
        facts["sections"] = [*([first_day.section()] if first_day is not None else []), *validated.sections]
    return facts


def _relative(data_docs: str | None, run: Run) -> str | None:
    """From the report's folder: the store may be moved or served elsewhere."""
    return data_docs and os.path.relpath(data_docs, run.folder)


def _snapshot_counts(context: Context, snapshot: Snapshot) -> Facts:
    names = ("n_interactions", "n_matured", "n_late", "n_train", "n_validation", "n_gate", "n_excluded")
    _, table = load_snapshot(context.home, context.name, snapshot.snapshot_id)
    own_unit = bool(np.all(np.asarray(table["unit_id"]) == np.asarray(table["interaction_id"])))
    return {
        **{name: getattr(snapshot, name) for name in names},
        "rows_by_version": [
            {"policy_version": name, "n": n} for name, n in sorted(snapshot.rows_per_policy_version.items())
        ],
        "channels": [asdict(channel) for channel in snapshot.channels],
        "n_clipped": snapshot.rewards.n_clipped,
        "n_guardrail": snapshot.rewards.n_guardrail,
        "clustering": "unknown (no unit in the log)" if own_unit else "by unit",
    }


def _lineage(context: Context, snapshot: Snapshot | None) -> Facts:
    return {
        "snapshot_id": snapshot.snapshot_id if snapshot else None,
        "table_version": snapshot.table_version if snapshot else None,
        "contract_id": context.contract.id,
        "contract_version": context.contract.version,
        "contract_sha256": context.contract.sha256,
        "settings_sha256": context.settings_sha256,
        "code_version": code_version(),
        "lock_sha256": lock_sha256(),
        "batches": _batches(context),
        "n_files": len(snapshot.files) if snapshot else 0,
    }


def _batches(context: Context) -> list[str]:
    return [batch.batch_id for batch in read_batches(context.home, context.name)]


def _next(context: Context, looked: Looked | None) -> list[str]:
    cadence = context.task.cadence
    if looked is not None and not looked.final:
        needed = gate_settings(context, looked.version).min_rows_per_look
        return [f"Look {looked.look + 1} of {looked.n_looks} once {needed:,} unread matured gate rows are there."]
    return [
        f"A run at every tick of `{cadence.cron}` (UTC); it trains after {cadence.after_new_rows:,} new matured rows."
    ]
