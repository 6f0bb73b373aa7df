"""What a run says at its end: the JSON that stays stable, and a few lines for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flows.context import Context
from flows.evaluation import load_pair
from flows.loop import RetrainResult
from flows.truth import exact_value
from policies.registry import read_version


@dataclass(frozen=True, slots=True)
class Truth:
    """Exact values of a simulated world, beside the estimate."""

    champion: float
    challenger: float


def run_payload(context: Context, result: RetrainResult) -> dict[str, Any]:
    """The keys of `sluice retrain --json` (and of each of the demo's runs)."""
    looked, truth = result.looked, truth_of(context, result)
    return {
        "task": context.name,
        "run_id": result.run_id,
        "verdict": result.verdict,
        "reasons": result.reasons,
        "version": looked.version if looked else None,
        "champion": result.champion,
        "promoted": bool(result.moved and result.moved.promoted),
        "snapshot_id": result.snapshot_id,
        "trigger": result.trigger.model_dump(mode="json"),
        "evidence": looked.evidence_id if looked else None,
        "look": looked.look if looked else None,
        "n_looks": looked.n_looks if looked else None,
        "truth": {"champion": truth.champion, "challenger": truth.challenger} if truth else None,
        "waits": result.waits.model_dump(mode="json") if result.waits else None,
        "report": result.reported.html,
        "report_json": result.reported.json_path,
        "incidents": result.alerted.open,
    }


def run_text(context: Context, result: RetrainResult) -> str:
    """A few lines: the verdict first, then what it rests on and where to read on."""
    lines = [f"{context.name}: {_headline(context, result)}"]
    if result.looked is not None:
        lines += [f"  {reason}" for reason in result.looked.reasons]
        truth = truth_of(context, result)
        if truth is not None:
            lines.append(f"  exact values: champion {truth.champion:.4f}, challenger {truth.challenger:.4f}")
    if result.first_day is not None:
        lines += [f"  {reason}" for reason in result.first_day.reasons]
        lines += [f"  {line}" for line in result.first_day.lines]
    if result.moved is not None:
        lines.append(f"  {result.moved.note}")
    lines.append(f"  trigger: {', '.join(result.trigger.fired) or 'none'} ({result.trigger.detail})")
    lines += [f"  incident open: {incident}" for incident in result.alerted.open]
    return "\n".join([*lines, f"  report: {result.reported.html}"])


def truth_of(context: Context, result: RetrainResult) -> Truth | None:
    """Exact values of the pair that was looked at, where the task knows its truth."""
    if result.looked is None or context.task.truth is None:
        return None
    pair = load_pair(context, version=result.looked.version, against=result.looked.champion)
    champion, challenger = exact_value(context, pair.champion_policy), exact_value(context, pair.challenger_policy)
    return Truth(champion=champion, challenger=challenger) if champion is not None and challenger is not None else None


def _headline(context: Context, result: RetrainResult) -> str:
    if result.first_day is not None:
        return "REFUSE: the log is reported, nothing is trained"
    if result.looked is None and result.waits is not None:
        return result.waits.sentence
    if result.looked is None:
        return f"nothing trained: {result.trigger.why_not or result.trigger.detail}"
    looked = result.looked
    challenger = read_version(context.home, context.name, looked.version)
    pair = f"version {looked.version} ({challenger.description}) against version {looked.champion}"
    return f"{looked.verdict.upper()}: {pair}"
