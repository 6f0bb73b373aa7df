"""One planned look of the gate at a challenger, with rows that no earlier look of it has read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.errors import UsageError
from data_contracts.rewards.reward_settings import reward_bounds
from data_contracts.splits import VALIDATION
from flows.behavior import behavior_distribution, evaluable_versions
from flows.champion import ensure_champion
from flows.context import Context
from flows.evaluation import Pair, influence_settings, load_pair
from flows.records import Looked
from flows.settings import code_version
from flows.snapshot import load_rows, take_snapshot
from policies.gate.decision import decide
from policies.gate.evidence import load_evidence, store_evidence
from policies.gate.ledger import LookEntry, looks_of, record_look
from policies.gate.planning import make_plan
from policies.gate.records import GateDecision, GateRows, Plan, concatenate
from policies.gate.settings import GateSettings
from policies.logged_interactions import LoggedInteractions
from policies.registry import aliases, read_version
from policies.unit_limits import limit_gate_rows

FINAL_VERDICTS = ("promote", "block", "refuse")


@dataclass(frozen=True, slots=True)
class Unread:
    """Matured rows later than a challenger's training that no look of it has read."""

    rows: LoggedInteractions  # of behavior policies whose full distribution is known, within the limit of a unit
    n_over_limit: int  # left out: later rows of units that have `rows_per_unit` rows before them
    rows_per_unit: int | None  # over all looks; None: no unit met a limit
    n_without_distribution: int
    matured_share: float  # share of the matured rows whose reward is known
    rows_per_day: float


def open_challenger(context: Context) -> int | None:
    """The version in the slot, or None when it is free."""
    return aliases(context.home, context.name)["challenger"]


def gate_settings(context: Context, version: int) -> GateSettings:
    """The gate's settings as they were when the challenger was frozen: nobody lowers a threshold under its looks."""
    return GateSettings.model_validate(read_version(context.home, context.name, version).settings["gate"])


def unread_rows(context: Context, *, version: int, snapshot_id: str) -> Unread:
    """What the next look at `version` would read from this snapshot."""
    manifest = read_version(context.home, context.name, version)
    if manifest.trained_until is None:
        raise UsageError(
            f"no look at version {version} of {context.name}: expected a trained version, got a declared one."
        )
    border = np.datetime64(manifest.trained_until.replace(tzinfo=None), "us")
    _, rows, table = load_rows(context, snapshot_id)
    later = rows.select(_episode_start(rows) > border)
    read = [load_evidence(context.home, context.name, look.evidence_id).rows for look in _looks(context, version)]
    seen = np.concatenate([r.interaction_id for r in read]) if read else np.array([], np.str_)
    unread = later.select(~np.isin(later.interaction_id, seen))
    versions = list(evaluable_versions(context))
    evaluable = np.isin(unread.policy_version, versions)
    usable = unread.select(evaluable)
    units = np.concatenate([r.unit_id for r in read]) if read else np.array([], np.str_)
    limit = limit_gate_rows(usable, units, settings=influence_settings(manifest))
    kept = usable.select(limit.keep)
    return Unread(
        rows=kept.select(np.lexsort((kept.interaction_id, kept.occurred_at))),
        n_over_limit=usable.n - kept.n,
        rows_per_unit=limit.rows_per_unit,
        n_without_distribution=int((~evaluable).sum()),
        matured_share=_known_share(table, border, versions),
        rows_per_day=_rows_per_day(rows.select(np.isin(rows.policy_version, versions))),
    )


def take_look(context: Context, *, version: int, snapshot_id: str, now: datetime, run_id: str) -> Looked:
    """Spend the next planned look: decide on all rows read so far, store the evidence, enter it in the ledger.

    A run takes at most one look at a version: when its look is in the ledger already, that one is returned.
    """
    taken = look_of_run(context, version, run_id)
    if taken is not None:
        return _looked(context, taken)
    looks = _looks(context, version)
    settings = gate_settings(context, version)
    number = len(looks) + 1
    if number > settings.looks:
        raise UsageError(
            f"no look left at version {version} of {context.name}: expected at most {settings.looks} planned looks, "
            "got all of them spent. Close it, or let the next run train a new challenger."
        )
    champion = ensure_champion(context, now=now)
    pair = load_pair(context, version=version, against=champion)
    unread = unread_rows(context, version=version, snapshot_id=snapshot_id)
    new = gate_rows(context, pair, unread.rows)
    earlier = [load_evidence(context.home, context.name, look.evidence_id).rows for look in looks]
    decision = decide(
        concatenate([*earlier, new]),
        settings=settings,
        plan=plan(context, pair, n_first=earlier[0].n if earlier else new.n),
        look=number,
        look_ends=tuple(np.cumsum([*(r.n for r in earlier), new.n]).tolist()),
        overlap=int(np.isin(new.interaction_id, pair.trained_on.interaction_id).sum()),
        matured_share=unread.matured_share,
        rows_per_day=unread.rows_per_day,
        n_without_distribution=unread.n_without_distribution,
        n_over_limit=unread.n_over_limit,
        rows_per_unit=unread.rows_per_unit,
    )
    return _record(context, pair, new, decision, number=number, snapshot_id=snapshot_id, now=now, run_id=run_id)


