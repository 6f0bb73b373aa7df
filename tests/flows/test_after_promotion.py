"""A promotion is provisional: what wears readers out is rolled back by the holdback, through store and registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.errors import Busy, UsageError
from data_contracts.store import read_interactions
from flows.act import act_on_file
from flows.after_promotion import AfterPromotion, after_promotion_step
from flows.alerts.incidents import open_incidents
from flows.arm_comparison import arms_of, verify_arm_looks
from flows.behavior import behavior_distribution
from flows.context import Context
from flows.monitor import report_after_promotion
from flows.promote import promote_by_hand, withdraw_if_orphaned
from flows.records import Looked
from flows.serving_skew import empty_sample, judge_sample
from flows.snapshot import load_rows, take_snapshot
from flows.stages import PatchForm, resting_champion, stage_challenger, standing_of, why_not_staged
from flows.status import task_status
from policies.gate.arms.arm_looks import arm_looks_of
from policies.gate.arms.stage_settings import StageSettings
from policies.gate.looks.ledger import uses_of
from policies.history import read_state
from policies.registry import (
    aliases,
    close_challenger,
    history,
    promote,
    read_version,
    resume,
    rollback,
    verify_registry,
)
from tests.worlds.email_task import (
    ALWAYS,
    GATE,
    NEVER,
    PAST_DAYS,
    arms_in,
    email_task,
    look_at_challenger,
    moment,
    names,
    serve,
)

SEED = 20261121
N_READERS = 350
CANARY = {"horizons_days": [7, 28], "look_every_days": 5, "looks": 2, "min_units_per_look": 50, "share": 0.4}


def step(context: Context, day: float) -> AfterPromotion:
    now = moment(day)
    snapshot = take_snapshot(context, as_of=now, now=now)
    return after_promotion_step(context, snapshot_id=snapshot.snapshot_id, now=now)


def champion(context: Context) -> int | None:
    return aliases(context.home, context.name)["champion"]


def past(context: Context, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A week of plain e-mails to readers who click 70 % of them; who likes e-mails, by reader."""
    appetite = rng.beta(28, 12, N_READERS)
    serve(context, NEVER, first_day=0, n_days=PAST_DAYS, rng=rng, appetite=appetite)
    return appetite


def looked(context: Context, verdict: str = "stage", *, snapshot_id: str | None = None) -> Looked:
    evidence_id = look_at_challenger(context, verdict, snapshot_id=snapshot_id)  # type: ignore[arg-type]
    return Looked(
        version=ALWAYS, champion=NEVER, verdict=verdict, reasons=["because"], evidence_id=evidence_id, look=1,
        n_looks=5, final=False,
    )  # type: ignore[arg-type]  # fmt: skip


def promoted(folder: Path, *, gate: dict[str, Any] | None = None) -> tuple[Context, np.random.Generator, Any]:
    """A week, then version 2 is promoted and gets its holdback."""
    context, rng = email_task(folder, gate=gate), np.random.default_rng(SEED)
    appetite = past(context, rng)
    promote_by_hand(context, version=ALWAYS, reason="clicks", override=True, now=moment(PAST_DAYS - 1))
    return context, rng, appetite


