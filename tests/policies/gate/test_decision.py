"""The verdict: its order, its words, and everything that it must hand on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data_contracts.errors import UsageError
from data_contracts.storage import canonical_json
from policies.gate.judging.statistic import swap
from policies.gate.records import GateDecision, GateRows, Plan, concatenate
from policies.gate.settings import GateSettings
from tests.gate_looks import decide_look

MakeRows = Callable[..., GateRows]


def _decide(rows: GateRows, settings: GateSettings, plan: Plan, **changes: Any) -> GateDecision:
    return decide_look(rows, settings, plan, **changes)


def test_better_worse_and_unclear(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    better, worse, unclear = (
        _decide(make_rows(2000, lift=lift, seed=1), settings, plan) for lift in (0.25, -0.25, 0.01)
    )
    assert (better.verdict, worse.verdict, unclear.verdict) == ("promote", "block", "hold")
    assert better.reasons[0] == "The log proves the challenger better than the champion at look 1 of 3."
    assert worse.reasons[0].startswith("The log proves the challenger worse than the champion")
    assert unclear.reasons[0] == "Not enough evidence yet at look 1 of 3; the champion stays."
    assert any("rows as logged" in reason for reason in unclear.reasons)
    assert better.evidence["lift"]["lower"] > 0 > worse.evidence["lift"]["upper"]
    assert better.evidence["lift"]["estimate"] == pytest.approx(0.25, abs=0.06)
    assert better.evidence["sentence"] == better.reasons[0]


def test_equal_policies_hold_with_no_evidence_at_all(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    rows = make_rows(2000, lift=0.3)
    evidence = _decide(replace(rows, challenger=rows.champion.copy()), settings, plan).evidence
    assert (evidence["log_e_promote"], evidence["log_e_block"]) == (0.0, 0.0)
    assert {log_e for _, log_e in evidence["trajectory"]} == {0.0}
    assert evidence["lift"]["estimate"] == 0
    assert _decide(replace(rows, challenger=rows.champion.copy()), settings, plan).verdict == "hold"


def test_swapping_the_policies_turns_the_verdict_round(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    rows = make_rows(2000, lift=0.25, seed=2)
    there, back = _decide(rows, settings, plan).evidence, _decide(swap(rows), settings, plan).evidence
    assert there["average"]["harm"]["proven"] is False
    assert back["average"]["harm"]["proven"] is True
    assert there["lift"]["lower"] == pytest.approx(-back["lift"]["upper"])


def test_the_last_look_without_proof_is_exhausted(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    rows = make_rows(900, lift=0.01)
    decision = _decide(rows, settings, plan, look=3, look_ends=(300, 600, 900))
    assert decision.verdict == "hold"
    assert decision.reasons[0].startswith("exhausted: all 3 planned looks are spent")


def test_a_threshold_crossed_at_an_earlier_look_still_counts(
    make_rows: MakeRows, settings: GateSettings, plan: Plan
) -> None:
    parts = [make_rows(900, lift=0.3, seed=3), make_rows(900, lift=-0.3, seed=4, start=900)]
    rows = concatenate(parts)
    assert _decide(rows, settings, plan, look=2, look_ends=(900, 1800)).verdict == "promote"
    assert _decide(rows, settings, plan).verdict == "hold"  # read in one look, it was never above at a look's end


def test_refuse_goes_before_block_and_block_before_promote(
    make_rows: MakeRows, settings: GateSettings, plan: Plan
) -> None:
    worse, better = make_rows(900, lift=-0.3, seed=5), make_rows(1800, lift=0.3, seed=6, start=900)
    both = concatenate([worse, better])
    ends = (900, 2700)
    first = _decide(both, settings, plan, look=2, look_ends=ends)
    assert min(first.evidence["log_e_promote"], first.evidence["log_e_block"]) >= first.evidence["log_threshold"]
    assert first.verdict == "block"
    assert _decide(both, settings, plan, look=2, look_ends=ends, overlap=1).verdict == "refuse"


def test_the_evidence_is_complete_and_plain_json(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    evidence = _decide(make_rows(900, seed=7), settings, plan, n_without_distribution=12).evidence
    assert json.loads(canonical_json(evidence)) == evidence  # no tuple, no NumPy number, no NaN
    assert (evidence["n"], evidence["n_units"], evidence["look"], evidence["n_looks"]) == (900, 450, 1, 3)
    assert evidence["log_threshold"] == pytest.approx(math.log(5000))  # a fifth of .05 / 50 slots is for betting
    assert len(evidence["trajectory"]) <= 60
    assert evidence["trajectory"][-1][0] == 900
    assert {(e["estimator"], e["policy"]) for e in evidence["estimates"]} == {
        (e, p)
        for e in ("ips", "snips", "dm", "dr", "median_of_means")
        for p in ("champion", "challenger", "difference")
    }
    assert set(evidence["lift"]) == {
        "estimate", "lower", "upper", "coverage", "relative", "champion_value", "challenger_value",
    }  # fmt: skip
    assert set(evidence["weights"]) == {
        "effective_sample_size", "quantiles", "histogram", "unsupported_mass", "expected_weight",
    }  # fmt: skip
    assert len(evidence["more"]["options"]) == 15  # as logged, 4 rates, 5 shares by row and by unit
    assert evidence["settings"] == settings.model_dump(mode="json")


def test_rows_left_out_are_named(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    reasons = _decide(make_rows(900), settings, plan, n_without_distribution=12).reasons
    assert reasons[-1].startswith("12 rows were left out")


def test_the_same_rows_give_the_same_decision(make_rows: MakeRows, settings: GateSettings, plan: Plan) -> None:
    a, b = (_decide(make_rows(900, seed=8), settings, plan) for _ in range(2))
    assert canonical_json(a.evidence) == canonical_json(b.evidence)


def test_a_negative_value_has_no_relative_lift(make_rows: MakeRows, settings: GateSettings) -> None:
    rows = make_rows(900)
    plan = Plan(2000, 1.0, -1.0, 0.0)
    assert _decide(replace(rows, reward=rows.reward - 1), settings, plan).evidence["lift"]["relative"] is None


@pytest.mark.parametrize(
    ("look", "ends"), [(2, (900,)), (1, (800,)), (0, ()), (4, (1, 2, 3, 900)), (2, (900, 900)), (2, (-1, 900))]
)
def test_looks_that_do_not_fit_the_rows_are_an_error(
    make_rows: MakeRows, settings: GateSettings, plan: Plan, look: int, ends: tuple[int, ...]
) -> None:
    with pytest.raises(UsageError, match="bad looks"):
        _decide(make_rows(900), settings, plan, look=look, look_ends=ends)


def test_every_unit_counts_once_in_the_error_of_the_report(
    make_rows: MakeRows, settings: GateSettings, plan: Plan
) -> None:
    rows = make_rows(900)
    doubled = concatenate([rows, replace(rows, interaction_id=np.char.add(rows.interaction_id, "b"))])
    once, twice = (
        next(e for e in _decide(r, settings, plan).evidence["estimates"] if e["policy"] == "difference")
        for r in (rows, doubled)
    )
    assert twice["standard_error"] == pytest.approx(once["standard_error"])
