"""One planned look of the gate at a challenger, with rows that no earlier look of it has read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.errors import UsageError
from data_contracts.snapshot import Snapshot
from flows.behavior import evaluable_versions
from flows.challenger import gate_settings, open_challenger, slot_alpha
from flows.context import Context
from flows.evaluation import Pair, influence_settings, load_pair
from flows.gate_columns import guardrail_rules, read_look
from flows.gate_episodes import episodes_before
from flows.gate_rows import champion_value, gate_rows, older_lifts, plan, validation_rows, with_evidence
from flows.records import Looked
from flows.settings import code_version
from flows.snapshot import load_rows, take_snapshot
from flows.stages import resting_champion
from flows.versions import seeds_of
from policies.algorithms import ONE_PASS
from policies.gate.decision import decide
from policies.gate.episodes.episode_rows import complete_episodes
from policies.gate.evidence import Evidence, joined_episodes, load_evidence, store_evidence
from policies.gate.inputs import LookInputs, share_of
from policies.gate.looks.ledger import LookEntry, looks_of, record_look
from policies.gate.looks.ledger_entries import Claim
from policies.gate.looks.schedule import NextLook, next_look
from policies.gate.looks.slots import slot_of
from policies.gate.records import GateRows, Plan, concatenate
from policies.gate.refresh import claim_of
from policies.gate.segments.guardrail_readings import NOTHING, GuardrailReading
from policies.gate.segments.guardrail_rules import GuardrailRule, put_together
from policies.logged_interactions import LoggedInteractions
from policies.registry import VersionManifest, read_version
from policies.unit_limits import limit_gate_rows

FINAL_VERDICTS = ("promote", "block", "refuse")


@dataclass(frozen=True, slots=True)
class Unread:
    """Matured rows later than a challenger's training that no look of it has read."""

    rows: LoggedInteractions  # what the next look reads: usable, of whole periods, within the limit of a unit
    next: NextLook  # whether its time has come, and why not
    n_waiting: int  # usable unread rows, with those of a period that has not closed
    n_over_limit: int  # left out: later rows of units that have `rows_per_unit` rows before them
    rows_per_unit: int | None  # over all looks; None: no unit met a limit
    n_without_distribution: int
    matured_share: float  # share of the matured rows whose reward is known
    rows_per_day: float
    snapshot: Snapshot
    table: pa.Table  # of the whole snapshot


def unread_rows(context: Context, *, version: int, snapshot_id: str) -> Unread:
    """What the next look at `version` would read from this snapshot."""
    manifest = read_version(context.home, context.name, version)
    if manifest.trained_until is None:
        raise UsageError(
            f"no look at version {version} of {context.name}: expected a trained version, got a declared one."
        )
    border = np.datetime64(manifest.trained_until.replace(tzinfo=None), "us")
    snapshot, rows, table = load_rows(context, snapshot_id)
    started = _episode_start(rows)
    later, started = rows.select(started > border), started[started > border]
    evidence = [load_evidence(context.home, context.name, look.evidence_id) for look in _looks(context, version)]
    read = concatenate([found.rows for found in evidence]) if evidence else None
    fresh = ~np.isin(later.interaction_id, read.interaction_id) if read is not None else np.ones(later.n, np.bool_)
    unread, started = later.select(fresh), started[fresh]
    evaluable = np.isin(unread.policy_version, list(evaluable_versions(context)))
    usable, started = unread.select(evaluable), started[evaluable]
    if gate_settings(context, version).episodes is not None:
        whole = complete_episodes(usable.episode_id, usable.step, usable.terminated, usable.truncated)
        usable, started = usable.select(whole), started[whole]
    limit = limit_gate_rows(
        usable,
        read.unit_id if read is not None else np.array([], np.str_),
        settings=influence_settings(manifest),
    )
    kept, started = usable.select(limit.keep), started[limit.keep]
    rows_per_day = _rows_per_day(rows.select(np.isin(rows.policy_version, list(evaluable_versions(context)))))
    due = _next_look(context, version, snapshot, started, evidence, rows_per_day)
    chosen = kept.select(due.reads)
    return Unread(
        rows=chosen.select(np.lexsort((chosen.interaction_id, chosen.occurred_at))),
        next=due,
        n_waiting=kept.n,
        n_over_limit=usable.n - kept.n,
        rows_per_unit=limit.rows_per_unit,
        n_without_distribution=int((~evaluable).sum()),
        matured_share=_known_share(table, border, list(evaluable_versions(context))),
        rows_per_day=rows_per_day,
        snapshot=snapshot,
        table=table,
    )