def test_what_wears_readers_out_is_provisional_and_rolled_back(tmp_path: Path) -> None:
    context, rng, appetite = promoted(tmp_path)
    begun = step(context, PAST_DAYS - 1)
    holdback = begun.version
    assert (begun.step, begun.standing, begun.champion, begun.challenger) == ("hold_back", "provisional", NEVER, ALWAYS)
    assert (champion(context), standing_of(context)) == (holdback, "provisional")
    assert resting_champion(context, now=moment(PAST_DAYS)) == ALWAYS
    assert step(context, PAST_DAYS - 1).step == "wait", "again, and nothing is due"
    status = task_status(context, now=moment(PAST_DAYS))
    assert status.payload["standing"] == "provisional"
    assert "provisional until its holdback has spoken" in status.text

    fresh = serve(context, holdback, first_day=PAST_DAYS, n_days=14, rng=rng, appetite=appetite)
    early = step(context, PAST_DAYS + 13)
    assert (early.step, early.conclusion, early.standing) == ("wait", "wait", "provisional")
    assert early.found[0]["better"], "over a week emoji are proven better"
    assert early.words.startswith("better over 7 days, which proves nothing about 28")
    assert report_after_promotion(context, early, now=moment(PAST_DAYS + 13)).opened == []

    _evidence_that_proves_nothing_promotes_nothing(context, holdback)
    serve(context, holdback, first_day=PAST_DAYS + 14, n_days=21, rng=rng, appetite=appetite, freshness=fresh)
    late = step(context, PAST_DAYS + 34)
    assert (late.step, late.conclusion, late.standing, late.version) == ("roll_back", "worse", "rolled_back", NEVER)
    assert champion(context) == NEVER
    state = read_state(context.home, context.name)
    assert state.frozen
    assert {holdback, ALWAYS} <= state.barred, "neither comes back"
    move = history(context.home, context.name)[-1]
    looks = arm_looks_of(context.home, context.name, holdback)
    assert (move.action, move.evidence) == ("rollback", looks[-1].seal)
    assert [look.looks_taken for look in looks] == [(1, 0), (2, 1)]
    assert {use.purpose for use in uses_of(context.home, context.name, ALWAYS)} == {"holdback"}
    assert [use.decision for use in uses_of(context.home, context.name, ALWAYS)] == [look.seal for look in looks]

    _the_incident_lasts_until_resume(context)
    assert verify_arm_looks(context) == [], "recomputed from the snapshots alone, to the last bit"
    assert verify_registry(context.home, context.name) == []


def _evidence_that_proves_nothing_promotes_nothing(context: Context, version: int) -> None:
    (look, *_) = arm_looks_of(context.home, context.name, version)
    with pytest.raises(UsageError, match="expected a promote verdict"):
        promote(
            context.home, context.name, version=ALWAYS, expected=version, evidence=look.seal, override=False,
            reason="looks good", actor="tester", now=moment(PAST_DAYS + 13),
        )  # fmt: skip


def _the_incident_lasts_until_resume(context: Context) -> None:
    for day in (PAST_DAYS + 34, PAST_DAYS + 34.1):
        after = step(context, day)
        assert (after.step, after.standing) in {("none", "rolled_back")}
        report_after_promotion(context, after, now=moment(day))
        (incident,) = open_incidents(context.home, context.name)
        assert (incident.finding.rule, incident.finding.urgency) == ("regression", "ticket")
    now = moment(PAST_DAYS + 34.2)
    resume(context.home, context.name, reason="seen", actor="tester", now=now)
    assert report_after_promotion(context, step(context, PAST_DAYS + 34.2), now=now).resolved
    assert open_incidents(context.home, context.name) == []


def test_a_team_may_want_the_alert_alone(tmp_path: Path) -> None:
    gate = {"holdback": {**GATE["holdback"], "on_regression": "alert"}}
    context, rng, appetite = promoted(tmp_path, gate=gate)
    holdback = step(context, PAST_DAYS - 1).version
    serve(context, holdback, first_day=PAST_DAYS, n_days=35, rng=rng, appetite=appetite)
    after = step(context, PAST_DAYS + 34)
    assert (after.step, after.conclusion, champion(context)) == ("alert", "worse", holdback)
    report_after_promotion(context, after, now=moment(PAST_DAYS + 34))
    (incident,) = open_incidents(context.home, context.name)
    assert (incident.finding.rule, incident.finding.urgency) == ("regression", "page")
    # by hand it goes where the holdback's units are, not to the policy that harms
    entry = rollback(context.home, context.name, reason="harm", actor="tester", now=moment(PAST_DAYS + 35))
    assert (entry.version, entry.also_barred) == (NEVER, (ALWAYS,))
    with pytest.raises(UsageError, match="barred"):
        promote_by_hand(context, version=ALWAYS, reason="again", override=True, now=moment(PAST_DAYS + 35))


def test_without_harm_the_verdict_becomes_final(tmp_path: Path) -> None:
    gate = {"holdback": {**GATE["holdback"], "horizons_days": [7], "looks": 2}}
    context, rng, appetite = promoted(tmp_path, gate=gate)
    holdback = step(context, PAST_DAYS - 1).version
    serve(context, holdback, first_day=PAST_DAYS, n_days=14, rng=rng, appetite=appetite)
    after = step(context, PAST_DAYS + 13)
    assert (after.step, after.conclusion, after.standing, after.version) == ("confirm", "better", "final", ALWAYS)
    assert champion(context) == ALWAYS
    assert step(context, PAST_DAYS + 13).step == "none", "no second holdback"
    # whoever rolls back now leaves the policy, and lands on a version, not on a stage
    entry = rollback(context.home, context.name, reason="harm", actor="tester", now=moment(PAST_DAYS + 14))
    assert entry.version == NEVER


