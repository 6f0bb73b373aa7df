"""The loop as a user sees it: the commands, their JSON, their exit codes."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.end_to_end.cli import command, environment, sluice
from tests.end_to_end.conftest import Site
from tests.tiny_task import rows, write_jsonl, write_task

pytestmark = pytest.mark.xdist_group("tiny")


def test_a_run_promotes_what_the_log_proves_better(site: Site) -> None:
    first = site.first
    assert first["verdict"] == "promote", first["reasons"]
    assert first["champion"] == first["version"] == 2
    assert Path(first["report"]).is_file()
    assert json.loads(Path(first["report_json"]).read_text())["verdict"] == "promote"
    assert site.run("policies", site.task)["aliases"] == {"champion": 2, "challenger": None}


def test_without_new_rows_nothing_is_trained_and_the_run_says_why(site: Site) -> None:
    again = site.run("retrain", site.task)
    assert again["verdict"] is None
    assert again["snapshot_id"] == site.first["snapshot_id"]
    assert "already" in again["reasons"][0]
    assert again["champion"] == 2


def test_the_same_moment_gives_the_same_snapshot(site: Site) -> None:
    asked_now = site.run("snapshot", site.task)
    asked_later = site.run("snapshot", site.task, "--as-of", "2031-01-01")
    assert asked_now["snapshot_id"] == asked_later["snapshot_id"] == site.first["snapshot_id"]
    earlier = site.run("snapshot", site.task, "--as-of", "2026-10-05")
    assert earlier["snapshot_id"] != asked_now["snapshot_id"]
    assert earlier["n_interactions"] < asked_now["n_interactions"]


def test_the_same_training_gives_the_same_weights(site: Site, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    log = site.task.parent / "logs" / "first.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    halves = [
        write_text(tmp_path / "b.jsonl", lines[::-1][:1500]),
        write_text(tmp_path / "a.jsonl", lines[::-1][1500:]),
    ]
    for half in halves:
        sluice(elsewhere, "ingest", site.task, "--from", half)
    other = sluice(elsewhere, "retrain", site.task).out
    assert other["snapshot_id"] == site.first["snapshot_id"], "order and batches do not matter"
    ours, theirs = (sluice(home, "policies", site.task).out["versions"][1] for home in (site.home, elsewhere))
    assert ours["weights_sha256"] == theirs["weights_sha256"]
    assert ours["artifact_sha256"] == theirs["artifact_sha256"]
    assert other["evidence"] == site.first["evidence"]


def write_text(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(lines))
    return path


def test_evaluate_reads_validation_rows_only(site: Site) -> None:
    answer = site.run("evaluate", site.task, "--version", "2", "--against", "1")
    names = {(e["policy"], e["estimator"]) for e in answer["estimates"]}
    estimators = ("ips", "snips", "dm", "dr", "median_of_means")
    assert names == {(p, e) for p in ("champion", "challenger", "difference") for e in estimators}
    n_validation = site.run("snapshot", site.task)["n_validation"]
    assert {e["n"] for e in answer["estimates"]} == {n_validation}


def test_lineage_leads_both_ways(site: Site) -> None:
    forward = site.run("lineage", site.task, "--version", "2")
    assert forward["snapshot_id"] == site.first["snapshot_id"]
    back = site.run("lineage", site.task, "--snapshot", site.first["snapshot_id"])
    assert 2 in back["versions"]


def test_promote_by_hand_needs_a_verdict_or_an_override(site: Site) -> None:
    sluice(site.home, "rollback", site.task, "--reason", "complaints")
    refused = sluice(site.home, "promote", site.task, "--version", "2", "--reason", "again", code=2)
    assert "barred" in refused.errors
    history = site.run("policies", site.task)["history"]
    assert history[-1]["action"] == "rollback"
    assert site.run("policies", site.task)["aliases"]["champion"] == 1
    assert site.run("status", site.task)["tasks"][0]["frozen"]
    site.run("resume", site.task, "--reason", "cause found")
    assert not site.run("status", site.task)["tasks"][0]["frozen"]


def test_what_act_logs_is_the_next_log(site: Site, tmp_path: Path) -> None:
    task = write_task(tmp_path / "open", reward_required=False)
    observed = write_jsonl(tmp_path / "seen.jsonl", [{"x": r["x"], "y": r["y"]} for r in rows(40, seed=5)])
    served = sluice(site.home, "act", task, "--observations", observed).out
    assert served["policy_version"] == "2"
    for row in served["rows"]:
        assert sum(row["action_probabilities"]) == pytest.approx(1, abs=1e-9)
        assert row["propensity"] in row["action_probabilities"]
    ingested = sluice(site.home, "ingest", task, "--from", served["log"]).out
    assert ingested["n_accepted"] == ingested["n_read"] == 40


def test_act_works_before_any_log_exists(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    observed = write_jsonl(tmp_path / "seen.jsonl", [{"x": 0.5, "y": 0.1}])
    (row,) = sluice(tmp_path / "home", "act", task, "--observations", observed).out["rows"]
    assert row["propensity"] == pytest.approx(1 / 3)
    assert row["policy_version"] == "1"


def test_verify_finds_one_flipped_byte_and_names_the_file(site: Site) -> None:
    assert site.run("verify", site.task)["ok"]
    snapshot = site.home / "snapshots" / "tiny" / site.first["snapshot_id"]
    evidence = site.home / "looks" / "tiny" / "evidence" / site.first["evidence"]
    version = site.home / "policies" / "tiny" / "versions" / "2"
    victims = [
        snapshot / "interactions.parquet",
        snapshot / "manifest.json",
        evidence / "rows.parquet",
        evidence / "decision.json",
        version / "policy.onnx",
        version / "encoding.json",
        version / "manifest.json",
    ]
    for victim in victims:
        whole = victim.read_bytes()
        broken = bytearray(whole)
        broken[len(broken) // 2] ^= 1
        victim.write_bytes(bytes(broken))
        answer = site.run("verify", site.task, code=1)
        assert any(victim.name in problem and victim.parent.name in problem for problem in answer["problems"]), victim
        victim.write_bytes(whole)
    assert site.run("verify", site.task)["ok"]


def test_a_backfill_skips_what_is_done_and_equals_runs_of_those_moments(site: Site, tmp_path: Path) -> None:
    span = ("--start", "2026-10-06", "--end", "2026-10-10", "--every", "2d")
    planned = site.run("backfill", site.task, *span, "--dry-run")
    assert [p["status"] for p in planned["partitions"]] == ["planned"] * 3
    done = site.run("backfill", site.task, *span)
    assert [p["status"] for p in done["partitions"]] == ["done"] * 3
    again = site.run("backfill", site.task, *span)
    assert [p["status"] for p in again["partitions"]] == ["skipped"] * 3
    assert site.run("policies", site.task)["aliases"]["champion"] == 2, "a backfill never promotes"
    first = done["partitions"][0]
    elsewhere = tmp_path / "elsewhere"
    known = [r for r in rows() if str(r["occurred_at"]) <= first["as_of"]]
    then = sluice(
        elsewhere, "retrain", site.task, "--as-of", "2026-10-06", "--from", write_jsonl(tmp_path / "then.jsonl", known)
    )
    assert then.out["snapshot_id"] == first["snapshot_id"]


def test_a_challenger_waits_for_its_next_look(tmp_path: Path) -> None:
    """Few rows: hold, the slot stays open; new rows are a new look, not a new training."""
    task, home = write_task(tmp_path / "task", steps=5), tmp_path / "home"
    first = sluice(home, "retrain", task, "--from", write_jsonl(tmp_path / "a.jsonl", rows(600))).out
    assert first["verdict"] == "hold", first["reasons"]
    more = write_jsonl(tmp_path / "b.jsonl", rows(400, seed=1, day=10))
    second = sluice(home, "retrain", task, "--from", more).out
    assert second["version"] == first["version"]
    assert second["look"] == 2
    if second["verdict"] == "hold":
        assert "under evaluation" in second["trigger"]["why_not"]
    small = write_jsonl(tmp_path / "c.jsonl", rows(50, seed=2, day=20))
    third = sluice(home, "retrain", task, "--from", small).out
    assert third["verdict"] is None, "50 rows are too few for a look"
    refused = sluice(home, "look", task, code=2)
    assert "unread" in refused.errors


def test_two_runs_at_once_one_is_busy(site: Site) -> None:
    from data_contracts.home import Home

    with Home(site.home).lock("tiny"):
        assert sluice(site.home, "retrain", site.task, code=5).out["error"]["type"] == "Busy"


def test_usage_errors_have_exit_code_two_and_say_what_to_do(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "open_bandit" in sluice(home, "check", "open_bandt", code=2).errors
    assert "sluice demo" in sluice(home, "status", "open_bandit", code=1).errors
    assert not home.exists(), "a failed command leaves no store behind"
    assert "naive" in (e := sluice(home, "snapshot", "open_bandit", "--as-of", "2026-01-01T00:00", code=2).errors) or (
        "offset" in e
    )


def test_help_answers_without_loading_the_stack() -> None:
    import subprocess

    heavy = [
        "torch",
        "d3rlpy",
        "great_expectations",
        "prefect",
        "duckdb",
        "deltalake",
        "onnxruntime",
        "pandas",
        "sklearn",
    ]
    code = f"import sys, flows.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([command()[0].replace("sluice", "python"), "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    for name in (
        "demo",
        "check",
        "ingest",
        "validate",
        "snapshot",
        "train",
        "evaluate",
        "look",
        "retrain",
        "backfill",
        "policies",
        "lineage",
        "promote",
        "rollback",
        "act",
        "status",
        "alerts",
        "doctor",
        "verify",
    ):
        shown = subprocess.run(command(name, "--help"), capture_output=True, text=True, env=environment(Path()))
        assert re.search(r"Examples?: sluice", shown.stdout), name


def test_a_backfill_does_not_make_old_data_look_new(site: Site) -> None:
    """Versions of a backfill are registered last, but the trigger compares with the newest data trained on."""
    site.run("backfill", site.task, "--start", "2026-10-06", "--end", "2026-10-06")
    more = write_jsonl(site.task.parent / "logs" / "more.jsonl", rows(40, seed=3, day=10, days=1))
    answer = site.run("retrain", site.task, "--from", more)
    assert "40 new matured rows since version 2" in answer["trigger"]["detail"]


def test_train_look_and_promote_by_hand(tmp_path: Path) -> None:
    """The same path step by step: `train` takes the slot, `look` spends a look, `promote` needs its verdict."""
    task, home = write_task(tmp_path / "task"), tmp_path / "home"
    sluice(home, "ingest", task, "--from", write_jsonl(tmp_path / "a.jsonl", rows()))
    trained = sluice(home, "train", task).out
    assert (trained["version"], trained["algorithm"], trained["opened"]) == (2, "cql", True)
    refused = sluice(home, "promote", task, "--version", "2", "--reason", "looks good", code=2)
    assert "--override" in refused.errors
    look = sluice(home, "look", task).out
    assert (look["verdict"], look["look"], look["n_looks"]) == ("promote", 1, 3)
    assert sluice(home, "policies", task).out["aliases"] == {"champion": 1, "challenger": 2}, "a look does not promote"
    promoted = sluice(home, "promote", task, "--version", "2", "--reason", "verdict of look 1").out
    assert (promoted["champion"], promoted["previous"], promoted["override"]) == (2, 1, False)
    refork = sluice(home, "train", task, "--from-version", "2", "--as-of", "2026-10-09").out
    assert refork["version"] == 3
    assert sluice(home, "lineage", task, "--version", "3").out["parents"] == [2]


def test_an_override_is_shown_for_ever(site: Site) -> None:
    more = write_jsonl(site.task.parent / "logs" / "more.jsonl", rows(1200, seed=4, day=10, days=2))
    held = site.run("retrain", site.task, "--from", more)
    version = held["version"]
    assert held["champion"] == 2
    promoted = site.run("promote", site.task, "--version", str(version), "--override", "--reason", "by decree")
    assert promoted["override"]
    last = site.run("policies", site.task)["history"][-1]
    assert (last["action"], last["override"], last["reason"]) == ("promote", True, "by decree")
    report = Path(site.run("retrain", site.task)["report"]).read_text()
    assert "override" in report.lower()


def test_every_part_of_the_stack_boots(tmp_path: Path) -> None:
    answer = sluice(tmp_path / "home", "doctor").out
    assert answer["ok"], answer["parts"]
    names = {part["part"] for part in answer["parts"]}
    assert {"store", "great expectations", "contracts", "training and serving", "prefect", "alert routes"} == names


def test_rewards_that_arrive_later_lead_to_the_same_policy(tmp_path: Path) -> None:
    """The rows come without reward; a day later a file of outcomes brings them, and Wednesday's snapshot stays."""
    task, home = write_task(tmp_path / "task", reward_required=False), tmp_path / "home"
    task.write_text(task.read_text().replace("champion: {", "reward: {attribution_window: P1D}\nchampion: {"))
    logged = rows()
    bare = [{k: v for k, v in row.items() if k != "reward"} for row in logged]
    outcomes = [
        {
            "interaction_id": row["interaction_id"],
            "value": row["reward"],
            "observed_at": (datetime.fromisoformat(str(row["occurred_at"])) + timedelta(hours=20)).isoformat(),
        }
        for row in logged
    ]
    sluice(home, "ingest", task, "--from", write_jsonl(tmp_path / "rows.jsonl", bare))
    nothing = sluice(home, "retrain", task, code=None)
    assert nothing.code in (3, 4), "no reward has arrived: nothing can be trained"
    arrived = sluice(
        home, "ingest", task, "--outcomes", "--from", write_jsonl(tmp_path / "outcomes.jsonl", outcomes)
    ).out
    assert arrived["n_accepted"] == len(outcomes)
    early, late = (sluice(home, "snapshot", task, "--as-of", day).out for day in ("2026-10-05", "2026-10-08"))
    assert 0 < early["n_matured"] < early["n_interactions"], "the last day's rows wait for their outcomes"
    assert early["n_matured"] < late["n_matured"]
    answer = sluice(home, "retrain", task).out
    assert answer["verdict"] == "promote", answer["reasons"]
