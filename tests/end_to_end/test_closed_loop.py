"""The loop closes: the promoted policy serves, its own log with later rewards is the next input, and it gates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.cli import sluice
from tests.tiny_task import right_action, rows, write_jsonl, write_task


@pytest.mark.xdist_group("tiny")
def test_the_log_of_the_promoted_policy_evaluates_its_successor(tmp_path: Path) -> None:
    task, home = write_task(tmp_path / "task", reward_required=False), tmp_path / "home"
    task.write_text(task.read_text().replace("champion: {", "reward: {attribution_window: PT1H}\nchampion: {"))
    first = sluice(home, "retrain", task, "--from", write_jsonl(tmp_path / "first.jsonl", rows())).out
    assert first["champion"] == 2

    seen = [{"unit_id": row["unit_id"], "x": row["x"], "y": row["y"]} for row in rows(2400, seed=50)]
    served = sluice(home, "act", task, "--observations", write_jsonl(tmp_path / "seen.jsonl", seen)).out
    rng = np.random.default_rng(5)
    outcomes = [
        {
            "interaction_id": row["interaction_id"],
            "value": float(rng.random() < (0.8 if row["action"] == right_action(row["x"]) else 0.2)),
            "observed_at": row["occurred_at"],
        }
        for row in served["rows"]
    ]
    assert sluice(home, "ingest", task, "--from", served["log"]).out["n_accepted"] == 2400
    sluice(home, "ingest", task, "--outcomes", "--from", write_jsonl(tmp_path / "outcomes.jsonl", outcomes))

    second = sluice(home, "retrain", task, "--as-of", "2031-01-01").out
    assert second["trigger"]["train"]
    assert second["version"] == 3
    assert second["verdict"] in ("hold", "block"), "nothing is left to gain beyond chance"
    decision = sluice(home, "lineage", task, "--version", "3").out["looks"][0]
    assert decision["champion"] == 2
    assert sluice(home, "verify", task).out["ok"]
