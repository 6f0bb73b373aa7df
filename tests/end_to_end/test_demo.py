"""The main job on the shipped tasks, and what the README says of it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.cli import ROOT, command, environment, sluice

README = (ROOT / "README.md").read_text()
TASKS = ("digits_bandit", "email_retention", "icu_sepsis", "open_bandit")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]], str]:
    """The store, the runs by task, and what people are shown."""
    home = tmp_path_factory.mktemp("demo") / "home"
    shown = subprocess.run(
        command("demo"), env=environment(home), cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert shown.returncode == 0, shown.stderr[-3000:]
    runs = {}
    for task in TASKS:
        (report,) = (home / "runs" / task).glob("*/report.json")
        runs[task] = json.loads(report.read_text())
    return home, runs, shown.stdout


Demo = tuple[Path, dict[str, dict[str, Any]], str]


def test_digits_promotes_and_the_truth_agrees(demo: Demo) -> None:
    digits = demo[1]["digits_bandit"]
    assert digits["verdict"] == "promote"
    assert digits["challenger"]["algorithm"] in ("cql", "bcq")
    truth, lift = digits["truth"], digits["lift"]
    assert truth["challenger"] > truth["champion"] + 0.2
    assert lift["lower"] <= truth["challenger"] - truth["champion"] <= lift["upper"]
    for estimate in digits["estimates"]:
        if estimate["estimator"] == "dr" and estimate["policy"] != "difference":
            assert abs(estimate["value"] - truth[estimate["policy"]]) < 4 * estimate["standard_error"]


def test_cql_and_bcq_beat_behavior_cloning_on_the_exact_value(demo: Demo) -> None:
    candidates = demo[1]["digits_bandit"]["candidates"]
    values = {name: [c["truth"] for c in candidates if c["algorithm"] == name] for name in ("cql", "bcq", "bc")}
    assert min(values["cql"]) > max(values["bc"])
    assert min(values["bcq"]) > max(values["bc"])
    assert sum(c["chosen"] for c in candidates) == 1


def test_open_bandit_holds_and_says_how_much_longer(demo: Demo) -> None:
    run = demo[1]["open_bandit"]
    assert run["verdict"] == "hold"
    assert run["data"]["n_read"] == 20_000 == run["data"]["n_accepted"]
    assert run["data"]["n_without_distribution"] > 0, "bts rows train, but cannot gate"
    assert run["gate"]["n"] + run["data"]["n_without_distribution"] < 20_000
    assert run["more"]["rows_at_minimum_lift"] > 100_000
    kinds = {option["kind"] for option in run["more"]["options"]}
    assert kinds == {"as_logged", "exploration", "canary_by_row", "canary_by_unit"}
    assert "rows" in run["more"]["settles"]


def test_email_is_blocked_for_the_loyal_under_a_better_average(demo: Demo) -> None:
    run = demo[1]["email_retention"]
    assert run["verdict"] == "block"
    assert run["lift"]["lower"] > 0
    lights = {line["name"]: line for line in run["checks"]["segments"]}
    assert lights["loyal"]["light"] == "red"
    assert lights["loyal"]["truth"] < 0 < run["truth"]["challenger"] - run["truth"]["champion"]


def test_sepsis_promotes_by_the_route_that_is_valid(demo: Demo) -> None:
    run = demo[1]["icu_sepsis"]
    exact = run["truth"]["challenger"] - run["truth"]["champion"]
    assert run["verdict"] == "promote"
    assert 0 < exact < 0.02
    assert run["lift"]["lower"] <= exact <= run["lift"]["upper"]
    assert {c["name"] for c in run["checks"]["conditions"]} >= {"markov", "agreement", "lower_tail"}
    difference = {e["estimator"]: e for e in run["estimates"] if e["policy"] == "difference"}
    assert difference["pdis"]["standard_error"] > 5 * difference["drl"]["standard_error"]  # what weights of paths cost


def test_the_readme_shows_what_the_demo_prints(demo: Demo) -> None:
    """Word for word; numbers (and which of the seeds) may differ from one processor to another."""
    (block,) = re.findall(r"```\n(digits_bandit: .*?)```", README, flags=re.DOTALL)
    printed = [_without_numbers(line) for line in demo[2].splitlines()]
    for line in block.splitlines():
        if line.strip():
            assert any(shown.startswith(_without_numbers(line.removesuffix(" …"))) for shown in printed), line


def _without_numbers(line: str) -> str:
    return re.sub(r"[-+]?\d[\d,.]*", "#", re.sub(r"\b[cb]cq\b|\b[cb]ql\b", "policy", line))


def test_what_act_logs_for_a_shipped_task_is_its_next_log(demo: Demo, tmp_path: Path) -> None:
    home = demo[0]
    for task, sample in (("digits_bandit", "interactions.parquet"), ("open_bandit", "random.csv.gz")):
        observed = ROOT / "infra" / "samples" / task / sample
        if sample.endswith(".parquet"):
            observed = _first_rows(observed, tmp_path / "seen.parquet")
        served = sluice(home, "act", task, "--observations", observed).out
        assert all(abs(sum(r["action_probabilities"]) - 1) < 1e-9 for r in served["rows"][:50])
        log = Path(served["log"])
        fresh = tmp_path / f"{task}.jsonl"
        fresh.write_text(log.read_text().replace('"interaction_id":"', '"interaction_id":"new-'))
        ingested = sluice(home, "ingest", task, "--from", fresh).out
        assert ingested["n_accepted"] == ingested["n_read"] == served["n"] > 0


def _first_rows(source: Path, target: Path) -> Path:
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(source).slice(0, 60), target)
    return target


def test_everything_verifies(demo: Demo) -> None:
    for task in TASKS:
        assert sluice(demo[0], "verify", task).out["ok"]


def test_every_command_of_the_readme_exists() -> None:
    lines = [line.split("  #")[0].strip() for line in README.splitlines() if line.startswith("    sluice ")]
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line)
        shown = subprocess.run(command(words[1], "--help"), capture_output=True, text=True, env=environment(Path()))
        assert shown.returncode == 0, line
        for option in (word for word in words if word.startswith("--")):
            assert option in shown.stdout, f"{option} of `{line}`"