def test_worse_without_proof_is_left_to_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.flows.test_after_promotion.N_READERS", 80)
    monkeypatch.setattr("tests.worlds.email_fatigue.WEAR", 0.0)
    monkeypatch.setattr("tests.worlds.email_fatigue.LIFT", -0.04)  # about one standard error of 80 readers
    context, rng, appetite = promoted(tmp_path, gate={"holdback": {**GATE["holdback"], "horizons_days": [7]}})
    holdback = step(context, PAST_DAYS - 1).version
    serve(context, holdback, first_day=PAST_DAYS, n_days=19, rng=rng, appetite=appetite)
    after = step(context, PAST_DAYS + 18)
    assert (after.step, after.conclusion, after.standing) == ("wait", "undecided", "provisional")
    report_after_promotion(context, after, now=moment(PAST_DAYS + 18))
    (incident,) = open_incidents(context.home, context.name)
    assert (incident.finding.rule, incident.finding.urgency) == ("regression", "ticket")
    promote_by_hand(context, version=ALWAYS, reason="we keep it", override=True, now=moment(PAST_DAYS + 19))
    after = step(context, PAST_DAYS + 19)
    assert (after.step, after.standing) == ("none", "full"), "no second holdback"
    assert report_after_promotion(context, after, now=moment(PAST_DAYS + 19)).resolved


def test_lost_units_are_a_ticket_and_no_proof(tmp_path: Path) -> None:
    context, rng, appetite = promoted(tmp_path, gate={"holdback": {**GATE["holdback"], "horizons_days": [7]}})
    holdback = step(context, PAST_DAYS - 1).version
    _serve_one_arm_badly(context, holdback, rng, appetite)
    after = step(context, PAST_DAYS + 13)
    assert (after.step, after.conclusion, after.standing) == ("wait", "incomparable", "provisional")
    report_after_promotion(context, after, now=moment(PAST_DAYS + 13))
    assert [i.finding.rule for i in open_incidents(context.home, context.name)] == ["arm_shares"]


