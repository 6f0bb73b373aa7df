"""What a drift means: whether it touches the gate's last verdict, and what may have caused it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.batches import read_batches
from data_contracts.drift.causes import Promotion, Superseded, possible_causes
from data_contracts.drift.levels import weigh_relevance as with_relevance
from data_contracts.drift.records import DriftResult
from data_contracts.errors import SluiceError
from data_contracts.row_source import StoredRows
from data_contracts.sampling import sampling_weights
from flows.challenger import slot_alpha
from flows.champion import known_tasks
from flows.context import Context
from flows.evaluation import load_pair
from flows.snapshot import load_rows
from flows.tasks import load_task
from policies.encoding import Encoding, encode
from policies.gate.evidence import load_evidence
from policies.gate.looks.ledger import LookEntry, all_looks, looks_of, record_use
from policies.gate.records import Plan, concatenate
from policies.gate.soundness.relevance import evaluated_differences, weigh_relevance
from policies.registry import history

MOST_ROWS = 50_000  # of either side that are weighed; the newest ones


def weigh_drift(
    context: Context, drift: DriftResult, rows: StoredRows, newest_batch: str | None, *, now: datetime
) -> DriftResult:
    """A drift that blocks only if it matters: would the last look's verdict stand on the new covariates?

    What cannot be told blocks. Without any look there is no verdict that could change. The gate rows that are weighed
    are entered in the ledger.
    """
    looks = all_looks(context.home, context.name)
    if not looks:
        note = "no look has been taken yet, so there is no verdict that could change"
        return with_relevance(drift, verdict_changes=False, note=note)
    try:
        changed, note = _relevance(context, looks[-1], rows, newest_batch, now=now)
    except SluiceError as error:
        changed, note = True, f"cannot be weighed: {error}"
    return with_relevance(drift, verdict_changes=changed, note=note)


def name_causes(context: Context, drift: DriftResult, rows: StoredRows) -> tuple[str, ...]:
    """What happened in the week before the drift began, the nearest first; candidates, never proof."""
    if not drift.alarms:
        return ()
    causes = possible_causes(
        datetime.fromisoformat(min(alarm.since for alarm in drift.alarms)).replace(tzinfo=UTC),
        task=context.name,
        promotions=_promotions(context),
        policy_versions=_first_seen(rows),
        contract_versions=_contract_versions(context),
        superseded=_superseded(context),
    )
    return tuple(cause.text for cause in causes)


def _relevance(
    context: Context, look: LookEntry, rows: StoredRows, newest_batch: str | None, *, now: datetime
) -> tuple[bool, str]:
    entries = looks_of(context.home, context.name, look.challenger)
    evidence = [load_evidence(context.home, context.name, entry.evidence_id) for entry in entries]
    read = concatenate([e.rows for e in evidence])
    pair = load_pair(context, version=look.challenger, against=look.champion)
    _, logged, _ = load_rows(context, str(evidence[-1].facts["snapshot_id"]))
    place = _places(logged.interaction_id, read.interaction_id)
    known = np.flatnonzero(place >= 0)[-MOST_ROWS:]
    record_use(
        context.home,
        context.name,
        purpose="relevance",
        challenger=look.challenger,
        decision=f"drift of batch {newest_batch}",
        interaction_id=read.interaction_id[known],
        actor=context.actor,
        now=now,
    )
    threshold = 1 / slot_alpha(context, look.challenger, now=look.at).anytime
    plan = Plan(**evidence[-1].decision.evidence["plan"])
    difference = evaluated_differences(read, plan=plan, threshold=threshold)
    encoding, new = pair.challenger_policy.encoding, _observations(context, rows, newest_batch)
    relevance = weigh_relevance(
        old=_features(pair.challenger_policy.read(logged.select(place[known]).observations), encoding),
        new=_features(pair.challenger_policy.read(new), encoding),
        difference=difference[known],
        unit_id=read.unit_id[known],
        verdict=look.verdict,
        threshold=threshold,
        row_weight=read.weight[known],
        new_row_weight=sampling_weights(new),
    )
    return relevance.changed, relevance.note


def _places(ids: NDArray[np.str_], wanted: NDArray[np.str_]) -> NDArray[np.int64]:
    """(n,) where each wanted id stands in `ids`; -1: nowhere (erased since)."""
    order = np.argsort(ids)
    at = np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)
    return np.where(ids[order][at] == wanted, order[at], -1)


def _observations(context: Context, rows: StoredRows, batch_id: str | None) -> pa.Table:
    """The newest batch's observations, at most MOST_ROWS of them."""
    names = [*(c.name for c in context.contract.observation), "sampling_rate"]
    found = [
        chunk.filter(pc.equal(chunk["batch_id"], batch_id)).select(names) for chunk in rows.chunks([*names, "batch_id"])
    ]
    table = pa.concat_tables(found)
    return table.slice(max(0, table.num_rows - MOST_ROWS))


def _features(observations: pa.Table, encoding: Encoding) -> NDArray[np.float64]:
    return encode(encoding, observations).astype(np.float64)


def _promotions(context: Context) -> list[Promotion]:
    """Every task of the store: live policies shape one another's data."""
    names = {context.name, *(load_task(file)[0].task for file in known_tasks(context.home))}
    return [
        Promotion(name, entry.version, entry.at)
        for name in sorted(names)
        for entry in history(context.home, name)
        if entry.alias == "champion"
    ]


def _first_seen(rows: StoredRows) -> dict[str, datetime]:
    """Policy version -> its first interaction."""
    first: dict[str, datetime] = {}
    for chunk in rows.chunks(["policy_version", "occurred_at"]):
        grouped = chunk.group_by("policy_version").aggregate([("occurred_at", "min")])
        for row in grouped.to_pylist():
            name, moment = str(row["policy_version"]), row["occurred_at_min"]
            first[name] = min(first.get(name, moment), moment)
    return first


def _contract_versions(context: Context) -> dict[str, datetime]:
    """Contract version -> the first ingest under it."""
    first: dict[str, datetime] = {}
    for batch in read_batches(context.home, context.name):
        first.setdefault(batch.contract_version, batch.ingested_at)
    return first


def _superseded(context: Context) -> list[Superseded]:
    return [
        Superseded(batch.batch_id, batch.supersedes, batch.ingested_at)
        for batch in read_batches(context.home, context.name)
        if batch.supersedes is not None
    ]
