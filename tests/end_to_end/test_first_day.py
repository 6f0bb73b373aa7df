"""The first day of a team whose log has no propensities: two commands, and a report of what it would take."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.end_to_end.cli import sluice


def test_a_log_without_propensities_is_worth_a_report(tmp_path: Path) -> None:
    rng, home, start = random.Random(3), tmp_path / "home", datetime(2026, 11, 10, tzinfo=UTC)
    log = tmp_path / "log.jsonl"
    lines = [
        {"user_id": rng.randrange(300), "timestamp": (start + timedelta(minutes=2 * i)).isoformat(),
         "item": rng.choice("abc"), "age": rng.randrange(18, 80), "clicked": rng.random() < 0.1}
        for i in range(2000)
    ]  # fmt: skip
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    drafted = sluice(home, "init", "shop", "--from", log, "--at", tmp_path / "task").out
    assert drafted["trial"]["n_accepted"] == 2000
    assert sum(drafted["first_day"]["rows_per_action"].values()) == 2000
    assert [day["rate"] for day in drafted["first_day"]["days"]] == [0.01, 0.05, 0.1, 0.2]
    task = drafted["task"]
    assert sluice(home, "check", task).out["ok"]
    refused = sluice(home, "retrain", task, "--from", log, code=4).out
    assert refused["verdict"] == "refuse"
    assert "probability" in refused["reasons"][0]
    page = Path(refused["report"]).read_text()
    assert "What the log can tell so far" in page
    assert "Add to the logging service" in page
    again = sluice(home, "retrain", task, "--from", log, code=4).out
    assert again["verdict"] == "refuse"
