"""Evidence is content-addressed, recomputable, and shows every flipped byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_contracts.errors import IntegrityError, UsageError
from data_contracts.home import Home
from data_contracts.storage import canonical_json, sha256_bytes
from policies.gate.evidence import load_evidence, store_evidence, verify_evidence
from policies.gate.looks.ledger import record_look
from policies.gate.records import GateDecision, GateRows, Plan, concatenate
from policies.gate.row_file import rows_from_parquet, rows_to_parquet
from policies.gate.settings import GateSettings
from tests.gate_looks import decide_look

MakeRows = Callable[..., GateRows]
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def _take_looks(home: Home, parts: list[GateRows], settings: GateSettings, plan: Plan) -> list[str]:
    """Looks 1 ... len(parts) at version 7, stored and entered in the ledger; returns the evidence ids."""
    ids = []
    for look in range(1, len(parts) + 1):
        read = parts[:look]
        decision = decide_look(
            concatenate(read),
            settings,
            plan,
            look=look,
            look_ends=tuple(np.cumsum([part.n for part in read]).tolist()),
            rows_per_day=50.0,
        )
        ids.append(_record(home, parts[look - 1], decision, look))
    return ids


def _record(home: Home, rows: GateRows, decision: GateDecision, look: int) -> str:
    facts = {"challenger": 7, "champion": 1, "snapshot_id": "ab" * 32, "look": look}
    evidence_id = store_evidence(home, "shop", rows=rows, decision=decision, facts=facts)
    record_look(
        home,
        "shop",
        challenger=7,
        champion=1,
        look=look,
        evidence_id=evidence_id,
        rows=rows,
        verdict=decision.verdict,
        actor="test",
        run_id=f"run-{look}",
        now=NOW,
    )
    return evidence_id


@pytest.fixture
def parts(make_rows: MakeRows) -> list[GateRows]:
    return [make_rows(300, lift=0.25, seed=look, start=300 * look) for look in range(3)]


def _same(a: GateRows, b: GateRows) -> bool:
    segments = a.segments.keys() == b.segments.keys()
    return (
        segments
        and all(
            getattr(a, f).dtype.kind == getattr(b, f).dtype.kind
            and np.array_equal(getattr(a, f), getattr(b, f), equal_nan=getattr(a, f).dtype.kind in "fM")
            for f in GateRows.__slots__
            if f != "segments"
        )
        and all((a.segments[name] == b.segments[name]).all() for name in a.segments)
    )


def test_rows_come_back_as_they_were_and_always_as_the_same_bytes(make_rows: MakeRows) -> None:
    rows = make_rows(200, seed=1)
    odd = rows.reward_model.copy()
    odd[0] = [np.nan, -0.0, 5e-324]
    rows = replace(
        rows,
        reward_model=odd,
        unit_id=np.array([f"ü{i}" for i in range(200)]),
        day=np.datetime64("2026-03-01") + np.arange(200),
        source=np.arange(200).astype(np.uint8) % 3,
        seed_logged=np.linspace(0, 1, 800).reshape(200, 4),
        seed_direct=np.linspace(-1, 1, 800).reshape(200, 4),
        segments={"tenure": np.array(["new", "loyal"] * 100), "größe": np.array([""] * 200)},
    )
    assert rows_to_parquet(rows) == rows_to_parquet(rows)
    assert _same(rows_from_parquet(rows_to_parquet(rows)), rows)
    empty = rows_from_parquet(rows_to_parquet(make_rows(0)))
    assert (empty.n, empty.behavior.shape) == (0, (0, 3))


def test_every_look_verifies(home: Home, parts: list[GateRows], settings: GateSettings, plan: Plan) -> None:
    ids = _take_looks(home, parts, settings, plan)
    assert len(set(ids)) == 3
    for look, evidence_id in enumerate(ids, start=1):
        assert verify_evidence(home, "shop", evidence_id) == []
        found = load_evidence(home, "shop", evidence_id)
        assert _same(found.rows, parts[look - 1])  # only the rows new in this look
        assert found.facts["look"] == look


def test_the_same_look_has_the_same_id_wherever_it_is_taken(
    tmp_path: Path, parts: list[GateRows], settings: GateSettings, plan: Plan
) -> None:
    here, there = (_take_looks(Home(tmp_path / name), parts, settings, plan) for name in "ab")
    assert here == there
    changed = [parts[0], replace(parts[1], reward=1 - parts[1].reward), parts[2]]
    other = _take_looks(Home(tmp_path / "c"), changed, settings, plan)
    assert other[0] == here[0]
    assert other[1] != here[1]


def test_a_refusal_is_stored_and_verifies_too(
    home: Home, parts: list[GateRows], settings: GateSettings, make_rows: MakeRows
) -> None:
    spoilt = replace(parts[0], reward=np.full(300, np.nan))
    for task_rows, plan in ((spoilt, Plan(1000, np.nan, 0.0, 1.0)), (make_rows(0), Plan(1000, 1.0, 0.0, 1.0))):
        fresh = Home(home.root / str(task_rows.n))
        (evidence_id,) = _take_looks(fresh, [task_rows], settings, plan)
        assert load_evidence(fresh, "shop", evidence_id).decision.verdict == "refuse"
        assert verify_evidence(fresh, "shop", evidence_id) == []


@pytest.mark.parametrize("name", ["rows.parquet", "decision.json"])
def test_one_flipped_byte_is_named(
    home: Home, parts: list[GateRows], settings: GateSettings, plan: Plan, name: str
) -> None:
    ids = _take_looks(home, parts, settings, plan)
    path = home.looks("shop") / ids[0] / name
    good = path.read_bytes()
    for position in np.random.default_rng(1).integers(len(good), size=25):
        bad = bytearray(good)
        bad[position] ^= 1 << int(position) % 8
        path.write_bytes(bytes(bad))
        (problem,) = verify_evidence(home, "shop", ids[0])
        assert str(path) in problem
        assert verify_evidence(home, "shop", ids[2]), "a later look rests on the earlier rows"
        with pytest.raises(IntegrityError, match=name):
            load_evidence(home, "shop", ids[0])
    path.unlink()
    assert str(path) in verify_evidence(home, "shop", ids[0])[0]


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (lambda document: document.update(verdict="promote"), "the verdict recomputes to hold, stored is promote"),
        (lambda document: document["evidence"]["lift"].update(lower=0.001), "/evidence/lift/lower recomputes to"),
        (lambda document: document["evidence"].update(log_e_promote=9.9), "/evidence/log_e_promote recomputes to"),
        (lambda document: document["reasons"].append("Trust me."), "/reasons recomputes to"),
        (lambda document: document["evidence"].update(formula=0), "not recomputable by this release"),
    ],
)
def test_a_forged_decision_with_a_right_hash_is_found(
    home: Home,
    make_rows: MakeRows,
    settings: GateSettings,
    plan: Plan,
    forge: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    rows = make_rows(300, lift=0.01)
    decision = decide_look(rows, settings, plan, look=1, look_ends=(300,), rows_per_day=1.0)
    document = json.loads(
        canonical_json({"verdict": "hold", "reasons": decision.reasons, "evidence": decision.evidence})
    )
    forge(document)
    forged = GateDecision(document["verdict"], tuple(document["reasons"]), document["evidence"])
    (problem,) = verify_evidence(home, "shop", _record(home, rows, forged, 1))
    assert message in problem


def test_rows_read_twice_are_found(home: Home, parts: list[GateRows], settings: GateSettings, plan: Plan) -> None:
    ids = _take_looks(home, [parts[0], parts[0]], settings, plan)
    assert "rows read twice" in verify_evidence(home, "shop", ids[1])[0]


def test_evidence_without_a_ledger_entry_proves_nothing(
    home: Home, parts: list[GateRows], settings: GateSettings, plan: Plan
) -> None:
    (evidence_id,) = _take_looks(home, parts[:1], settings, plan)
    found = load_evidence(home, "shop", evidence_id)
    orphan = store_evidence(
        home, "shop", rows=found.rows, decision=found.decision, facts={**found.facts, "challenger": 8}
    )
    assert "is not in the ledger" in verify_evidence(home, "shop", orphan)[0]


@pytest.mark.parametrize("evidence_id", ["", "../../etc", "A" * 64, "0" * 63])
def test_an_id_that_is_none_becomes_no_path(home: Home, evidence_id: str) -> None:
    with pytest.raises(UsageError, match="bad evidence id"):
        load_evidence(home, "shop", evidence_id)


def test_the_id_is_the_hash_of_the_decision_file(
    home: Home, parts: list[GateRows], settings: GateSettings, plan: Plan
) -> None:
    (evidence_id,) = _take_looks(home, parts[:1], settings, plan)
    folder = home.looks("shop") / evidence_id
    assert sha256_bytes((folder / "decision.json").read_bytes()) == evidence_id
    assert sorted(p.name for p in folder.iterdir()) == ["decision.json", "rows.parquet"]
