"""Bad input through the command line: a clear error or a reason per line; nothing lost, nothing trained on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.cli import sluice
from tests.tiny_task import rows, write_jsonl, write_task

GOOD = rows(3)
HEADER = "interaction_id,unit_id,occurred_at,action,policy_version,propensity,reward,x,y"


def line(**changes: object) -> str:
    """One good row with changes; None takes the key away."""
    return json.dumps({k: v for k, v in {**GOOD[0], **changes}.items() if v is not None})


@pytest.mark.xdist_group("tiny")
def test_every_bad_line_is_quarantined_with_file_line_and_expectation(tmp_path: Path) -> None:
    task, home = write_task(tmp_path / "task"), tmp_path / "home"
    bad = {
        line(interaction_id="b1", propensity=None): "propensity missing",
        line(interaction_id="b2", propensity=0): "(0, 1]",
        line(interaction_id="b3", propensity=1.7): "(0, 1]",
        line(interaction_id="b4", reward=1.0).replace('"reward": 1.0', '"reward": NaN'): "finite",
        line(interaction_id="b5", occurred_at="2026-10-01T00:00:00"): "offset",
        line(interaction_id="b6", action="up"): "declared actions",
        '{"interaction_id": "b7", ': "broken JSON",
        line(interaction_id="b8") + line(interaction_id="b9"): "two objects",
    }
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join([*(json.dumps(row) for row in GOOD), *bad]) + "\n")
    answer = sluice(home, "ingest", task, "--from", log).out
    assert (answer["n_read"], answer["n_accepted"], answer["n_quarantined"]) == (3 + len(bad), 3, len(bad))
    assert [(q["file"], q["line"]) for q in answer["quarantined"]] == [("log.jsonl", 4 + i) for i in range(5)]
    from data_contracts.home import Home
    from data_contracts.quarantine import list_rows

    found = {row["line"]: row for row in list_rows(Home(home), "tiny").to_pylist()}
    for number, (raw, expected) in enumerate(bad.items(), start=4):
        assert expected in found[number]["reason"], found[number]["reason"]
        assert found[number]["raw"].decode().rstrip("\n") == raw


@pytest.mark.xdist_group("tiny")
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.jsonl", "", "empty file"),
        ("empty.csv", HEADER + "\n", "empty file"),
        ("order.csv", HEADER.replace("unit_id,occurred_at", "occurred_at,unit_id") + "\n1,2,3,4,5,6,7,8,9\n", "order"),
        ("column.csv", HEADER.replace(",propensity", "") + "\n1,2,3,4,5,6,7,8\n", "propensity"),
    ],
)
def test_a_file_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path, name: str, content: str, words: str) -> None:
    task, home, log = write_task(tmp_path / "task"), tmp_path / "home", tmp_path / name
    log.write_text(content)
    answer = sluice(home, "retrain", task, "--from", log, code=1)
    assert name in answer.errors
    assert words in answer.errors
    assert sluice(home, "policies", task).out["aliases"] == {"champion": 1, "challenger": None}
    assert "no interactions" in sluice(home, "snapshot", task, code=4).errors


def test_every_mistake_of_a_task_is_named_with_file_and_line(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    text = task.read_text().replace("champion: {uniform: true}", "champion: {uniform: true}\nchampion: {uniform: true}")
    task.write_text(text.replace("gate: {looks: 3", "gate: {lucks: 3"))
    answer = sluice(tmp_path / "home", "check", task, code=2).out
    found = {(p["line"], word) for p in answer["problems"] for word in ("champion", "lucks") if word in p["message"]}
    lines = task.read_text().splitlines()
    assert (lines.index("champion: {uniform: true}") + 2, "champion") in found
    assert any(word == "lucks" for _, word in found)
    assert sluice(tmp_path / "home", "retrain", task, "--from", write_jsonl(tmp_path / "a.jsonl", GOOD), code=2)
    assert not (tmp_path / "home").exists()


def test_nothing_is_trained_on_too_little(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    answer = sluice(tmp_path / "home", "retrain", task, "--from", write_jsonl(tmp_path / "a.jsonl", GOOD), code=4)
    assert answer.out["error"]["type"] == "DegenerateData"
