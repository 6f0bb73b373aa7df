"""Evidence that earlier formulas stored, byte for byte: verdicts still verify, and forgeries still show."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_contracts.home import Home
from data_contracts.storage import canonical_json, sha256_bytes
from policies.gate.evidence import load_evidence, verify_evidence
from policies.gate.looks.ledger import record_look

STORED = Path(__file__).parent  # formula_1: before rows had weights; formula_2: one e-process, one threshold


def _home(root: Path, document: bytes, *, formula: int = 1) -> tuple[Home, str]:
    home, evidence_id = Home(root), sha256_bytes(document)
    folder = home.looks("shop") / evidence_id
    folder.mkdir(parents=True)
    shutil.copy(STORED / f"formula_{formula}" / "rows.parquet", folder)
    (folder / "decision.json").write_bytes(document)
    found = load_evidence(home, "shop", evidence_id)
    record_look(
        home,
        "shop",
        challenger=7,
        champion=1,
        look=1,
        evidence_id=evidence_id,
        rows=found.rows,
        verdict=found.decision.verdict,
        actor="test",
        run_id="run-1",
        now=datetime(2026, 3, 1, tzinfo=UTC),
    )
    return home, evidence_id


def test_evidence_of_the_first_formula_verifies(tmp_path: Path) -> None:
    home, evidence_id = _home(tmp_path, (STORED / "formula_1" / "decision.json").read_bytes())
    found = load_evidence(home, "shop", evidence_id)
    assert found.decision.evidence["formula"] == 1
    assert (found.rows.weight == np.ones(60)).all()
    assert verify_evidence(home, "shop", evidence_id) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("log_e_promote",), 9.9),
        (("n_units",), 31),
        (("plan", "sigma_squared"), 0.9),
        (("estimates", 3, "value"), 0.5),
        (("influence",), {}),  # the first release wrote none
        (("refusals", 0, "observed"), 61),
    ],
)
def test_a_forgery_of_it_shows(tmp_path: Path, path: tuple[Any, ...], value: object) -> None:
    document = json.loads((STORED / "formula_1" / "decision.json").read_bytes())
    at = document["evidence"]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    home, evidence_id = _home(tmp_path, canonical_json(document))
    assert verify_evidence(home, "shop", evidence_id) != []


def test_evidence_of_the_second_formula_verifies(tmp_path: Path) -> None:
    home, evidence_id = _home(tmp_path, (STORED / "formula_2" / "decision.json").read_bytes(), formula=2)
    found = load_evidence(home, "shop", evidence_id)
    assert found.decision.evidence["formula"] == 2
    assert set(found.rows.weight) == {1.0, 3.0}
    assert verify_evidence(home, "shop", evidence_id) == []


@pytest.mark.parametrize(("path", "value"), [(("log_e_block",), 9.9), (("lift", "lower"), 0.5), (("n",), 61)])
def test_a_forgery_of_the_second_shows(tmp_path: Path, path: tuple[str, ...], value: object) -> None:
    document = json.loads((STORED / "formula_2" / "decision.json").read_bytes())
    at = document["evidence"]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    home, evidence_id = _home(tmp_path, canonical_json(document), formula=2)
    assert verify_evidence(home, "shop", evidence_id) != []
