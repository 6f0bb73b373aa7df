"""One planned look of the gate at a challenger, with rows that no earlier look of it has read."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from data_contracts.errors import UsageError
from flows.challenger import gate_settings, open_challenger, slot_alpha
from flows.context import Context
from flows.evaluation import Pair, load_pair
from flows.gate_columns import guardrail_rules, read_look
from flows.gate_episodes import episodes_before
from flows.gate_rows import champion_value, gate_rows, older_lifts, plan, rows_before, with_evidence
from flows.records import Looked
from flows.settings import code_version
from flows.snapshot import take_snapshot
from flows.stages import resting_champion
from flows.unread import Unread, unread_rows
from flows.versions import seeds_of
from policies.algorithms import ONE_PASS
from policies.gate.decision import decide
from policies.gate.evidence import Evidence, joined_episodes, load_evidence, store_evidence
from policies.gate.inputs import LookInputs, share_of
from policies.gate.looks.ledger import LookEntry, looks_of, record_look
from policies.gate.looks.ledger_entries import Claim
from policies.gate.looks.schedule import NextLook
from policies.gate.looks.slots import slot_of
from policies.gate.records import GateRows, Plan, concatenate
from policies.gate.refresh import claim_of
from policies.gate.segments.guardrail_readings import NOTHING, GuardrailReading
from policies.gate.segments.guardrail_rules import GuardrailRule, put_together
from policies.registry import VersionManifest, read_version

FINAL_VERDICTS = ("promote", "block", "refuse")


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
        before=rows_before(context, pair),
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


def last_look_if_spent(context: Context, version: int) -> Looked | None:
    """The last planned look at a version that has had all of them; None while some are left."""
    looks = _looks(context, version)
    return _looked(context, looks[-1]) if len(looks) >= gate_settings(context, version).looks else None


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
