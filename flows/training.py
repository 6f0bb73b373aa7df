"""Train challengers on a snapshot, choose one by the pre-declared rule, register it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from data_contracts.errors import UsageError
from data_contracts.splits import EXCLUDED, VALIDATION
from data_contracts.storage import canonical_json, sha256_bytes
from flows.behavior import evaluable_versions
from flows.challenger import gate_settings
from flows.champion import ensure_champion
from flows.context import Context
from flows.ingest import Progress
from flows.records import Trained
from flows.settings import code_version
from flows.snapshot import load_rows
from policies.gate.looks.slots import loss_charges, next_slot, open_in_ledger
from policies.gate.refresh import available_margin
from policies.logged_interactions import LoggedInteractions
from policies.registry import (
    Candidate,
    VersionFacts,
    aliases,
    can_open,
    open_slot,
    read_version,
    register_version,
)
from policies.training import TrainedPolicy, choose_challenger, deployable_of, train_challengers
from policies.versions import version_folder


def train(
    context: Context,
    snapshot_id: str,
    *,
    parent: int | None = None,
    now: datetime,
    progress: Progress | None = None,
) -> Trained:
    """Train every algorithm and seed of the task file; the chosen policy becomes a version (not yet a challenger)."""
    snapshot, rows, _ = load_rows(context, snapshot_id)
    ensure_champion(context, now=now)
    key, bounding = training_key(context, snapshot_id, parent), bounding_version(context)
    trained = train_challengers(
        _choosable(context, rows),
        columns=context.contract.observation,
        settings=context.task.training,
        folder=context.home.training(context.name) / key,
        influence=context.task.influence,
        progress=progress,
        initial=None if parent is None else _parent_artifact(context, parent),
        champion=None if bounding is None else version_folder(context.home, context.name, bounding),
    )
    chosen = choose_challenger(trained, candidates=deployable(context))
    version = register_version(
        context.home,
        context.name,
        artifact=chosen.folder,
        facts=_facts(context, snapshot_id, snapshot.trained_until, parent, bounding, trained, chosen),
        key=key,
        now=now,
        seeds={t.seed: t.folder for t in trained if t.algorithm == chosen.algorithm and t is not chosen},
    )
    seeds = sorted({t.seed for t in trained if t.algorithm == chosen.algorithm})
    return Trained(version=version, snapshot_id=snapshot_id, algorithm=chosen.algorithm, seed=chosen.seed, seeds=seeds)


def _choosable(context: Context, rows: LoggedInteractions) -> LoggedInteractions:
    """Seeds and algorithms are chosen on rows like the gate's: other validation rows are left out.

    Where only the logged action's propensity is known it may be tiny, and one row would decide the choice.
    """
    evaluable = np.isin(rows.policy_version, list(evaluable_versions(context)))
    validation = rows.split == VALIDATION
    if not (validation & evaluable).any():
        return rows
    return replace(rows, split=np.where(validation & ~evaluable, EXCLUDED, rows.split).astype(np.uint8))


def bounding_version(context: Context) -> int | None:
    """The champion, where the task bounds the heads that it trains against it; None where it does not."""
    bounded = context.task.training.head.bound is not None
    return aliases(context.home, context.name)["champion"] if bounded else None


def training_key(context: Context, snapshot_id: str, parent: int | None) -> str:
    """Equal keys mean equal inputs: the same training is never done, or registered, twice."""
    inputs: dict[str, str | int | None] = {
        "snapshot_id": snapshot_id,
        "settings": context.settings_sha256,
        "parent": parent,
    }
    bounding = bounding_version(context)
    inputs |= {} if bounding is None else {"bounded_against": bounding}
    return sha256_bytes(canonical_json(inputs))


def open_if_free(context: Context, version: int, *, now: datetime) -> bool:
    """Put a trained version into the slot; False when the slot is taken, or the version had its chance already."""
    if aliases(context.home, context.name)["challenger"] == version:
        return True
    if not can_open(context.home, context.name, version):
        return False
    freeze(context, version, now=now)
    open_slot(context.home, context.name, version=version, actor=context.actor, reason="trained", now=now)
    return True


def require_free_slot(context: Context, *, now: datetime) -> None:
    """Raises BudgetSpent when a challenger that is trained now could not be judged: no slot, or no loss, is left."""
    gate = context.task.gate
    next_slot(context.home, context.name, settings=gate.ledger, alpha=gate.alpha, now=now)
    if gate.claim == "refresh":
        available_margin(loss_charges(context.home, context.name), settings=gate.refresh, now=now)


def freeze(context: Context, version: int, *, now: datetime) -> None:
    """Enter the version's slot in the ledger, with its alpha and claim, before any gate row is read for it."""
    manifest = read_version(context.home, context.name, version)
    gate = gate_settings(context, version)
    refresh = gate.claim == "refresh"
    open_in_ledger(
        context.home,
        context.name,
        challenger=version,
        artifact_sha256=manifest.artifact_sha256,
        settings=gate.ledger,
        alpha=gate.alpha,
        settings_sha256=sha256_bytes(canonical_json(manifest.settings.get("gate", {}))),
        actor=context.actor,
        now=now,
        claim=gate.claim,
        margin=available_margin(loss_charges(context.home, context.name), settings=gate.refresh, now=now)
        if refresh
        else None,
    )


def deployable(context: Context) -> tuple[str, ...]:
    """Algorithms of the task that may become a challenger (references never do)."""
    return deployable_of(context.task.training)


def _parent_artifact(context: Context, parent: int) -> Path:
    manifest = read_version(context.home, context.name, parent)
    if manifest.origin != "trained":
        raise UsageError(
            f"cannot train on from version {parent} of {context.name}: expected a trained version, got a "
            f"{manifest.origin} one. `sluice policies` lists them."
        )
    if manifest.actions != context.actions:
        raise UsageError(
            f"cannot train on from version {parent} of {context.name}: expected its actions "
            f"({', '.join(manifest.actions[:5])}, …) in the same order, got others in the task file."
        )
    return context.home.versions(context.name) / str(parent)


def _facts(
    context: Context,
    snapshot_id: str,
    trained_until: datetime,
    parent: int | None,
    bounding: int | None,
    trained: tuple[TrainedPolicy, ...],
    chosen: TrainedPolicy,
) -> VersionFacts:
    return VersionFacts(
        origin="trained",
        description=f"{chosen.algorithm}, seed {chosen.seed}",
        algorithm=chosen.algorithm,
        seed=chosen.seed,
        snapshot_id=snapshot_id,
        trained_until=trained_until,
        parent=parent,
        bounded_against=bounding,
        weights_sha256=chosen.weights_sha256,
        actions=context.actions,
        head=context.task.training.head,
        contract_version=context.contract.version,
        contract_sha256=context.contract.sha256,
        settings=context.task.model_dump(mode="json", include={"training", "gate", "influence"}),
        settings_sha256=context.settings_sha256,
        code_version=code_version(),
        candidates=tuple(
            Candidate(
                algorithm=t.algorithm,
                seed=t.seed,
                validation_value=t.validation_value,
                weights_sha256=t.weights_sha256,
                deployable=t.algorithm in deployable(context),
                chosen=t is chosen,
            )
            for t in trained
        ),
    )