def _serve_one_arm_badly(context: Context, version: int, rng: np.random.Generator, appetite: Any) -> None:
    """Half of the readers held back are never logged."""
    whole = names(len(appetite))
    arm = arms_in(context, version, len(appetite))
    kept = arm | (np.arange(len(appetite)) % 2 == 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.worlds.email_task.names", lambda n: whole[kept])
        serve(context, version, first_day=PAST_DAYS, n_days=14, rng=rng, appetite=appetite[kept])


def test_a_canary_that_wears_readers_out_is_withdrawn(tmp_path: Path) -> None:
    context, rng = email_task(tmp_path), np.random.default_rng(SEED)
    appetite = past(context, rng)
    found = looked(context)
    entry = stage_challenger(context, found, StageSettings.model_validate(CANARY), now=moment(PAST_DAYS - 1))
    canary = entry.version
    assert (entry.action, entry.previous, entry.evidence) == ("stage", NEVER, found.evidence_id)
    assert stage_challenger(context, found, StageSettings.model_validate(CANARY), now=moment(14)) == entry, "a rerun"
    assert (standing_of(context), resting_champion(context, now=moment(14))) == ("staged", NEVER)
    assert aliases(context.home, context.name) == {"champion": canary, "challenger": ALWAYS}, "its slot stays open"
    assert not withdraw_if_orphaned(context, champion=canary, challenger=ALWAYS, now=moment(14))
    serve(context, canary, first_day=PAST_DAYS, n_days=35, rng=rng, appetite=appetite)
    _what_it_logged_is_what_it_computes(context, canary)
    after = step(context, PAST_DAYS + 34)
    assert (after.step, after.conclusion, after.version) == ("withdraw", "worse", NEVER)
    assert aliases(context.home, context.name) == {"champion": NEVER, "challenger": None}
    assert [(m.action, m.outcome) for m in history(context.home, context.name)[-2:]] == [
        ("close", "block"),
        ("unstage", None),
    ]
    assert step(context, PAST_DAYS + 34).step == "none"


def _what_it_logged_is_what_it_computes(context: Context, version: int) -> None:
    """The gate and the serving-skew check compute each row's propensity from observation and unit."""
    snapshot = take_snapshot(context, as_of=None, now=moment(60))
    _, rows, _ = load_rows(context, snapshot.snapshot_id)
    mine = rows.select(rows.policy_version == str(version))
    distribution = behavior_distribution(context, mine)
    np.testing.assert_array_equal(distribution[np.arange(mine.n), mine.action], 1.0)
    table = read_interactions(context.home, context.name)
    (of_stage,) = [c for c in _skew(context, table) if c.column.endswith(f"version {version}")]
    assert of_stage.passed
    assert of_stage.n_rows > 100
    other = pa.array([f"other-{i}" for i in range(table.num_rows)])
    swapped = table.set_column(table.schema.get_field_index("unit_id"), "unit_id", other)
    (of_stage,) = [c for c in _skew(context, swapped) if c.column.endswith(f"version {version}")]
    assert not of_stage.passed, "rows of other units were not drawn like this"


def _skew(context: Context, table: pa.Table) -> Any:
    return judge_sample(context, empty_sample(context).add(table))[0]


def test_a_canary_that_is_proven_is_promoted_and_held_back(tmp_path: Path) -> None:
    context, rng = email_task(tmp_path), np.random.default_rng(SEED)
    appetite = past(context, rng)
    short = StageSettings.model_validate({**CANARY, "horizons_days": [7]})
    canary = stage_challenger(context, looked(context), short, now=moment(PAST_DAYS - 1)).version
    fresh = serve(context, canary, first_day=PAST_DAYS, n_days=5, rng=rng, appetite=appetite)
    assert step(context, PAST_DAYS + 4).words == "no look at the arms is due yet"
    serve(context, canary, first_day=PAST_DAYS + 5, n_days=9, rng=rng, appetite=appetite, freshness=fresh)
    after = step(context, PAST_DAYS + 13)
    assert (after.step, after.conclusion, after.version) == ("promote", "better", ALWAYS)
    assert aliases(context.home, context.name) == {"champion": ALWAYS, "challenger": None}
    begun = step(context, PAST_DAYS + 13)
    assert (begun.step, begun.champion, begun.challenger) == ("hold_back", NEVER, ALWAYS)
    had_it, have_it = (arms_in(context, version, N_READERS) for version in (canary, begun.version))
    assert have_it[had_it].all(), "no reader of the canary goes back, so those held back never saw an emoji"
    arms = arms_of(context, begun.version)
    assert arms.first_at == moment(PAST_DAYS - 1), "what readers did in the canary predicts nothing"


def test_a_patch_serves_by_segment(tmp_path: Path) -> None:
    context = email_task(tmp_path)
    entry = stage_challenger(context, looked(context), PatchForm("loyalty", ("new",)), now=moment(1))
    observed = tmp_path / "observed.jsonl"
    observed.write_text('{"hour": 8, "loyalty": "new"}\n{"hour": 8, "loyalty": "loyal"}\n')
    served = act_on_file(context, observed, seed=0, now=moment(1))
    assert [(row["action"], row["propensity"]) for row in served.rows] == [("emoji", 1.0), ("plain", 1.0)]
    assert [row["loyalty"] for row in served.rows] == ["new", "loyal"], "the log says what decided"
    assert step_without_rows(context).standing == "staged"
    close_challenger(
        context.home, context.name, version=ALWAYS, outcome="withdrawn", reason="no", actor="tester", now=moment(2)
    )
    after = step_without_rows(context)
    assert (after.step, after.version, champion(context)) == ("withdraw", NEVER, NEVER)
    assert entry.version not in {champion(context)}


def step_without_rows(context: Context) -> AfterPromotion:
    return after_promotion_step(context, snapshot_id="", now=moment(3))


def test_a_stage_may_be_followed_by_another(tmp_path: Path) -> None:
    context = email_task(tmp_path)
    found = looked(context)
    canary = stage_challenger(context, found, StageSettings(), now=moment(1)).version
    patch = stage_challenger(context, found, PatchForm("loyalty", ("new",)), now=moment(2))
    assert (patch.previous, resting_champion(context, now=moment(2))) == (canary, NEVER)
    by_row = StageSettings(by="row", carry_over="none", share=0.25)
    mixture = stage_challenger(context, found, by_row, now=moment(3))
    described = read_version(context.home, context.name, mixture.version).description
    assert described == "version 2 for 25% of the decisions, else version 1"
    # the slot's own verdict replaces the stage, against the champion that the look compared with
    look_at_challenger(context, "promote", number=2)
    entry = promote_by_hand(context, version=ALWAYS, reason="proven", override=False, now=moment(4))
    assert (entry.previous, entry.override) == (mixture.version, False)
    assert aliases(context.home, context.name) == {"champion": ALWAYS, "challenger": None}


def test_serving_by_unit_knows_the_unit_and_never_stops_without_one(tmp_path: Path) -> None:
    context = email_task(tmp_path)
    serve(context, NEVER, first_day=0, n_days=4, rng=np.random.default_rng(SEED), appetite=np.full(50, 0.5))
    promote_by_hand(context, version=ALWAYS, reason="clicks", override=True, now=moment(4))
    assert step(context, 4).step == "hold_back"
    observed = tmp_path / "observed.jsonl"
    observed.write_text('{"hour": 8}\n' * 400)
    unknown = act_on_file(context, observed, seed=0, now=moment(5)).rows
    assert all(row["unit_id"] == row["interaction_id"] for row in unknown)
    assert {row["arm"] for row in unknown} == {"champion", "holdback"}  # .95^400 is below 1e-8
    observed.write_text('{"hour": 8, "unit_id": "reader-1"}\n')
    (row,) = act_on_file(context, observed, seed=0, now=moment(5)).rows
    assert row["arm"] in ("champion", "holdback")
    assert (row["action"], row["propensity"]) == ({"champion": "emoji", "holdback": "plain"}[row["arm"]], 1.0)


def test_units_that_are_not_known_are_not_drawn(tmp_path: Path) -> None:
    context = email_task(tmp_path)
    for day in range(4):
        own = np.array([f"{NEVER}-{day}-{i}" for i in range(50)])  # each row's unit is the row's own id
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.worlds.email_task.names", lambda n, own=own: own)
            serve(context, NEVER, first_day=day, n_days=1, rng=np.random.default_rng(day), appetite=np.full(50, 0.5))
    snapshot = take_snapshot(context, as_of=None, now=moment(4))
    found = looked(context, snapshot_id=snapshot.snapshot_id)
    why = why_not_staged(context, found, StageSettings())
    assert why is not None
    assert "the log does not know its units" in why
    assert why_not_staged(context, found, StageSettings(by="row", carry_over="none")) is None
    assert why_not_staged(context, found, PatchForm("loyalty", ("new",))) is None
    promote_by_hand(context, version=ALWAYS, reason="clicks", override=True, now=moment(4))
    after = step(context, 4)
    assert (after.step, after.standing, champion(context)) == ("none", "full", ALWAYS)
    assert after.words.startswith("no holdback: the log does not know its units")


def test_no_holdback_where_none_is_declared(tmp_path: Path) -> None:
    context = email_task(tmp_path, gate={})
    promote_by_hand(context, version=ALWAYS, reason="clicks", override=True, now=moment(1))
    after = step_without_rows(context)
    assert (after.step, after.standing, champion(context)) == ("none", "full", ALWAYS)


def test_stages_need_a_verdict_and_the_champion_of_the_look(tmp_path: Path) -> None:
    context = email_task(tmp_path)
    found = looked(context, "hold")
    with pytest.raises(UsageError, match="expected a stage verdict"):
        stage_challenger(context, found, StageSettings(), now=moment(1))
    with pytest.raises(Busy, match="champion of emails moved"):
        stage_challenger(context, found.model_copy(update={"champion": 7}), StageSettings(), now=moment(1))
    promote_by_hand(context, version=ALWAYS, reason="clicks", override=True, now=moment(1))
    rollback(context.home, context.name, reason="no", actor="tester", now=moment(2))
    with pytest.raises(UsageError, match="expected no rollback"):
        stage_challenger(context, found, StageSettings(), now=moment(3))


def test_a_rollback_from_a_canary_closes_the_slot(tmp_path: Path) -> None:
    context = email_task(tmp_path)
    canary = stage_challenger(context, looked(context), StageSettings(), now=moment(1)).version
    assert read_version(context.home, context.name, canary).parent == ALWAYS
    entry = rollback(context.home, context.name, reason="no", actor="tester", now=moment(2))
    assert (entry.version, entry.also_barred) == (NEVER, (ALWAYS,))
    assert aliases(context.home, context.name) == {"champion": NEVER, "challenger": None}
    with pytest.raises(UsageError, match="a stage, which ended"):
        rollback(context.home, context.name, to=canary, reason="no", actor="tester", now=moment(3))
