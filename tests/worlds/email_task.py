"""The wear-out world as a task in a store: version 1 never sends emoji, version 2 always does and was promoted."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.home import create_home
from flows.champion import ensure_champion
from flows.context import Context, open_context
from flows.ingest import ingest_files
from policies.action_probabilities import HeadSettings
from policies.declared import build_declared
from policies.gate.evidence import store_evidence
from policies.gate.looks.ledger import record_look
from policies.gate.records import GateDecision, GateRows, Verdict
from policies.registry import VersionFacts, open_slot, read_version, register_version
from policies.stage import Canary, Holdback, challenger_units
from tests.worlds import email_fatigue as world

NEVER, ALWAYS = 1, 2  # versions
PAST_DAYS = 7
START = datetime(2026, 9, 1, 8, tzinfo=UTC)

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: emails
name: emails
version: 1.0.0
status: active
description: {purpose: readers wear out}
team: {name: testers}
support:
  - {channel: testers, url: "https://example.org"}
customProperties:
  - {property: runbook, value: infra/RUNBOOK.md}
schema:
  - name: interactions
    logicalType: object
    properties:
      - {name: interaction_id, logicalType: string, required: true, unique: true, primaryKey: true}
      - {name: unit_id, logicalType: string, required: true}
      - {name: occurred_at, logicalType: timestamp, required: true}
      - {name: action, logicalType: string, required: true}
      - {name: policy_version, logicalType: string, required: true}
      - {name: propensity, logicalType: number, required: true}
      - {name: reward, logicalType: number, required: true, logicalTypeOptions: {minimum: 0, maximum: 1}}
      - {name: hour, logicalType: number, required: true, tags: [observation]}
      - {name: loyalty, logicalType: string, required: true, tags: [segment]}
"""

TASK = """\
task: emails
description: Which e-mail a reader gets.
actions: {names: [plain, emoji]}
champion: {probabilities: {plain: 1, emoji: 0}, head: {exploration: 0}}
training:
  algorithms: {cql: {steps: 1}}
  seeds: [0]
"""
GATE: dict[str, Any] = {
    "holdback": {"share": 0.4, "horizons_days": [7, 28], "look_every_days": 5, "looks": 2, "min_units_per_look": 50}
}


@dataclass(frozen=True)
class _Table:
    probabilities: dict[str, float]
    uniform: bool | None = None
    constant: str | None = None
    onnx: str | None = None
    head: HeadSettings = field(default_factory=lambda: HeadSettings(exploration=0.0))


def moment(day: float) -> datetime:
    """Noon of a day, counted from the first: after that day's e-mails."""
    return START + timedelta(days=day, hours=4)


def email_task(folder: Path, *, gate: dict[str, Any] | None = None) -> Context:
    """The task with both versions registered, version 1 serving."""
    (folder / "task").mkdir(parents=True)
    (folder / "task" / "emails.odcs.yaml").write_text(CONTRACT)
    (folder / "task" / "emails.yaml").write_text(TASK)
    home = create_home({"SLUICE_HOME": str(folder / "home")})
    context = open_context(folder / "task" / "emails.yaml", home=home, actor="tester")
    ensure_champion(context, now=START)
    with tempfile.TemporaryDirectory() as artifact:
        always = _Table({"plain": 0.0, "emoji": 1.0})
        build_declared(always, actions=context.actions, columns=(), onnx_path=None, folder=Path(artifact))
        register_version(
            home,
            context.name,
            artifact=Path(artifact),
            facts=VersionFacts(
                origin="trained",
                description="always emoji",
                actions=context.actions,
                head=always.head,
                contract_version=context.contract.version,
                contract_sha256=context.contract.sha256,
                code_version="test",
                algorithm="linear",
                seed=0,
                snapshot_id="5" * 64,
                trained_until=moment(PAST_DAYS),
                settings={"gate": GATE if gate is None else gate},
            ),
            key="always",
            now=START,
        )
    return context


def look_at_challenger(
    context: Context,
    verdict: Verdict,
    *,
    number: int = 1,
    snapshot_id: str | None = None,
    patch: dict[str, Any] | None = None,
) -> str:
    """A look in the ledger with this verdict, at version 2 against version 1; its evidence id."""
    if number == 1:
        open_slot(context.home, context.name, version=ALWAYS, actor="tester", reason="trained", now=START)
    ids = np.array([f"gate-{number}-{i}" for i in range(4)])
    even = np.full((4, 2), 0.5)
    rows = GateRows(
        interaction_id=ids, unit_id=ids, policy_version=np.full(4, "1"), action=np.zeros(4, np.int64),
        reward=np.ones(4), propensity=np.full(4, 0.5), behavior=even, champion=even, challenger=even,
        reward_model=even,
    )  # fmt: skip
    decision = GateDecision(verdict, ("because",), {"patch": patch})
    facts = {"challenger": ALWAYS, "look": number, "snapshot_id": snapshot_id}
    evidence_id = store_evidence(context.home, context.name, rows=rows, decision=decision, facts=facts)
    record_look(
        context.home, context.name, challenger=ALWAYS, champion=NEVER, look=number, evidence_id=evidence_id,
        rows=rows, verdict=verdict, actor="tester", run_id=f"run-{number}", now=START,
    )  # fmt: skip
    return evidence_id


def arms_in(context: Context, version: int, n_readers: int) -> NDArray[np.bool_]:
    """(n_readers,) who gets emoji under a version."""
    stage = read_version(context.home, context.name, version).stage
    if isinstance(stage, Canary | Holdback):
        return challenger_units(stage, names(n_readers))
    return np.full(n_readers, version == ALWAYS)


def names(n_readers: int) -> NDArray[np.str_]:
    return np.char.add("reader-", np.arange(n_readers).astype(np.str_))


def serve(
    context: Context,
    version: int,
    *,
    first_day: int,
    n_days: int,
    rng: np.random.Generator,
    appetite: NDArray[np.float64],
    freshness: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Let a version decide for `n_days` and ingest what it logged; the readers' freshness after it."""
    n = len(appetite)
    emoji = arms_in(context, version, n)
    sent, fresh = world.send(rng, emoji.astype(float), n_days=n_days, appetite=appetite, freshness=freshness)
    lines = [
        {
            "interaction_id": f"{version}-{first_day + day}-{i}",
            "unit_id": name,
            "occurred_at": (START + timedelta(days=first_day + day)).isoformat(),
            "action": "emoji" if emoji[i] else "plain",
            "policy_version": str(version),
            "propensity": 1.0,
            "reward": float(sent.click[i, day]),
            "hour": 8.0,
            "loyalty": "loyal" if i % 2 else "new",
        }
        for day in range(n_days)
        for i, name in enumerate(names(n).tolist())
    ]
    path = context.task.file.parent / f"{version}-{first_day}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = ingest_files(context, [path], outcomes=False, now=moment(first_day + n_days))
    assert result.n_accepted == len(lines)
    return fresh