def look_now(context: Context, *, now: datetime) -> Looked:
    """`sluice look`: the next planned look at the open challenger; closes the slot where the verdict does."""
    version = open_challenger(context)
    if version is None:
        raise UsageError(
            f"no open challenger of {context.name}: expected one in the slot, got none. `sluice train` makes one."
        )
    snapshot = take_snapshot(context, as_of=None, now=now)
    n_unread = unread_rows(context, version=version, snapshot_id=snapshot.snapshot_id).rows.n
    needed = gate_settings(context, version).min_rows_per_look
    if n_unread < needed:
        raise UsageError(
            f"no look at version {version} of {context.name} yet: expected {needed:,} unread matured gate rows, got "
            f"{n_unread:,}. Ingest more, and look again."
        )
    run_id = f"look-{now:%Y%m%dT%H%M%S%f}"
    return take_look(context, version=version, snapshot_id=snapshot.snapshot_id, now=now, run_id=run_id)


def gate_rows(context: Context, pair: Pair, rows: LoggedInteractions) -> GateRows:
    """Everything the gate reads of these rows."""
    behavior = behavior_distribution(context, rows)
    recomputed = behavior[np.arange(rows.n), rows.action]
    return GateRows(
        interaction_id=rows.interaction_id,
        unit_id=rows.unit_id,
        policy_version=rows.policy_version,
        action=rows.action,
        reward=rows.reward,
        propensity=np.where(np.isnan(rows.propensity), recomputed, rows.propensity),
        behavior=behavior,
        champion=pair.champion_policy.action_probabilities(rows.observations),
        challenger=pair.challenger_policy.action_probabilities(rows.observations),
        reward_model=pair.predict(rows),
        weight=rows.weight,
    )


def plan(context: Context, pair: Pair, *, n_first: int) -> Plan:
    """Scale of the bets, from validation rows alone (they are earlier than the gate window)."""
    rows = pair.trained_on.select(pair.trained_on.split == VALIDATION)
    evaluable = rows.select(np.isin(rows.policy_version, list(evaluable_versions(context))))
    settings = gate_settings(context, pair.challenger.version)
    low, high = reward_bounds(context.contract, context.task.reward)
    return make_plan(
        gate_rows(context, pair, evaluable),
        n_planned=n_first + (settings.looks - 1) * settings.min_rows_per_look,
        reward_minimum=low,
        reward_maximum=high,
        weight_maximum=_largest_weight(context, pair),
    )


def _largest_weight(context: Context, pair: Pair) -> float:
    """1 / the least sampling rate that the contract accepts; without one, of the rows before the gate window."""
    column = context.contract.column("sampling_rate")
    declared = column.minimum if column is not None else None
    return 1.0 / declared if declared is not None and declared > 0 else float(pair.trained_on.weight.max())


def _record(
    context: Context,
    pair: Pair,
    new: GateRows,
    decision: GateDecision,
    *,
    number: int,
    snapshot_id: str,
    now: datetime,
    run_id: str,
) -> Looked:
    version = pair.challenger.version
    evidence_id = store_evidence(
        context.home,
        context.name,
        rows=new,
        decision=decision,
        facts={
            "challenger": version,
            "champion": pair.champion,
            "challenger_sha256": pair.challenger.artifact_sha256,
            "champion_sha256": read_version(context.home, context.name, pair.champion).artifact_sha256,
            "snapshot_id": snapshot_id,
            "training_snapshot_id": pair.challenger.snapshot_id,
            "reward_model_sha256": pair.reward_model.sha256,
            "look": number,
            "code_version": code_version(),
        },
    )
    entry = record_look(
        context.home,
        context.name,
        challenger=version,
        champion=pair.champion,
        look=number,
        evidence_id=evidence_id,
        rows=new,
        verdict=decision.verdict,
        actor=context.actor,
        run_id=run_id,
        now=now,
    )
    return _looked(context, entry)


def look_of_run(context: Context, version: int, run_id: str) -> LookEntry | None:
    """The look that this run took at a version, or None."""
    return next((look for look in _looks(context, version) if look.run_id == run_id), None)


def _looked(context: Context, entry: LookEntry) -> Looked:
    decision = load_evidence(context.home, context.name, entry.evidence_id).decision
    n_looks = gate_settings(context, entry.challenger).looks
    return Looked(
        version=entry.challenger,
        champion=entry.champion,
        verdict=decision.verdict,
        reasons=list(decision.reasons),
        evidence_id=entry.evidence_id,
        look=entry.look,
        n_looks=n_looks,
        final=decision.verdict in FINAL_VERDICTS or entry.look >= n_looks,
    )


def _looks(context: Context, version: int) -> list[LookEntry]:
    return looks_of(context.home, context.name, version)


def _episode_start(rows: LoggedInteractions) -> NDArray[np.datetime64]:
    """(n,) time of the first step of each row's episode."""
    _, episode = np.unique(rows.episode_id, return_inverse=True)
    first = np.full(episode.max(initial=-1) + 1, np.datetime64("9999-01-01", "us"))
    np.minimum.at(first, episode, rows.occurred_at)
    return first[episode]


def _known_share(table: pa.Table, border: np.datetime64, versions: list[str]) -> float:
    later = pc.greater(table["occurred_at"].cast(pa.int64()), int(border.astype(np.int64)))
    window = table.filter(
        pc.and_(pc.and_(later, table["matured"]), pc.is_in(table["policy_version"], pa.array(versions, pa.string())))
    )
    return 1.0 if not window.num_rows else 1.0 - window["reward"].null_count / window.num_rows


def _rows_per_day(rows: LoggedInteractions) -> float:
    if rows.n < 2:
        return 0.0
    days = (rows.occurred_at.max() - rows.occurred_at.min()) / np.timedelta64(1, "D")
    return float(rows.n / days) if days > 0 else float(rows.n)
