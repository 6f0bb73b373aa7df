"""Facts: JSON in = JSON out, nothing unknown, nothing that is not a number; and the gate's own records fit."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from data_contracts.checks import CheckResult
from data_contracts.drift.records import Budget, DriftResult, GroupAlarm
from data_contracts.drift.records import Monitor as DriftMonitor
from data_contracts.errors import IntegrityError
from data_contracts.rewards.outcomes import ChannelSummary
from data_contracts.storage import canonical_json, write_atomic
from flows.report.data_facts import ChannelMean, Check, Drift
from flows.report.facts import Estimate, Gate, Lift, More, RunFacts, Weights, read_facts
from policies.gate.records import GateDecision, GateRows, Plan
from policies.gate.settings import GateSettings
from tests.flows.report.example_facts import AS_OF, hold_facts, least_facts, promote_facts
from tests.gate_looks import decide_look

EXAMPLES = (promote_facts, hold_facts, least_facts)


@pytest.mark.parametrize("example", EXAMPLES)
def test_json_in_is_json_out(example) -> None:
    facts = example()
    text = facts.model_dump_json()
    assert RunFacts.model_validate_json(text) == facts
    assert RunFacts.model_validate_json(text).model_dump_json() == text
    document = json.loads(canonical_json(facts.model_dump(mode="json")))
    assert RunFacts.model_validate(document).model_dump(mode="json") == document


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_is_finite(number: float) -> None:
    lift = {**promote_facts().lift.model_dump(), "estimate": number}
    with pytest.raises(ValidationError, match="finite"):
        promote_facts(lift=lift)


def test_unknown_keys_and_naive_times_are_errors() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        least_facts(verdikt="hold")
    with pytest.raises(ValidationError, match="timezone"):
        least_facts(as_of=AS_OF.replace(tzinfo=None))


def test_facts_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        least_facts().task = "other"


def test_read_facts_names_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_atomic(path, canonical_json(hold_facts().model_dump(mode="json")))
    assert read_facts(path) == hold_facts()
    write_atomic(path, b'{"task": "open_bandit"}\n')
    with pytest.raises(IntegrityError, match=r"report\.json: expected the facts of one run"):
        read_facts(path)


def test_the_evidence_of_the_gate_fits_without_a_change() -> None:
    evidence = json.loads(canonical_json(_decision().evidence))
    assert Lift.model_validate(evidence["lift"]).coverage == 0.95
    assert More.model_validate(evidence["more"]).rows_read == evidence["n"]
    assert Weights.model_validate(evidence["weights"]).quantiles.p50 == evidence["weights"]["quantiles"]["50"]
    assert len([Estimate.model_validate(e) for e in evidence["estimates"]]) == len(evidence["estimates"]) > 0
    gate = {key: value for key, value in evidence.items() if key in Gate.model_fields}
    assert Gate.model_validate(gate).trajectory[-1][0] == evidence["n"]


def test_records_of_the_data_fit_without_a_change() -> None:
    check = CheckResult("row_count", None, "block", True, "20,000", "> 0", 20_000, "rows")
    assert Check.model_validate(asdict(check)).n_rows == 20_000
    monitor = DriftMonitor("reward", "reward", 0.1, 0.2, -3.0, 4.0)
    alarm = GroupAlarm("reward", "block", "warn", 171.0, "2026-10-01", ("reward",), "it moved", relevance_needed=False)
    budgets = (Budget("reward", "warn", 0.03),)
    drift = DriftResult(
        "warn", "snapshot 12", "0.05 in 30 days", 3, 171.0, (monitor,), "moved", (alarm,), budgets=budgets
    )
    shown = {key: value for key, value in asdict(drift).items() if key in Drift.model_fields}
    said = Drift.model_validate(shown)
    assert said.top[0].z == -3.0
    assert (said.alarms[0].group, said.alarms[0].threshold, said.alarms[0].level) == ("reward", "block", "warn")
    assert said.budgets[0].at_most == 0.03
    channel = ChannelMean.model_validate(asdict(ChannelSummary("click", 7, 0.5)))
    assert (channel.n_interactions, channel.mean) == (7, 0.5)


def _decision() -> GateDecision:
    """400 uniformly logged rows of two actions; the challenger leans to the rewarded one."""
    n, rng = 400, np.random.default_rng(0)
    action = rng.integers(0, 2, n)
    rows = GateRows(
        interaction_id=np.arange(n).astype(str),
        unit_id=np.arange(n).astype(str),
        policy_version=np.full(n, "1"),
        action=action,
        reward=(rng.random(n) < 0.3 + 0.1 * action).astype(float),
        propensity=np.full(n, 0.5),
        behavior=np.full((n, 2), 0.5),
        champion=np.full((n, 2), 0.5),
        challenger=np.tile([0.4, 0.6], (n, 1)),
        reward_model=np.full((n, 2), 0.35),
    )
    return decide_look(
        rows,
        GateSettings(),
        Plan(n_planned=n, sigma_squared=0.01, reward_minimum=0.0, reward_maximum=1.0),
        look=1,
        look_ends=(n,),
        rows_per_day=100.0,
    )
