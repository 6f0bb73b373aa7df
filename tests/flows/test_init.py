"""A first contract and task file from a log: they pass `check`, take in the sample, and say what is left to decide."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from data_contracts.contract import read_contract
from data_contracts.errors import InputError, UsageError
from flows.init import Drafted, init_task
from flows.settings import ROOT
from flows.tasks import load_task, task_problems

START = datetime(2026, 10, 1, tzinfo=UTC)
SAMPLES = ROOT / "infra" / "samples"
Row = dict[str, object]


def log(n: int = 200) -> list[Row]:
    rng = np.random.default_rng(7)
    return [
        {
            "decisionId": f"d-{i}",
            "userId": f"u-{i % 40}",
            "ts": (START + timedelta(minutes=i)).isoformat(),
            "day": "weekday" if i % 7 < 5 else "weekend",  # a word that the store keeps for itself
            "age": int(rng.integers(18, 80)),
            "score": None if i % 9 == 0 else float(rng.normal()),
            "member": bool(i % 2),
            "note": f"free text {i}",
            "shop": "one",
            "variant": ["a", "b", "yes"][i % 3],
            "model": "v1",
            "pscore": 1 / 3,
            "clicked": i % 5 == 0,
        }
        for i in range(n)
    ]


def draft(folder: Path, rows: list[Row], **columns: str) -> Drafted:
    sample = folder / "log.jsonl"
    sample.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return init_task("shop", sample_path=sample, folder=folder / "task", columns=columns)


def without(rows: list[Row], *words: str) -> list[Row]:
    return [{k: v for k, v in row.items() if k not in words} for row in rows]


def test_the_drafts_pass_check_and_take_in_the_sample(tmp_path: Path) -> None:
    drafted = draft(tmp_path, log())
    assert task_problems(drafted.task) == []
    assert (drafted.trial.n_read, drafted.trial.n_accepted, drafted.trial.reasons) == (200, 200, {})
    assert drafted.trial.actions == {"a": 67, "b": 67, "yes": 66}
    task, contract = load_task(drafted.task)
    assert task.actions.names == ("a", "b", "yes")
    assert task.behavior_policies["v1"].uniform is True
    assert not task.report_only
    columns = {c.name: c for c in contract.columns}
    assert [c.name for c in contract.observation] == ["log_day", "age", "score", "member"]
    assert columns["note"].roles == columns["shop"].roles == ("extra",)
    assert (columns["log_day"].source_name, columns["age"].required, columns["score"].required) == ("day", True, False)
    assert contract.reward_bounds == (0, 1)


@pytest.mark.parametrize("sample", ["open_bandit/random.csv.gz", "digits_bandit/interactions.parquet"])
def test_the_shipped_logs(tmp_path: Path, sample: str) -> None:
    drafted = init_task("again", sample_path=SAMPLES / sample, folder=tmp_path, columns={})
    assert task_problems(drafted.task) == []
    assert drafted.trial.n_accepted == drafted.trial.n_read > 0


def test_what_a_person_must_decide_is_found_by_file_and_line(tmp_path: Path) -> None:
    drafted = draft(tmp_path, log())
    for file, line, what in drafted.decisions:
        assert f"DECIDE: {what}" in Path(file).read_text().splitlines()[line - 1]
    everything = (drafted.contract.read_text() + drafted.task.read_text()).count("DECIDE: ")
    assert len(drafted.decisions) == everything >= 6
    assert json.loads(json.dumps(drafted.to_json()))["decisions"][0]["line"] == drafted.decisions[0][1]


def test_a_log_without_propensities_is_reported_only(tmp_path: Path) -> None:
    drafted = draft(tmp_path, without(log(), "pscore"))
    assert task_problems(drafted.task) == []
    assert load_task(drafted.task)[0].report_only
    assert any(what.startswith("propensity:") for what in drafted.lacking)
    assert "propensity" in drafted.text()


def test_what_a_log_lacks_is_made_up_and_said(tmp_path: Path) -> None:
    drafted = draft(tmp_path, without(log(), "decisionId", "userId", "model"))
    assert task_problems(drafted.task) == []
    assert drafted.trial.n_accepted == 200
    assert load_task(drafted.task)[0].behavior_policies.keys() == {"logged"}
    assert [what.partition(":")[0] for what in drafted.lacking] == [
        "action_probabilities", "policy_version", "interaction_id", "unit_id",
    ]  # fmt: skip


def test_local_times_and_numbers_for_names(tmp_path: Path) -> None:
    rows = [
        {**row, "ts": str(row["ts"])[:19], "userId": i % 40, "decisionId": i, "variant": i % 3}
        for i, row in enumerate(log())
    ]
    drafted = draft(tmp_path, rows)
    assert drafted.trial.n_accepted == 200
    columns = {c.name: c for c in read_contract(drafted.contract).columns}
    assert columns["occurred_at"].zone == "UTC"
    assert {columns[name].logical_type for name in ("interaction_id", "unit_id", "action")} == {"integer"}
    assert load_task(drafted.task)[0].actions.names == ("0", "1", "2")


def test_a_person_may_name_the_columns(tmp_path: Path) -> None:
    rows = without([{**row, "what_they_saw": row["variant"]} for row in log()], "variant")
    with pytest.raises(InputError, match="no column action"):
        draft(tmp_path, rows)
    drafted = draft(tmp_path, rows, action="what_they_saw")
    assert drafted.roles["action"] == "what_they_saw"
    assert drafted.trial.n_accepted == 200


@pytest.mark.parametrize(
    ("columns", "message"),
    [({"acton": "variant"}, "expected one of interaction_id"), ({"action": "gone"}, "expected one of decisionId")],
)
def test_a_wrong_column_is_named(tmp_path: Path, columns: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        draft(tmp_path, log(), **columns)


def test_lists_and_identifiers_are_refused_as_what_they_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="list in column embedding"):
        draft(tmp_path, [{**row, "embedding": [0.1, 0.2]} for row in log()])
    with pytest.raises(InputError, match="too many actions in column note"):
        draft(tmp_path, without(log(), "variant"), action="note")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    drafted = draft(tmp_path, log())
    drafted.contract.write_text("mine")
    drafted.task.unlink()
    with pytest.raises(UsageError, match=r"shop\.odcs\.yaml exists"):
        draft(tmp_path, log())
    assert drafted.contract.read_text() == "mine"


def test_words_of_a_log_cannot_break_the_files(tmp_path: Path) -> None:
    ugly = ['a: "b" # c', "{x}", "yes", "ünïcode", "two\nlines", "- [1, 2]"]
    rows = [{**row, **dict.fromkeys(ugly, i % 3), "variant": ugly[i % 6]} for i, row in enumerate(log())]
    drafted = draft(tmp_path, [{k: v for k, v in row.items() if k.isprintable()} for row in rows])
    assert task_problems(drafted.task) == []
    assert {c.source_name for c in read_contract(drafted.contract).columns} >= {w for w in ugly if w.isprintable()}
    assert set(load_task(drafted.task)[0].actions.names) == set(ugly)
