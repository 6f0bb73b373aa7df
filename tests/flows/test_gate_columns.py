"""Segments and guardrails of gate rows, from a store with late complaints to the judge."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from data_contracts.home import create_home
from flows.context import Context, open_context
from flows.gate_columns import guardrail_rules, read_look, segment_columns, segment_names
from flows.ingest import ingest_source
from flows.snapshot import load_rows, take_snapshot
from policies.gate.records import GateRows, Plan
from policies.gate.segments.guardrail_rules import put_together
from policies.gate.segments.guardrail_settings import GuardrailMargin
from policies.gate.segments.segment_settings import SegmentSettings
from tests.tiny_task import START, rows, write_jsonl, write_task

DAY = timedelta(days=1)
REWARD = "reward: {attribution_window: P1D, guardrails: {complaint: {window: P7D, limit: 0.2}}}\n"
SIDES = ("east", "west", None)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """300 rows of ten days with a segment column; every tenth complains six days later."""
    path = write_task(tmp_path / "task")
    contract = path.with_name("tiny.odcs.yaml")
    outcomes = (
        "  - name: outcomes\n    logicalType: object\n    properties:\n"
        "      - {name: interaction_id, logicalType: string, required: true}\n"
        "      - {name: channel, logicalType: string}\n"
        "      - {name: value, logicalType: number, required: true, logicalTypeOptions: {minimum: 0, maximum: 1}}\n"
        "      - {name: observed_at, logicalType: timestamp, required: true}\n"
    )
    contract.write_text(
        contract.read_text() + "      - {name: side, logicalType: string, tags: [segment]}\n" + outcomes
    )
    text = path.read_text().replace("behavior_policies:", f"{REWARD}behavior_policies:", 1)
    path.write_text(text.replace("source: {", 'source: {outcomes: ["late/*.jsonl"], '))
    lines = rows(300)
    for i, line in enumerate(lines):
        line["side"] = SIDES[i % 3]
    write_jsonl(tmp_path / "task" / "logs" / "log.jsonl", lines)
    late = [
        {
            "interaction_id": line["interaction_id"],
            "channel": "complaint",
            "value": 1,
            "observed_at": (datetime.fromisoformat(str(line["occurred_at"])) + 6 * DAY).isoformat(),
        }
        for line in lines[::10]
    ]
    write_jsonl(tmp_path / "task" / "late" / "late.jsonl", late)
    home = create_home({"SLUICE_HOME": str(tmp_path / "home")})
    opened = open_context(path, home=home, actor="tester")
    ingest_source(opened, now=START + 30 * DAY)
    return opened


def _gate_rows(ids: np.ndarray) -> GateRows:
    n = len(ids)
    third = np.full((n, 3), 1 / 3)
    return GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=np.full(n, "uniform"),
        action=np.zeros(n, np.int64),
        reward=np.zeros(n),
        propensity=np.full(n, 1 / 3),
        behavior=third,
        champion=third,
        challenger=np.tile([0.8, 0.1, 0.1], (n, 1)),
        reward_model=third,
    )


def test_segments_and_late_guardrails_reach_the_gate(context: Context) -> None:
    now = START + 12 * DAY
    snapshot = take_snapshot(context, as_of=now, now=now)
    _, logged, table = load_rows(context, snapshot.snapshot_id)
    ids = logged.interaction_id[::-1]
    protected = (SegmentSettings(name="x", column="x", values=("0",)),)
    assert segment_names(context, ()) == ("side",)
    assert segment_names(context, protected) == ("side", "x")
    sides = segment_columns(table, ("side",), interaction_id=ids)["side"]
    expected = [SIDES[int(str(i).split("-")[1]) % 3] or "" for i in ids]
    assert sides.tolist() == expected

    first = read_look(context, table, interaction_id=ids, earlier=[], as_of=now)
    young = START + 5 * DAY  # what occurred later is not a week old twelve days after the start
    old = logged.interaction_id[logged.occurred_at <= np.datetime64(young.replace(tzinfo=None))]
    assert set(first.interaction_id) == set(old)
    second = read_look(context, table, interaction_id=ids, earlier=[first], as_of=now + 9 * DAY)
    assert set(second.interaction_id) == set(ids) - set(old)
    plan = Plan(n_planned=300, sigma_squared=0.5, reward_minimum=0.0, reward_maximum=1.0)
    rules = guardrail_rules(
        context,
        table,
        before=_gate_rows(old),
        margins={"complaint": GuardrailMargin(relative=0.5)},
        reward_plan=plan,
        as_of=now,
    )
    assert [(r.name, r.better, r.relative, r.least, r.most) for r in rules] == [("complaint", "lower", 0.5, 0.0, 1.0)]
    assert rules[0].baseline == pytest.approx(first.value.mean())
    assert (rules[0].plan.reward_minimum, rules[0].plan.reward_maximum) == (-1.0, 0.0)
    (complaint,) = put_together(rules, [first, second], interaction_id=ids)
    assert complaint.known.all()
    assert sorted(ids[complaint.value == 1]) == sorted(f"s0-{i}" for i in range(0, 300, 10))


def test_a_shipped_sample_can_be_told_by_its_truth() -> None:
    """What the demo says of `email_retention`, from the truth file alone."""
    import pyarrow.parquet as pq

    from flows.settings import ROOT
    from flows.tasks import load_task

    task, contract = load_task("email_retention")
    assert [c.name for c in contract.columns if "segment" in c.roles] == ["relationship"]
    assert "relationship" not in [c.name for c in contract.observation]
    table = pq.read_table(ROOT / "infra" / "samples" / "email_retention" / "truth.parquet")
    share, who = table["population_share"].to_numpy(), np.array(table["relationship"].to_pylist())
    reward = np.stack([table[name].to_numpy() for name in task.actions.names], axis=1)
    champion = reward @ np.array([task.champion.probabilities[name] for name in task.actions.names])  # type: ignore[index]
    best = np.stack([np.asarray(table["topic"].to_pylist()) == t for t in ("news", "events", "offers")], axis=1)
    challenger = 0.92 * (reward[:, [1, 2, 4]] * best).sum(axis=1) + 0.02 * (
        reward.sum(axis=1) - (reward[:, [1, 2, 4]] * best).sum(axis=1)
    )
    loyal = who == "loyal"
    lift = np.average(challenger, weights=share) / np.average(champion, weights=share) - 1
    lost = np.average(challenger[loyal], weights=share[loyal]) / np.average(champion[loyal], weights=share[loyal]) - 1
    assert share.sum() == pytest.approx(1)
    assert share[loyal].sum() == pytest.approx(0.16)
    assert lift > 0.1
    assert -0.24 < lost < -0.19
