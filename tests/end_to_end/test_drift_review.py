"""Covariate drift blocks only if it touches the gate's verdict, and says what happened before it began."""

from __future__ import annotations

from pathlib import Path

from data_contracts.home import Home
from policies.gate.looks.ledger import uses_of
from tests.end_to_end.conftest import Site
from tests.tiny_task import rows, write_jsonl


def test_a_shift_that_changes_no_verdict_warns(site: Site, tmp_path: Path) -> None:
    """Column y decides nothing: its shift passes the threshold, and the verdict stays on the new covariates."""
    moved = [{**row, "y": float(str(row["y"])) + 0.4} for row in rows(1500, seed=21, day=10, days=4)]
    site.run("retrain", site.task, "--from", write_jsonl(tmp_path / "moved.jsonl", moved))
    drift = site.run("validate", site.task)["drift"]
    assert drift["level"] == "warn"
    assert drift["statistic"] >= 600
    assert any("stays: the difference is" in alarm["reason"] for alarm in drift["alarms"])
    assert drift["relevance_needed"] is False
    uses = uses_of(Home(site.home), "tiny")
    assert [(use.purpose, use.challenger) for use in uses] == [
        ("look", 2),
        ("relevance", 2),
        ("look", 3),
        ("relevance", 3),
    ]
    assert [use.n_rows for use in uses[::2]] == [use.n_rows for use in uses[1::2]]


def test_a_shift_to_where_the_gate_has_no_rows_blocks(site: Site, tmp_path: Path) -> None:
    gone = rows(600, seed=22, day=10, days=2, shift=4.0)
    blocked = site.run("retrain", site.task, "--from", write_jsonl(tmp_path / "gone.jsonl", gone), code=3)
    assert "drift" in blocked["error"]["message"]
    drift = site.run("validate", site.task, code=3)["drift"]
    assert any("no overlap" in alarm["reason"] for alarm in drift["alarms"])
