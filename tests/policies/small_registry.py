"""A small registry for the tests: three actions, versions that each prefer one of them, looks with a verdict."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.home import Home
from policies.action_probabilities import HeadSettings
from policies.declared import build_declared
from policies.gate.evidence import store_evidence
from policies.gate.looks.ledger import LookEntry, record_look
from policies.gate.records import GateDecision, GateRows, Verdict
from policies.registry import VersionFacts, declare_champion, register_version

TASK = "shop"
ACTIONS = ("a", "b", "c")
NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
ACTOR = "tester"


@dataclass(frozen=True)
class Table:
    """A declared table of probabilities."""

    probabilities: dict[str, float]
    uniform: bool | None = None
    constant: str | None = None
    onnx: str | None = None
    head: HeadSettings = field(default_factory=lambda: HeadSettings(exploration=0.0))


def facts(**changes: Any) -> VersionFacts:
    """Facts of a trained version."""
    known = {
        "origin": "trained",
        "description": "cql, seed 0",
        "actions": ACTIONS,
        "head": HeadSettings(),
        "contract_version": "1.0.0",
        "contract_sha256": "c" * 64,
        "code_version": "0.1.0",
        "algorithm": "cql",
        "seed": 0,
        "snapshot_id": "5" * 64,
        "trained_until": NOW,
        "settings": {"steps": 10},
    }
    return VersionFacts(**{**known, **changes})


def declared_facts() -> VersionFacts:
    unknown = dict.fromkeys(("algorithm", "seed", "snapshot_id", "trained_until"))
    return facts(origin="declared", description="a table", settings={}, **unknown)


def artifact(folder: Path, share: float) -> Path:
    """A policy that takes action a with probability `share`."""
    table = Table({"a": share, "b": (1 - share) / 2, "c": (1 - share) / 2})
    build_declared(table, actions=ACTIONS, columns=(), onnx_path=None, folder=folder)
    return folder


def register(home: Home, key: str, *, share: float = 0.5, facts_: VersionFacts | None = None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return register_version(
            home, TASK, artifact=artifact(Path(folder), share), facts=facts_ or facts(), key=key, now=NOW
        )


def registry(root: Path, *, n_trained: int) -> Home:
    """Version 1 is the champion, versions 2 ... n_trained + 1 are trained."""
    home = Home(root)
    version = register(home, "declared", share=1 / 3, facts_=declared_facts())
    declare_champion(home, TASK, version=version, actor=ACTOR, now=NOW)
    for i in range(n_trained):
        register(home, f"training-{i}", share=0.5 + i / 100)
    return home


def look(
    home: Home, version: int, verdict: Verdict, *, champion: int = 1, number: int = 1, snapshot_id: str = "5" * 64
) -> LookEntry:
    """A look in the ledger, with its evidence in the store."""
    ids = np.array([f"row-{version}-{number}-{i}" for i in range(4)])
    even = np.full((4, 3), 1 / 3)
    rows = GateRows(
        interaction_id=ids, unit_id=ids, policy_version=np.full(4, "1"), action=np.zeros(4, np.int64),
        reward=np.ones(4), propensity=np.full(4, 1 / 3), behavior=even, champion=even, challenger=even,
        reward_model=even,
    )  # fmt: skip
    evidence_id = store_evidence(
        home,
        TASK,
        rows=rows,
        decision=GateDecision(verdict, ("because",), {}),
        facts={"challenger": version, "look": number, "snapshot_id": snapshot_id},
    )
    return record_look(
        home, TASK, challenger=version, champion=champion, look=number, evidence_id=evidence_id, rows=rows,
        verdict=verdict, actor=ACTOR, run_id="run", now=NOW,
    )  # fmt: skip
