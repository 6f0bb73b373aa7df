"""Evaluating never reads a gate row: not those of the version's own snapshot, nor the open challenger's later ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.errors import UsageError
from data_contracts.home import create_home
from data_contracts.snapshot import Snapshot
from data_contracts.splits import GATE, TRAIN, VALIDATION
from flows import evaluation
from flows.champion import ensure_champion
from flows.context import Context, open_context
from flows.evaluation import estimate_on_validation, load_pair
from flows.ingest import ingest_files
from flows.snapshot import load_rows, take_snapshot
from flows.training import open_if_free, train
from policies.logged_interactions import LoggedInteractions
from policies.registry import VersionFacts, close_challenger, read_version, register_version, version_folder
from tests.tiny_task import rows, write_jsonl, write_task

NOW = datetime(2026, 11, 21, tzinfo=UTC)
FACTS = set(VersionFacts.model_fields)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Version 2 is open, trained on the first ten days; version 3 has the next snapshot."""
    folder = tmp_path_factory.mktemp("peeking")
    path = write_task(folder / "task", steps=20)
    context = open_context(path, home=create_home({"SLUICE_HOME": str(folder / "home")}), actor="tester")
    assert ensure_champion(context, now=NOW) == 1
    assert train(context, _ingested(context, folder, rows(1500, seed=1)), now=NOW).version == 2
    assert open_if_free(context, 2, now=NOW)
    later = _ingested(context, folder, rows(1500, seed=2, day=10, days=5))
    snapshot, _, _ = load_rows(context, later)
    facts = VersionFacts.model_validate(read_version(context.home, context.name, 2).model_dump(include=FACTS))
    other = facts.model_copy(update={"snapshot_id": later, "trained_until": snapshot.trained_until})
    artifact = version_folder(context.home, context.name, 2)
    assert register_version(context.home, context.name, artifact=artifact, facts=other, key="other", now=NOW) == 3
    return context


def _ingested(context: Context, folder: Path, lines: list[dict[str, object]]) -> str:
    ingest_files(context, [write_jsonl(folder / f"{lines[0]['interaction_id']}.jsonl", lines)], outcomes=False, now=NOW)
    return take_snapshot(context, as_of=None, now=NOW).snapshot_id


def _poisoned(context: Context, snapshot_id: str) -> tuple[Snapshot, LoggedInteractions, pa.Table]:
    """The snapshot with rewards that nobody could overlook wherever the gate alone may read."""
    snapshot, logged, table = load_rows(context, snapshot_id)
    free = np.isin(logged.split, (TRAIN, VALIDATION))
    assert (logged.split == GATE).sum() > 100
    return snapshot, replace(logged, reward=np.where(free, logged.reward, 1e6)), table


def test_evaluate_is_blind_to_every_reward_of_the_gate_window(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = estimate_on_validation(context, load_pair(context, version=2, against=1))
    monkeypatch.setattr(evaluation, "load_rows", _poisoned)
    poisoned = estimate_on_validation(context, load_pair(context, version=2, against=1))
    assert poisoned == honest
    assert all(np.isfinite([e.value, e.lower, e.upper]).all() for e in honest)


def test_gate_rows_of_the_open_challenger_are_refused_as_anothers_validation_rows(context: Context) -> None:
    """Version 3's validation rows are gate rows of version 2: what it is worth there is what its looks shall say."""
    with pytest.raises(UsageError, match=r"no peek at version 2 of tiny: .* `sluice look` spends the next one"):
        estimate_on_validation(context, load_pair(context, version=3, against=2))
    assert estimate_on_validation(context, load_pair(context, version=3, against=1))


def test_a_closed_challenger_has_no_secrets(context: Context) -> None:
    close_challenger(context.home, context.name, version=2, outcome="withdrawn", reason="test", actor="tester", now=NOW)
    assert estimate_on_validation(context, load_pair(context, version=3, against=2))
