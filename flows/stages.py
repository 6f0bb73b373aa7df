"""Staged versions of a task: registered from two versions of its registry, and moved to by compare-and-swap."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import pyarrow.compute as pc

from data_contracts.errors import Busy, UsageError
from data_contracts.home import mark_format
from data_contracts.snapshot import load_snapshot
from data_contracts.storage import canonical_json, sha256_bytes
from flows.champion import ensure_champion
from flows.context import Context
from flows.records import Looked
from flows.settings import code_version
from policies.gate.arms.stage_settings import ArmComparison, StageSettings
from policies.gate.evidence import load_evidence
from policies.gate.looks.ledger import looks_of
from policies.registry import (
    HistoryEntry,
    VersionFacts,
    history,
    is_frozen,
    move_champion,
    read_version,
    register_version,
    resting_version,
    version_folder,
)
from policies.stage import Canary, Holdback, Mixture, Patch, Stage, salt_of
from policies.staged import write_staged

COMPARISON = "comparison"  # key in a staged version's settings: how its arms are compared, fixed when it begins
Standing = Literal["full", "staged", "provisional", "final", "rolled_back"]


@dataclass(frozen=True, slots=True)
class PatchForm:
    """The challenger where it is proven: rows whose segment `column` has one of `values`, as text."""

    column: str
    values: tuple[str, ...]


def resting_champion(context: Context, *, now: datetime) -> int:
    """The version that challengers are compared with: the champion, or what a stage returns to without a verdict."""
    return resting_version(context.home, context.name, ensure_champion(context, now=now))


def stage_challenger(
    context: Context, looked: Looked, form: PatchForm | StageSettings, *, now: datetime
) -> HistoryEntry:
    """Serve the challenger in part: as a patch, or as a canary (by unit, or by row where nothing carries over).

    Its slot stays open: later looks, or its arms, promote or withdraw it. A stage that serves already is returned as it
    is (a rerun). Raises UsageError without a stage (or promote) verdict in the ledger, and while promotion is frozen;
    Busy when the champion moved meanwhile.
    """
    serving = ensure_champion(context, now=now)
    _require_verdict(context, looked, serving)
    stage, comparison = _stage_of(context, form, champion=looked.champion, challenger=looked.version)
    version = register_stage(context, stage, comparison=comparison, now=now)
    if version == serving:
        return [move for move in history(context.home, context.name) if move.alias == "champion"][-1]
    return move_champion(
        context.home,
        context.name,
        to=version,
        expected=serving,
        action="stage",
        actor=context.actor,
        reason=f"{read_version(context.home, context.name, version).description}: {looked.reasons[0]}",
        evidence=looked.evidence_id,
        override=False,
        now=now,
    )


def why_not_staged(context: Context, looked: Looked, form: PatchForm | StageSettings) -> str | None:
    """Why a stage verdict cannot be acted on, for people; None where it can. Units that the log does not know cannot be
    drawn, and whoever serves would have none to ask with."""
    snapshot_id = load_evidence(context.home, context.name, looked.evidence_id).facts.get("snapshot_id")
    drawn = isinstance(form, StageSettings) and form.by == "unit"
    if not drawn or snapshot_id is None or knows_units(context, snapshot_id):
        return None
    return (
        f"version {looked.version} is not staged: a canary is drawn by unit, and the log does not know its units "
        "(log unit_id; where nothing carries over, declare carry_over: none and by: row under gate.stage)"
    )


def knows_units(context: Context, snapshot_id: str) -> bool:
    """Whether any row of a snapshot has a unit: a log without units has each interaction's own id in its place."""
    _, table = load_snapshot(context.home, context.name, snapshot_id)
    return bool(pc.any(pc.not_equal(table["unit_id"], table["interaction_id"])).as_py())