def take_look(context: Context, *, version: int, snapshot_id: str, now: datetime, run_id: str) -> Looked:
    """Spend the next planned look: decide on all rows read so far, store the evidence, enter it in the ledger.

    A run takes at most one look at a version: when its look is in the ledger already, that one is returned. A first
    look at a challenger without enough rows says so by a refusal: what the gate cannot judge must not wait for ever.
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
    slot = slot_alpha(context, version, now=now)
    pair = load_pair(context, version=version, against=resting_champion(context, now=now))
    unread = unread_rows(context, version=version, snapshot_id=snapshot_id)
    new = gate_rows(context, pair, unread.rows)
    new = with_evidence(context, pair, new, rows=unread.rows, table=unread.table)
    earlier = [load_evidence(context.home, context.name, look.evidence_id) for look in looks]
    read = concatenate([*(found.rows for found in earlier), new])
    before = episodes_before(context, pair, n_rows_first=earlier[0].rows.n if earlier else new.n)
    episodes = None if before is None else before.columns(unread.rows, new)
    fixed = plan(context, pair, n_first=earlier[0].rows.n if earlier else new.n) if before is None else before.plan
    rules, reading = _guardrails(context, pair, read, unread, earlier, fixed)
    claim, margin = _claim(context, pair)
    decision = decide(
        read,
        settings=settings,
        plan=fixed,
        episodes=joined_episodes([*(found.episodes for found in earlier), episodes]),
        guardrails=put_together(rules, [*(e.reading for e in earlier), reading], interaction_id=read.interaction_id),
        inputs=LookInputs(
            look=number,
            look_ends=tuple(np.cumsum([*(found.rows.n for found in earlier), new.n]).tolist()),
            slot=share_of(slot),
            claim=claim,
            margin=margin,
            overlap=int(np.isin(new.interaction_id, pair.trained_on.interaction_id).sum()),
            matured_share=unread.matured_share if np.isfinite(unread.matured_share) else None,
            rows_per_day=unread.rows_per_day,
            n_without_distribution=unread.n_without_distribution,
            n_over_limit=unread.n_over_limit,
            rows_per_unit=unread.rows_per_unit,
            deployed_seed=_deployed_seed(pair.challenger),
            other_seeds=tuple(sorted(seeds_of(context, version))),
            older=older_lifts(context, pair),
            earlier_episodes=None if before is None else before.earlier,
            guardrail_rules=rules,
            closes_at=unread.next.closes_at,
        ),
    )
    evidence_id = store_evidence(
        context.home,
        context.name,
        rows=new,
        decision=decision,
        facts=_facts(context, pair, look=number, snapshot_id=snapshot_id),
        reading=reading,
        episodes=episodes,
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


def look_now(context: Context, *, now: datetime) -> Looked:
    """`sluice look`: the next planned look at the open challenger; closes the slot where the verdict does.

    It is a look like any other, or an error: nobody sees how a challenger fares without spending one.
    """
    version = open_challenger(context)
    if version is None:
        raise UsageError(
            f"no open challenger of {context.name}: expected one in the slot, got none. `sluice train` makes one."
        )
    snapshot = take_snapshot(context, as_of=None, now=now)
    due = unread_rows(context, version=version, snapshot_id=snapshot.snapshot_id).next
    if not due.ready:
        raise UsageError(
            f"no look at version {version} of {context.name} yet: {due.why_not}. {_when(due)}", challenger=version
        )
    run_id = f"look-{now:%Y%m%dT%H%M%S%f}"
    return take_look(context, version=version, snapshot_id=snapshot.snapshot_id, now=now, run_id=run_id)


def _when(due: NextLook) -> str:
    when = f"at about {due.ready_at:%Y-%m-%d %H:%M} UTC" if due.ready_at else "when more of the log is there"
    return f"The next run after that takes it ({when}); ingest what has come since."


def _next_look(
    context: Context,
    version: int,
    snapshot: Snapshot,
    started: NDArray[np.datetime64],
    evidence: list[Evidence],
    rows_per_day: float,
) -> NextLook:
    """Whole periods among the usable rows that began at `started` (n,)."""
    settings = gate_settings(context, version)
    days = [found.rows.day.min() for found in evidence if found.rows.n and not np.isnat(found.rows.day).any()]
    closed = evidence[-1].decision.evidence["inputs"].get("closes_at") if evidence else None
    return next_look(
        started,
        first_at=datetime.combine(min(days).item(), time(), UTC) if days else None,
        read_until=datetime.fromisoformat(closed) if closed else None,
        matured_until=snapshot.as_of - context.task.reward.longest_window,
        as_of=snapshot.as_of,
        min_rows=settings.min_rows_per_look,
        close_on_days=settings.close_on_days,
        rows_per_day=rows_per_day,
    )


def _claim(context: Context, pair: Pair) -> tuple[Claim, float]:
    """What the challenger claims, and the loss in reward that a refresh may have: a share fixed with its slot."""
    slot = slot_of(context.home, context.name, pair.challenger.version)
    if slot is None or slot.claim == "lift" or slot.margin is None:
        return "lift", 0.0
    settings = gate_settings(context, pair.challenger.version)
    value = champion_value(context, pair)
    claim = claim_of(slot.margin, champion_value=value, charges=(), settings=settings.refresh, now=slot.at)
    return "refresh", claim.absolute


def _guardrails(
    context: Context, pair: Pair, read: GateRows, unread: Unread, earlier: list[Evidence], fixed: Plan
) -> tuple[tuple[GuardrailRule, ...], GuardrailReading]:
    """The rules, fixed at the first look, and what this look finds final of the guardrails of all rows read."""
    if not context.task.reward.guardrail_channels:
        return (), NOTHING
    as_of = unread.snapshot.as_of
    found = read_look(
        context, unread.table, interaction_id=read.interaction_id, earlier=[e.reading for e in earlier], as_of=as_of
    )
    if earlier:
        return LookInputs.model_validate(earlier[0].decision.evidence["inputs"]).guardrail_rules, found
    rules = guardrail_rules(
        context,
        unread.table,
        before=validation_rows(context, pair),
        margins=gate_settings(context, pair.challenger.version).guardrails,
        reward_plan=fixed,
        as_of=as_of,
    )
    return rules, found


def _deployed_seed(challenger: VersionManifest) -> int | None:
    """None where the algorithm knows no seeds, or the version is from before they were kept."""
    kept = "fragility" in challenger.settings["gate"] and challenger.algorithm not in ONE_PASS
    return challenger.seed if kept else None


def _facts(context: Context, pair: Pair, *, look: int, snapshot_id: str) -> dict[str, object]:
    """What the evidence names by hash."""
    return {
        "challenger": pair.challenger.version,
        "champion": pair.champion,
        "challenger_sha256": pair.challenger.artifact_sha256,
        "champion_sha256": read_version(context.home, context.name, pair.champion).artifact_sha256,
        "snapshot_id": snapshot_id,
        "training_snapshot_id": pair.challenger.snapshot_id,
        "reward_model_sha256": pair.reward_model.sha256,
        "look": look,
        "code_version": code_version(),
    }


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
        final=decision.verdict in FINAL_VERDICTS or (entry.look >= n_looks and decision.verdict != "stage"),
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
