"""Propensity health and the feedback loop of a whole task: declared sources, served logs, promotions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.checks import CheckResult, Section
from data_contracts.errors import ConfigurationError
from data_contracts.home import create_home
from data_contracts.interactions import RESERVED
from data_contracts.row_source import StoredRows, TableRows
from data_contracts.store import read_interactions
from flows.act import act_on_file
from flows.behavior import behavior_distribution, evaluable_versions
from flows.champion import ensure_champion
from flows.context import Context, open_context
from flows.first_day import report_first_day
from flows.ingest import ingest_source
from flows.log_health import log_health
from flows.settings import ROOT
from flows.tasks import load_task, task_problems
from policies.logged_interactions import from_table
from policies.registry import promote
from tests.tiny_task import ACTIONS, rows, write_jsonl, write_task

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DESIGN = "side,left,stay,right\nwest,0.5,0.3,0.2\neast,0.2,0.3,0.5\n"


def tiny(folder: Path, *, behavior: str = "{uniform: true}", task: str = "") -> Context:
    """The tiny task with a categorical observation `side`; propensities may be missing."""
    path = write_task(folder / "task")
    contract = path.with_name("tiny.odcs.yaml")
    text = contract.read_text().replace(
        "{name: propensity, logicalType: number, required: true}",
        "{name: propensity, logicalType: number, required: false}",
    )
    contract.write_text(
        text + "      - {name: side, logicalType: string, required: true, tags: [observation, segment]}\n"
    )
    changed = path.read_text().replace("uniform: {uniform: true}\n", f"uniform: {behavior}\n")
    path.write_text(changed.replace("behavior_policies:", f"{task}behavior_policies:", 1))
    (path.parent / "design.csv").write_text(DESIGN)
    return open_context(path, home=create_home({"SLUICE_HOME": str(folder / "home")}), actor="tester")


def log(n: int = 3000, *, seed: int = 0, by_design: bool = True) -> list[dict[str, object]]:
    """Rows without a propensity, drawn from DESIGN (or uniformly)."""
    rng = np.random.default_rng(seed)
    lines = rows(n, seed=seed)
    for line in lines:
        west = rng.random() < 0.5
        probabilities = ([0.5, 0.3, 0.2] if west else [0.2, 0.3, 0.5]) if by_design else [1 / 3] * 3
        line.update(side="west" if west else "east", action=ACTIONS[rng.choice(3, p=probabilities)])
        del line["propensity"]
    return lines


def ingest(context: Context, lines: list[dict[str, object]], name: str = "log") -> None:
    path = write_jsonl(context.home.root / f"{name}.jsonl", lines)
    assert ingest_source(context, [path], now=NOW).n_accepted == len(lines)


def sections(context: Context, *, as_of: datetime = NOW) -> dict[str, Section]:
    stored = StoredRows(context.home, context.name, context.contract, context.task.reward, as_of)
    return {section.name: section for section in log_health(context, stored, as_of=as_of)}


def check(context: Context, rule: str, version: str = "", **arguments: datetime) -> CheckResult:
    found = [c for s in sections(context, **arguments).values() for c in s.checks]
    return next(c for c in found if c.rule == rule and (c.column or "").endswith(version))


def failed(context: Context) -> set[str]:
    return {c.rule for s in sections(context).values() for c in s.checks if not c.passed}


def test_a_design_table_gives_propensities_that_hold(tmp_path: Path) -> None:
    context = tiny(tmp_path, behavior="{design: design.csv}")
    ensure_champion(context, now=NOW)
    ingest(context, log())
    assert failed(context) == set()
    table = sections(context)["propensities"].tables[0]
    assert table.rows[0][:4] == ("uniform", "3,000", "design table design.csv (3,000)", "0")


def test_a_design_that_was_not_followed_is_found(tmp_path: Path) -> None:
    context = tiny(tmp_path, behavior="{design: design.csv}")
    ensure_champion(context, now=NOW)
    ingest(context, log(6000, by_design=False))
    assert "propensity_calibration" in failed(context)


def test_rows_of_a_design_can_gate(tmp_path: Path) -> None:
    context = tiny(tmp_path, behavior="{design: design.csv}")
    assert evaluable_versions(context) == frozenset({"uniform"})
    known = {
        "interaction_id": ["0", "1", "2"],
        "unit_id": ["0", "1", "2"],
        "occurred_at": [NOW] * 3,
        "action": ["left"] * 3,
        "policy_version": ["uniform"] * 3,
        "reward": [1.0] * 3,
    }
    stored = pa.table(
        {
            **{name: pa.array(known.get(name, [None] * 3), type_) for name, type_ in RESERVED.items()},
            **{"split": [0] * 3, "x": [0.0] * 3, "y": [0.0] * 3, "side": ["east", "west", "north"]},
        }
    )
    logged = from_table(stored, actions=context.actions, observation=("x", "y", "side"))
    found = behavior_distribution(context, logged)
    assert np.array_equal(found, [[0.2, 0.3, 0.5], [0.5, 0.3, 0.2], [np.nan] * 3], equal_nan=True)


def test_mistakes_of_a_design_are_named_by_check(tmp_path: Path) -> None:
    context = tiny(tmp_path, behavior="{design: design.csv}")
    design = context.task.file.parent / "design.csv"
    design.write_text(DESIGN + "north,0.5,0.5,0.5\n")
    (problem,) = task_problems(context.task.file)
    assert (Path(problem.file).name, problem.line) == ("design.csv", 4)
    design.unlink()
    with pytest.raises(ConfigurationError, match="a file that exists"):
        load_task(context.task.file)


def test_a_version_of_partial_support_must_be_declared(tmp_path: Path) -> None:
    context = tiny(tmp_path, task="propensities: {partial_support: [uniform, '2']}\nserving: {grace: PT10M}\n")
    assert context.task.serving.grace == timedelta(minutes=10)
    with pytest.raises(ConfigurationError, match="Did you mean 'uniform'"):
        tiny(tmp_path / "other", task="propensities: {partial_support: [unifrom]}\n")


def test_a_log_without_propensities_warns_and_reports_its_first_day(tmp_path: Path) -> None:
    context = tiny(tmp_path, behavior="{logged: propensity}", task="report_only: true\n")
    ensure_champion(context, now=NOW)
    ingest(context, log())
    assert context.task.report_only
    assert failed(context) == {"propensity_missing"}
    found = report_first_day(context, as_of=NOW)
    assert found.verdict == "refuse"
    assert "none of the 3,000 rows" in found.reasons[0]
    day = found.first_day
    assert sum(day["rows_per_action"].values()) == 3000
    assert [option["rate"] for option in day["days"]] == [0.01, 0.05, 0.1, 0.2]
    assert "propensity" in day["lacking"]
    assert found.estimated[0]["policy_version"] == "uniform"
    assert json.loads(found.model_dump_json())["first_day"]["n_rows"] == 3000


def served_digits(folder: Path) -> tuple[Context, Path]:
    """What the shipped champion, a trained network, serves for 300 digits; the file is its log."""
    context = open_context("digits_bandit", home=create_home({"SLUICE_HOME": str(folder / "home")}), actor="tester")
    sample = pq.read_table(ROOT / "infra" / "samples" / "digits_bandit" / "interactions.parquet").slice(0, 300)
    seen = sample.select([c.source_name for c in context.contract.observation])
    path = folder / "seen.parquet"
    pq.write_table(seen, path)
    return context, act_on_file(context, path, seed=1, now=NOW).log


def test_what_act_logs_is_recomputed_to_the_last_digit(tmp_path: Path) -> None:
    context, path = served_digits(tmp_path)
    assert ingest_source(context, [path], now=NOW).n_accepted == 300
    found = check(context, "serving_skew", "1")
    assert found.passed
    assert found.n_rows == 300
    stored = read_interactions(context.home, context.name)
    again = {s.name: s for s in log_health(context, TableRows(stored.slice(0, 20)), as_of=NOW)}
    assert next(c for c in again["propensities"].checks if c.rule == "serving_skew").n_rows == 20


def test_one_logged_propensity_that_was_not_served_blocks(tmp_path: Path) -> None:
    context, path = served_digits(tmp_path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[7]["propensity"] += 2e-6
    del lines[7]["action_probabilities"]  # the row rule would see the contradiction
    assert ingest_source(context, [write_jsonl(tmp_path / "log.jsonl", lines)], now=NOW).n_accepted == 300
    found = check(context, "serving_skew", "1")
    assert (found.passed, found.level, found.examples) == (False, "block", (lines[7]["interaction_id"],))
    assert found.observed.startswith("1 of 300 rows differ, by up to 2e-06")


def test_the_old_champion_after_the_grace_is_an_incident(tmp_path: Path) -> None:
    context, path = served_digits(tmp_path)
    assert ingest_source(context, [path], now=NOW).n_accepted == 300
    assert check(context, "unexpected_policy_version", "policy_version").passed
    second = _second_version(context)
    promote(
        context.home, context.name, version=second, expected=1, evidence=None, override=True, reason="test",
        actor="tester", now=NOW - timedelta(hours=3),
    )  # fmt: skip
    found = check(context, "unexpected_policy_version", "policy_version")
    assert (found.passed, found.level) == (False, "warn")
    assert found.observed == "300 of 300 rows (300 by 1)"
    later = check(context, "unexpected_policy_version", "policy_version", as_of=NOW + timedelta(days=2))
    assert later.passed, "a log that is old says nothing about who decides now"


def _second_version(context: Context) -> int:
    from flows.settings import code_version
    from policies.registry import VersionFacts, read_version, register_version, version_folder

    first = read_version(context.home, context.name, 1)
    kept = first.model_dump(include=set(VersionFacts.model_fields))
    return register_version(
        context.home, context.name, artifact=version_folder(context.home, context.name, 1),
        facts=VersionFacts.model_validate({**kept, "code_version": code_version()}), key="another", now=NOW,
    )  # fmt: skip


def test_rows_without_the_columns_are_not_judged(tmp_path: Path) -> None:
    context = tiny(tmp_path)
    (section,) = log_health(context, TableRows(pa.table({"action": ["left"]})), as_of=NOW)
    assert section.checks == ()
    assert "have no column" in section.notes[0]