def register_stage(context: Context, stage: Stage, *, comparison: ArmComparison | None, now: datetime) -> int:
    """The version of a stage; equal stages are one version. `comparison`: of a stage whose arms are compared."""
    settings = {} if comparison is None else {COMPARISON: comparison.model_dump(mode="json")}
    document = {"stage": stage.model_dump(mode="json"), "settings": settings, "contract": context.contract.sha256}
    champion, challenger = (
        version_folder(context.home, context.name, version) for version in (stage.champion, stage.challenger)
    )
    mark_format(context.home)
    with tempfile.TemporaryDirectory() as folder:
        write_staged(Path(folder), stage=stage, champion=champion, challenger=challenger)
        return register_version(
            context.home,
            context.name,
            artifact=Path(folder),
            facts=VersionFacts(
                origin="staged",
                description=describe_stage(stage),
                actions=context.actions,
                head=read_version(context.home, context.name, stage.challenger).head,
                contract_version=context.contract.version,
                contract_sha256=context.contract.sha256,
                code_version=code_version(),
                parent=stage.challenger,
                settings=settings,
                stage=stage,
            ),
            key=f"stage-{sha256_bytes(canonical_json(document))}",
            now=now,
        )


def holdback_of(context: Context, *, former: int, promoted: int, share: float) -> Holdback:
    """The stage after the promotion of `promoted` over `former`."""
    return Holdback(**_parts(context, former, promoted), share=share, salt=_salt(context, promoted))


def describe_stage(stage: Stage) -> str:
    """One phrase for people."""
    old, new = f"version {stage.champion}", f"version {stage.challenger}"
    if isinstance(stage, Patch):
        return f"{new} where {stage.column} is {' or '.join(stage.values)}, else {old}"
    if isinstance(stage, Holdback):
        return f"{new}, with {stage.share:.0%} of the units held back on {old}"
    what = "of the units" if isinstance(stage, Canary) else "of the decisions"
    return f"{new} for {stage.share:.0%} {what}, else {old}"


def standing_of(context: Context) -> Standing:
    """How settled the champion is, from the history alone."""
    moves = [move for move in history(context.home, context.name) if move.alias == "champion"]
    if not moves:
        return "full"
    stage = read_version(context.home, context.name, moves[-1].version).stage
    if stage is not None:
        return "provisional" if isinstance(stage, Holdback) else "staged"
    of_action: dict[str, Standing] = {"confirm": "final", "rollback": "rolled_back"}
    return of_action.get(moves[-1].action, "full")


def _stage_of(
    context: Context, form: PatchForm | StageSettings, *, champion: int, challenger: int
) -> tuple[Stage, ArmComparison | None]:
    parts = _parts(context, champion, challenger)
    if isinstance(form, PatchForm):
        return Patch(**parts, column=form.column, values=form.values), None
    if form.by == "row":
        return Mixture(**parts, share=form.share), None
    return Canary(**parts, share=form.share, salt=_salt(context, challenger)), _comparison(form)


def _comparison(settings: StageSettings) -> ArmComparison:
    return ArmComparison.model_validate(settings.model_dump(include=set(ArmComparison.model_fields)))


def _parts(context: Context, champion: int, challenger: int) -> dict[str, object]:
    def sha256(version: int) -> str:
        return read_version(context.home, context.name, version).artifact_sha256

    return {
        "champion": champion,
        "champion_sha256": sha256(champion),
        "challenger": challenger,
        "challenger_sha256": sha256(challenger),
    }


def _salt(context: Context, challenger: int) -> str:
    return salt_of(context.name, read_version(context.home, context.name, challenger).artifact_sha256)


def _require_verdict(context: Context, looked: Looked, serving: int) -> None:
    if is_frozen(context.home, context.name):
        raise UsageError(
            f"version {looked.version} of {context.name} is not staged: expected no rollback since the last resume, "
            "got one. `sluice resume` lifts it."
        )
    if resting_version(context.home, context.name, serving) != looked.champion:
        raise Busy(
            f"the champion of {context.name} moved: expected version {looked.champion}, which the look compared with, "
            f"got {serving}. Look at `sluice policies`."
        )
    looks = looks_of(context.home, context.name, looked.version)
    if not any(e.evidence_id == looked.evidence_id and e.verdict in ("stage", "promote") for e in looks):
        raise UsageError(
            f"version {looked.version} of {context.name} is not staged: expected a stage verdict in the ledger, got "
            f"none under evidence {looked.evidence_id[:12]}."
        )
