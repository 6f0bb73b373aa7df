"""Decisions with everything that can stop a promotion: each stops it alone, and its evidence recomputes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_contracts.home import Home
from policies.gate.evidence import store_evidence, verify_evidence
from policies.gate.looks.ledger import record_look
from policies.gate.question import bias_budget
from policies.gate.records import SOURCES, GateDecision, GateRows, Plan
from policies.gate.segments.guardrail_readings import GuardrailReading
from policies.gate.segments.guardrail_rules import GuardrailRule, put_together
from policies.gate.settings import GateSettings
from policies.gate.soundness.fragility import seed_columns
from tests.gate_looks import decide_look

MakeRows = Callable[..., GateRows]
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _failed(decision: GateDecision) -> list[str]:
    return [c["name"] for c in decision.evidence["conditions"] if not c["passed"]]


def _in_segments(rows: GateRows, *, harmed: bool) -> GateRows:
    """Every fifth row is of a loyal unit; `harmed`: there the action that the challenger prefers earns nothing."""
    loyal = np.arange(rows.n) % 10 < 2
    reward = np.where(loyal & (rows.action == 1) & harmed, 0.0, rows.reward)
    return replace(rows, reward=reward, segments={"tenure": np.where(loyal, "loyal", "new")})


def _protecting(settings: GateSettings, *, margin: float = 0.1) -> GateSettings:
    declared = [{"name": "loyal", "column": "tenure", "values": ["loyal"], "margin": margin}]
    return GateSettings.model_validate({**settings.model_dump(), "segments": declared})


def test_harm_to_a_segment_blocks_under_a_better_average(
    make_rows: MakeRows, settings: GateSettings, plan: Plan
) -> None:
    rows = _in_segments(make_rows(6000, lift=0.25, seed=1), harmed=True)
    decision = decide_look(rows, _protecting(settings), plan)
    assert decision.evidence["average"]["lift"]["proven"]
    assert decision.verdict == "block"
    assert _failed(decision) == ["segment_noninferior", "segment_harm"]
    assert decision.reasons[0].endswith("but it harms a part of the traffic; it is blocked.")


def test_a_segment_that_is_not_shown_yet_stages_where_the_lift_is_proven(
    make_rows: MakeRows, settings: GateSettings, plan: Plan
) -> None:
    """The loyal lose nothing, but 120 rows cannot exclude a loss of 1 %."""
    rows, luck = make_rows(4000, lift=0.2, seed=2), np.random.default_rng(2).random(4000)
    loyal = np.arange(4000) % 100 < 3
    rows = replace(
        rows,
        reward=np.where(loyal, luck < 0.5, rows.reward) * 1.0,
        segments={"tenure": np.where(loyal, "loyal", "new")},
    )
    decision = decide_look(rows, _protecting(settings, margin=0.01), plan)
    assert decision.verdict == "stage"
    assert _failed(decision) == ["segment_noninferior"]
    assert decision.evidence["patch"] == {"column": "tenure", "values": ["new"]}
    assert decide_look(rows, settings, plan).verdict == "promote"  # nobody was to be protected


def test_a_segment_that_gains_is_green(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    rows = _in_segments(make_rows(6000, lift=0.25, seed=3), harmed=False)
    decision = decide_look(rows, _protecting(settings), plan)
    assert decision.verdict == "promote"
    assert decision.evidence["segments"]["results"][0]["light"] == "green"


def test_unlucky_seeds_block(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    """The deployed seed is better by .25; three of four others, trained alike, are as much worse."""
    rows = make_rows(3000, lift=0.25, seed=4)
    worse = np.tile([0.9, 0.05, 0.05], (3000, 1))  # away from the better action
    for n_worse, verdict in ((3, "block"), (0, "promote")):
        policies = [worse] * n_worse + [rows.challenger] * (4 - n_worse)
        logged, direct = seed_columns(policies, action=rows.action, reward_model=rows.reward_model)
        with_seeds = replace(rows, seed_logged=logged, seed_direct=direct)
        decision = decide_look(with_seeds, settings, plan, deployed_seed=7, other_seeds=(1, 2, 3, 4))
        assert (decision.verdict, _failed(decision)) == (verdict, ["fragility"] if n_worse else [])


def test_too_few_seeds_hold(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    decision = decide_look(make_rows(3000, lift=0.25, seed=4), settings, plan, deployed_seed=0)
    assert (decision.verdict, _failed(decision)) == ("hold", ["seeds"])


def test_a_refresh_is_promoted_within_its_margin_and_only_with_a_bounded_head(
    make_rows: MakeRows, settings: GateSettings, plan: Plan
) -> None:
    """Equal in value: no lift to prove, but a loss of more than .1 is excluded."""
    rows = make_rows(4000, lift=0.0, seed=5)
    wide = settings.model_copy(update={"refresh": settings.refresh.model_copy(update={"largest_ratio": 3.1})})
    assert decide_look(rows, wide, plan).verdict == "hold"
    refresh = decide_look(rows, wide, plan, claim="refresh", margin=0.1)
    assert refresh.verdict == "promote"
    assert "hardly worse than the champion" in refresh.reasons[0]
    unbounded = decide_look(rows, settings, plan, claim="refresh", margin=0.1)  # .6 / .2 is above 2
    assert (unbounded.verdict, _failed(unbounded)) == ("refuse", ["bounded_head"])


def test_rewards_that_are_still_out_cost_their_share(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    rows = make_rows(2000, lift=0.1, seed=6)
    lax = settings.model_copy(update={"min_matured_share": 0.5})
    whole, part = (decide_look(rows, lax, plan, matured_share=share) for share in (1.0, 0.9))
    bias = 0.1 * rows.reward.mean()
    assert part.evidence["average"]["lift"]["bias"] == pytest.approx(bias)
    assert part.evidence["lift"]["lower"] == pytest.approx(whole.evidence["lift"]["lower"] - bias, abs=1e-6)


def test_rewards_that_are_still_out_of_an_episode_cost_their_share_of_its_return() -> None:
    reward = np.array([1.0, -1.0, 2.0, 0.0])
    assert bias_budget(reward, matured_share=0.9) == pytest.approx(0.1 * 1.0)
    assert bias_budget(reward, matured_share=0.9, n_episodes=2) == pytest.approx(0.1 * 2.0)
    assert bias_budget(reward, matured_share=None) == 0.0


def test_a_day_that_carries_the_lift_shows_in_the_second_verdict(
    make_rows: MakeRows, settings: GateSettings, plan: Plan
) -> None:
    ordinary, special = make_rows(1500, lift=0.0, seed=7), make_rows(1500, lift=0.35, seed=8, start=1500)
    rows = GateRows(
        **{
            name: np.concatenate([getattr(ordinary, name), getattr(special, name)])
            for name in GateRows.__slots__
            if name not in ("segments", "day")
        },
        day=np.repeat([np.datetime64("2026-11-26"), np.datetime64("2026-11-27")], 1500),
    )
    named = GateSettings.model_validate(
        {**settings.model_dump(), "calendar": [{"day": date(2026, 11, 27), "name": "Black Friday"}]}
    )
    decision = decide_look(rows, named, plan)
    assert decision.verdict == "promote"
    assert (decision.evidence["calendar"]["proven"], decision.evidence["calendar"]["agrees"]) == (False, False)
    assert any("Black Friday" in reason for reason in decision.reasons)


def test_propensities_alone_gate_under_a_declared_minimum(
    make_rows: MakeRows, settings: GateSettings, plan: Plan
) -> None:
    """The log says .6 or .2 of the logged action alone; every other action has at least .15."""
    rows = make_rows(4000, lift=0.25, seed=9)
    known = np.full((4000, 3), 0.15)
    known[np.arange(4000), rows.action] = rows.propensity
    only = replace(rows, behavior=known, source=np.full(4000, SOURCES.index("propensity"), np.uint8))
    decision, whole = decide_look(only, settings, plan), decide_look(rows, settings, plan)
    assert decision.verdict == "promote"
    assert decision.evidence["sources"] == {"version": 0, "distribution": 0, "propensity": 4000}
    seen, exact = (d.evidence["average"]["lift"]["looks"][0] for d in (decision, whole))
    assert seen["lower_tail"] < exact["lower_tail"]
    assert seen["standard_error"] >= exact["standard_error"]
    assert decide_look(replace(only, source=np.zeros(4000, np.uint8)), settings, plan).verdict == "refuse"


def test_a_look_with_guardrails_recomputes_and_a_changed_value_shows(
    tmp_path: Path, make_rows: MakeRows, settings: GateSettings, plan: Plan
) -> None:
    home, rows = Home(tmp_path), make_rows(3000, lift=0.25, seed=10)
    complains = np.where(rows.action == 1, 0.5, 0.0)  # what the challenger does more often
    reading = GuardrailReading(rows.interaction_id, np.full(3000, "complaint"), complains)
    rule = GuardrailRule("complaint", "lower", 0.05, None, 0.0, 1.0, 0.1, replace(plan, reward_minimum=-1.0))
    told: dict[str, Any] = {"guardrail_rules": (rule,)}
    guardrails = put_together((rule,), [reading], interaction_id=rows.interaction_id)
    decision = decide_look(rows, settings, plan, guardrails=guardrails, **told)
    assert (decision.verdict, _failed(decision)) == ("block", ["guardrail_noninferior", "guardrail_harm"])

    facts = {"challenger": 7, "champion": 1, "look": 1}
    ids = {}
    for name, kept in (("true", reading), ("forged", replace(reading, value=np.zeros(3000)))):
        ids[name] = store_evidence(home, name, rows=rows, decision=decision, facts=facts, reading=kept)
        record_look(
            home, name, challenger=7, champion=1, look=1, evidence_id=ids[name], rows=rows,
            verdict=decision.verdict, actor="test", run_id="run-1", now=NOW,
        )  # fmt: skip
    assert verify_evidence(home, "true", ids["true"]) == []
    assert "the verdict recomputes to promote, stored is block" in verify_evidence(home, "forged", ids["forged"])[0]
