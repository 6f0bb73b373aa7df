"""Limits of a unit and sampling rates through a whole task: training, look, evidence, verification."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from data_contracts.home import create_home
from flows.context import Context, open_context
from flows.evaluation import estimate_on_validation, influence_settings, load_pair
from flows.ingest import ingest_files
from flows.look import take_look
from flows.snapshot import load_rows, take_snapshot
from flows.training import open_if_free, train
from flows.unread import unread_rows
from flows.verify import verify_task
from policies.gate.evidence import load_evidence
from policies.registry import read_version
from tests.tiny_task import rows, write_jsonl, write_task

NOW = datetime(2026, 11, 21, tzinfo=UTC)
RATE = "      - {name: sampling_rate, logicalType: number, required: false}\n"


def _task(folder: Path, *, influence: str = "", minimum: str = "") -> Context:
    """The tiny task, linear and a short CQL, with a sampling rate in its contract."""
    path = write_task(folder / "task", steps=60)
    contract = path.with_name("tiny.odcs.yaml")
    contract.write_text(contract.read_text() + RATE.replace("required: false", f"required: false{minimum}"))
    path.write_text(path.read_text() + influence)
    return open_context(path, home=create_home({"SLUICE_HOME": str(folder / "home")}), actor="tester")


def _log(n: int, *, seed: int, day: int = 0, days: float = 10) -> list[dict[str, object]]:
    """Every third row belongs to one unit; rows without reward are kept at a third, and say so."""
    rng = np.random.default_rng(seed)
    lines = rows(n, seed=seed, day=day, days=days)
    for line in lines[::3]:
        line["unit_id"] = "loud"
    kept = [line for line in lines if line["reward"] == 1 or rng.random() < 1 / 3]
    return [{**line, "sampling_rate": 1.0 if line["reward"] == 1 else 1 / 3} for line in kept]


def _ingest(context: Context, folder: Path, lines: list[dict[str, object]]) -> str:
    path = write_jsonl(folder / f"{lines[0]['interaction_id']}.jsonl", lines)
    assert ingest_files(context, [path], outcomes=False, now=NOW).n_quarantined == 0
    return take_snapshot(context, as_of=None, now=NOW).snapshot_id


def test_looks_read_a_unit_up_to_its_limit_and_verify(tmp_path: Path) -> None:
    context = _task(tmp_path, influence="influence: {max_rows_per_unit: 40, severity: warn}\n")
    assert context.settings_sha256 != _task(tmp_path / "default").settings_sha256
    snapshot_id = _ingest(context, tmp_path, _log(4500, seed=1))
    version = train(context, snapshot_id, now=NOW).version
    manifest = read_version(context.home, context.name, version)
    assert influence_settings(manifest).max_rows_per_unit == 40
    assert open_if_free(context, version, now=NOW)

    first = take_look(context, version=version, snapshot_id=snapshot_id, now=NOW, run_id="one")
    evidence = load_evidence(context.home, context.name, first.evidence_id)
    found = evidence.decision.evidence["influence"]
    assert (evidence.rows.unit_id == "loud").sum() == found["largest_unit_rows"] == found["rows_per_unit"] <= 40
    assert found["n_over_limit"] > 100
    assert set(np.round(evidence.rows.weight, 9)) == {1.0, 3.0}
    assert evidence.decision.evidence["plan"]["weight_maximum"] == pytest.approx(3.0)
    loud = _loud_moments(context, snapshot_id, version)
    assert evidence.rows.interaction_id[evidence.rows.unit_id == "loud"].tolist() == loud[: found["rows_per_unit"]]

    later = _ingest(context, tmp_path, _log(2500, seed=2, day=11, days=5))
    unread = unread_rows(context, version=version, snapshot_id=later)
    assert (unread.rows.unit_id == "loud").sum() <= 40 - found["rows_per_unit"]
    if not first.final:
        second = take_look(context, version=version, snapshot_id=later, now=NOW, run_id="two")
        assert second.look == 2
    assert verify_task(context).problems == ()


def _loud_moments(context: Context, snapshot_id: str, version: int) -> list[str]:
    """Ids of the loud unit's rows after training, the earliest first."""
    until = read_version(context.home, context.name, version).trained_until
    assert until is not None
    _, logged, _ = load_rows(context, snapshot_id)
    mine = logged.select((logged.unit_id == "loud") & (logged.occurred_at > np.datetime64(until.replace(tzinfo=None))))
    return mine.interaction_id[np.lexsort((mine.interaction_id, mine.occurred_at))].tolist()


def test_the_value_of_a_sampled_log_is_that_of_the_whole(tmp_path: Path) -> None:
    """A uniform champion earns (.8 + .2 + .2) / 3 = .4; the rows as logged average .67."""
    context = _task(tmp_path, minimum=", logicalTypeOptions: {minimum: 0.25}")
    snapshot_id = _ingest(context, tmp_path, _log(4500, seed=3))
    version = train(context, snapshot_id, now=NOW).version
    take_look(context, version=version, snapshot_id=snapshot_id, now=NOW, run_id="one")
    pair = load_pair(context, version=version, against=1)
    assert np.mean(pair.trained_on.reward) > 0.6
    assert np.average(pair.trained_on.reward, weights=pair.trained_on.weight) == pytest.approx(0.4, abs=0.05)
    for found in estimate_on_validation(context, pair):
        if found.policy == "champion" and found.estimator in ("ips", "snips", "dr"):
            assert found.value == pytest.approx(0.4, abs=0.1), found.estimator
    known = pair.predict(pair.trained_on).mean()
    assert known == pytest.approx(0.4, abs=0.06)
