"""A task is two files: read into typed settings, or every mistake of both is named with its line."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from data_contracts.contract import shipped_contract
from data_contracts.errors import ConfigurationError, UsageError
from flows.tasks import expand, load_task, resolve, shipped_tasks, source_files, task_problems

TASK = """\
task: shop
description: a shop
source:
  interactions: [logs/*.jsonl]
actions:
  names: [left, right, none]
  features: items.csv
reward: {attribution_window: P7D, default: 0}
champion:
  constant: left
behavior_policies:
  old: {probabilities: {left: 0.5, right: 0.3, none: 0.2}}
  "2": {version: 2}
  bts: {logged: propensity}
training:
  algorithms:
    cql: {steps: 100}
    bc: {}
  seeds:
    - 0
    - 1
gate: {looks: 3}
cadence: {cron: "0 3 * * *"}
alerts:
  webhooks:
    - https://example.org/hook
"""
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.0.0
status: active
team: {name: shop-team}
support: [{channel: shop-help}]
customProperties: [{property: runbook, value: RUNBOOK.md}]
schema:
  - name: interactions
    properties:
      - {name: interaction_id, logicalType: string, required: true}
      - {name: unit_id, logicalType: string, required: true}
      - {name: occurred_at, logicalType: timestamp, required: true}
      - {name: action, logicalType: string, required: true}
      - {name: policy_version, logicalType: string, required: true}
      - {name: propensity, logicalType: number, required: true}
      - {name: age, logicalType: integer, tags: [observation]}
  - name: outcomes
    properties:
      - {name: interaction_id, logicalType: string, required: true}
      - name: channel
        logicalType: string
        quality: [{metric: invalidValues, arguments: {validValues: [reward, returned]}}]
      - {name: value, logicalType: number, required: true, logicalTypeOptions: {minimum: 0, maximum: 5}}
      - {name: observed_at, logicalType: timestamp, required: true}
"""
ITEMS = "action,price\nleft,1\nright,2\nnone,3\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A task folder that has no mistake."""
    (tmp_path / "shop.yaml").write_text(TASK)
    (tmp_path / "shop.odcs.yaml").write_text(CONTRACT)
    (tmp_path / "items.csv").write_text(ITEMS)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))


def test_a_sound_task_is_read(folder: Path) -> None:
    assert task_problems(folder / "shop.yaml") == []
    task, contract = load_task(folder / "shop.yaml")
    assert (task.task, task.actions.names, task.champion.constant) == ("shop", ("left", "right", "none"), "left")
    assert (task.reward.attribution_window, task.reward.default) == (timedelta(days=7), 0.0)
    assert task.behavior_policies["2"].version == 2
    assert task.training.seeds == (0, 1)
    assert task.file == folder / "shop.yaml"
    assert contract.path == str(folder / "shop.odcs.yaml")
    assert resolve(task, "items.csv") == folder / "items.csv"


@pytest.mark.parametrize("name", ["digits_bandit", "email_retention", "icu_sepsis", "open_bandit"])
def test_the_shipped_tasks_are_sound(name: str) -> None:
    assert name in shipped_tasks()
    assert task_problems(name) == []
    task, contract = load_task(name)
    assert task.task == name
    assert contract.path == str(shipped_contract(name))
    assert all(path.is_file() for path in source_files(task, "interactions"))


CASES: dict[str, tuple[str, str, int, str]] = {
    # single values
    "unknown key": ("description: a shop", "descripton: a shop", 2, "Did you mean 'description'?"),
    "unknown key deep down": (
        "{steps: 100}",
        "{stepz: 100}",
        17,
        "'stepz' in training.algorithms.cql: expected one of steps",
    ),
    "key of the reader": ("description: a shop", "file: a shop", 2, "unknown key 'file'"),
    "unknown algorithm": (
        "    bc: {}",
        "    bcc: {}",
        18,
        "expected 'cql', 'bcq', 'bc', 'linear' or 'tabular', got 'bcc'",
    ),
    "missing key": ("champion:\n  constant: left\n", "", 1, "missing key 'champion'"),
    "missing key deep down": ("  names: [left, right, none]\n", "", 5, "missing key 'names' in actions"),
    "duplicate key": ("  seeds:", "  seeds: [3]\n  seeds:", 20, "duplicate key 'seeds' in training"),
    "alias": ("cql: {steps: 100}", "cql: &a {steps: 100}", 17, "anchor &a"),
    "text for a number": ("looks: 3", 'looks: "3"', 22, "expected integer, got '3'"),
    "true for a number": ("looks: 3", "looks: true", 22, "expected integer, got True"),
    "number for text": ("[left, right, none]", "[left, right, none, 4]", 6, "expected text, got 4"),
    "number out of bounds": ("looks: 3", "looks: 0", 22, "expected greater than or equal to 1, got 0"),
    "word that is none": ("logged: propensity", "logged: propensities", 14, "Did you mean 'propensity'?"),
    "champion misspelt": ("constant: left", "constat: left", 10, "Did you mean 'constant'?"),
    "champion of two kinds": (
        "constant: left",
        "constant: left\n  uniform: true",
        9,
        "expected exactly one of uniform",
    ),
    "champion of no kind": (
        "  constant: left",
        "  head: {kind: greedy}",
        9,
        "expected exactly one of uniform, constant",
    ),
    "behavior of two kinds": (
        "{version: 2}",
        "{version: 2, uniform: true}",
        13,
        "expected exactly one of uniform, prob",
    ),
    "behavior version 0": ("{version: 2}", "{version: 0}", 13, "expected greater than or equal to 1"),
    # between values
    "another name than the file's": (
        "task: shop",
        "task: shopp",
        1,
        "expected shop, as the file is called, got 'shopp'",
    ),
    "name that is no name": ("task: shop", "task: ../Shop", 1, "expected lower-case letters"),
    "action twice": (
        "[left, right, none]",
        "[left, right,\n    none, left]",
        7,
        "expected each once, got 'left' again",
    ),
    "unknown action of the champion": ("constant: left", "constant: lef", 10, "Did you mean 'left'?"),
    "window of another kind": ("P7D", "week", 8, "expected an ISO 8601 duration, e.g. P7D, got 'week'"),
    "probabilities without an action": ("right: 0.3, none: 0.2", "right: 0.5", 12, "got none for 'none'"),
    "probabilities that sum to another number": ("none: 0.2", "none: 0.3", 12, "expected 1 within 1e-09, got 1.1"),
    "probability below 0": ("right: 0.3, none: 0.2", "right: -0.3, none: 0.8", 12, "expected [0, 1], got -0.3"),
    "behavior policy of any version": ("{version: 2}", "{version: 2.5}", 13, "expected integer, got 2.5"),
    "distribution that is not logged": (
        "logged: propensity",
        "logged: distribution",
        14,
        "column action_probabilities",
    ),
    "absent ONNX": ("constant: left", "onnx: absent.onnx", 10, "expected a file that exists, got 'absent.onnx'"),
    "absent features": ("features: items.csv", "features: item.csv", 7, "file of actions.features"),
    "absent truth": ("description: a shop", "truth: truth.parquet", 2, "file of truth"),
    "name that no file can have": ("items.csv", "e" * 400, 7, "file of actions.features"),
    "absent contract": ("description: a shop", "contract: other.odcs.yaml", 2, "contract: expected a file that exists"),
    "object store": ("[logs/*.jsonl]", "['s3://b/x.jsonl']", 4, "object-store URLs are not supported yet"),
    "open bracket": ("[logs/*.jsonl]", "['logs/[ab.jsonl']", 4, "brackets are closed"),
    "stars in a word": ("[logs/*.jsonl]", "[a, 'logs/a**.jsonl']", 4, "** as a whole folder"),
    "home folder": ("[logs/*.jsonl]", "[~/x.jsonl]", 4, "without ~"),
    "empty pattern": ("[logs/*.jsonl]", "['']", 4, "expected a path or glob"),
    "cron of four fields": ('"0 3 * * *"', '"0 3 * *"', 23, "expected five fields, UTC, got '0 3 * *'"),
    "cron with seconds": ('"0 3 * * *"', '"0 0 3 * * *"', 23, "expected five fields"),
    "cron out of range": ('"0 3 * * *"', '"61 3 * * *"', 23, "cron expression"),
    "cron that never comes": ('"0 3 * * *"', '"0 3 30 2 *"', 23, "cron expression"),
    "window as a number": ("P7D", "7", 8, "expected an ISO 8601 duration, e.g. P7D, got 7"),
    "no window": ("attribution_window: P7D, ", "", 8, "expected above 0: rewards come as outcomes"),
    "window of nothing": ("P7D", "PT0S", 8, "expected above 0"),
    "no default": (", default: 0", "", 8, "expected default: a number or null, got none"),
    "default out of bounds": (
        "default: 0",
        "default: -1",
        8,
        "expected a number in [0, 5], the contract's bounds, got -1",
    ),
    "unknown channel": ("default: 0", "default: 0, channel: retuned", 8, "Did you mean 'returned'?"),
    "seed twice": ("    - 1\n", "    - 0\n", 21, "seed in training.seeds: expected each once"),
    "seed below 0": ("    - 1\n", "    - -1\n", 21, "expected 0 to 4294967295, got -1"),
    "nothing to deploy": ("    cql: {steps: 100}\n", "", 16, "expected at least one beside bc and linear"),
    "webhook of another kind": ("https://example.org", "ftp://example.org", 26, "expected an http or https URL"),
    "webhook without a host": ("https://example.org/hook", "'https:///hook'", 26, "expected an http or https URL"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_one_problem_at_its_line(folder: Path, case: str) -> None:
    old, new, line, words = CASES[case]
    edit(folder / "shop.yaml", old, new)
    [problem] = task_problems(folder / "shop.yaml")
    assert Path(problem.file).name == "shop.yaml"
    assert words in problem.message
    assert problem.line == line
    with pytest.raises(ConfigurationError) as error:
        load_task(folder / "shop.yaml")
    assert error.value.fields["problems"] == [problem]


@pytest.mark.parametrize(
    ("old", "new", "lines", "words"),
    [
        ("[left, right, none]", "[left, right, none, '']", [6, 7, 12], "name of an action: expected a word"),
        ("none: 0.2}", "non: 0.2}", [12, 12], "Did you mean 'none'?"),
    ],
)
def test_a_mistake_shows_wherever_it_does_harm(folder: Path, old: str, new: str, lines: list[int], words: str) -> None:
    edit(folder / "shop.yaml", old, new)
    found = task_problems(folder / "shop.yaml")
    assert [problem.line for problem in found] == lines
    assert any(words in problem.message for problem in found)


@pytest.mark.parametrize(
    ("text", "file", "line", "words"),
    [
        ("action,price\nleft,1\nright,2\n", "shop.yaml", 7, "got none for 'none'"),
        (ITEMS + "left,4\n", "items.csv", 5, "got 'left' again (line 2)"),
        (ITEMS + "more,4,4\n", "items.csv", 5, "expected 2 cells, got 3"),
        ("item,price\nleft,1\n", "items.csv", 1, "expected column action"),
        ("action\nleft\nright\nnone\n", "items.csv", 1, "and at least one more"),
        ("", "items.csv", 1, "got nothing"),
        (b"action,price\nleft,\xff\n", "items.csv", 1, "CSV in UTF-8"),
    ],
)
def test_features_have_every_action_once(folder: Path, text: str | bytes, file: str, line: int, words: str) -> None:
    (folder / "items.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    [problem] = task_problems(folder / "shop.yaml")
    assert (Path(problem.file).name, problem.line) == (file, line)
    assert words in problem.message


def test_actions_are_words_that_the_contract_lets_pass(folder: Path) -> None:
    edit(folder / "shop.odcs.yaml", "action, logicalType: string", "action, logicalType: integer")
    assert [p.message[:60] for p in task_problems(folder / "shop.yaml")] == [
        "declared action: expected an integer, as the contract's colu"
    ] * 3
    quality = "quality: [{metric: invalidValues, arguments: {validValues: [left, right]}}]"
    edit(folder / "shop.odcs.yaml", "action, logicalType: integer", f"action, logicalType: string, {quality}")
    [problem] = task_problems(folder / "shop.yaml")
    assert "expected one of left, right, as the contract says, got 'none'" in problem.message


def test_the_mistakes_of_both_files_come_at_once(folder: Path) -> None:
    for old, new in (
        ("task: shop", "task: shop\nsurce: {}"),
        ("constant: left", "constant: up"),
        ("none: 0.2", "none: 0.1"),
        ("steps: 100", "steps: many"),
        ("    - 1\n", "    - 0\n"),
        ("0 3 * * *", "0 3 * *"),
    ):
        edit(folder / "shop.yaml", old, new)
    edit(folder / "shop.odcs.yaml", "kind: DataContract", "kind: Contract")
    found = [(Path(p.file).name, p.line) for p in task_problems(folder / "shop.yaml")]
    assert found == [("shop.yaml", n) for n in (2, 11, 13, 18, 22, 24)] + [("shop.odcs.yaml", 2)]


@pytest.mark.parametrize("text", ["", "- a\n", "task: [\n", "actions: 3\nchampion: [a]\n", "training: {seeds: 3}\n"])
def test_any_other_file_is_refused_without_a_stumble(folder: Path, text: str) -> None:
    (folder / "shop.yaml").write_text(text)
    assert task_problems(folder / "shop.yaml")
    with pytest.raises(ConfigurationError, match=r"shop\.yaml"):
        load_task(folder / "shop.yaml")


def test_the_contract_is_the_declared_one_then_that_beside_the_task_then_the_shipped_one(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "c.yaml").write_text(CONTRACT)
    edit(folder / "shop.yaml", "task: shop", "task: shop\ncontract: sub/c.yaml")
    assert load_task(folder / "shop.yaml")[1].path == str(folder / "sub" / "c.yaml")
    edit(folder / "shop.yaml", "contract: sub/c.yaml\n", "")
    assert load_task(folder / "shop.yaml")[1].path == str(folder / "shop.odcs.yaml")
    (folder / "shop.odcs.yaml").unlink()
    [problem] = task_problems(folder / "shop.yaml")
    assert "shop.odcs.yaml, or key contract with its path, got neither" in problem.message
    copy = folder / "digits_bandit.yaml"
    copy.write_text("task: digits_bandit\nactions: {names: ['0', '1']}\nchampion: {uniform: true}\n")
    copy.write_text(copy.read_text() + "training: {algorithms: {cql: {}}}\n")
    assert load_task(copy)[1].path == str(shipped_contract("digits_bandit"))


def test_a_reward_in_the_row_needs_no_window(folder: Path) -> None:
    reward = "      - {name: reward, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 5}}\n"
    text = CONTRACT[: CONTRACT.index("  - name: outcomes")] + reward
    (folder / "shop.odcs.yaml").write_text(text)
    edit(folder / "shop.yaml", "reward: {attribution_window: P7D, default: 0}\n", "")
    assert task_problems(folder / "shop.yaml") == []


def test_an_unknown_name_lists_the_shipped_tasks_and_the_closest() -> None:
    with pytest.raises(UsageError, match=r"expected one of digits_bandit, .*open_bandit.*Did you mean open_bandit\?"):
        load_task("open_bandits")
    with pytest.raises(UsageError, match=r"no task file nowhere/x\.yaml"):
        task_problems("nowhere/x.yaml")


def test_a_task_found_by_a_relative_path_stays_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    task, _ = load_task("shop.yaml")
    monkeypatch.chdir("/")
    assert resolve(task, "items.csv") == folder / "items.csv"


def test_sources_are_globs_relative_to_the_task_file(tmp_path: Path) -> None:
    folder = tmp_path / "with [brackets]"
    (folder / "logs" / "deep").mkdir(parents=True)
    names = ("logs/b.jsonl", "logs/a.jsonl", "logs/deep/c.jsonl", "logs/x.csv", "logs/a[1].csv")
    for name in names:
        (folder / name).write_text("")
    (folder / "items.csv").write_text(ITEMS)
    (folder / "shop.odcs.yaml").write_text(CONTRACT)
    patterns = "[logs/x.csv, logs/**/*.jsonl, 'logs/*.jsonl', absent.csv, none/*.csv, 'logs/a[1].csv']"
    (folder / "shop.yaml").write_text(TASK.replace("[logs/*.jsonl]", patterns))
    task, _ = load_task(folder / "shop.yaml")
    found = ["logs/x.csv", "logs/a.jsonl", "logs/b.jsonl", "logs/deep/c.jsonl", "absent.csv", "logs/a[1].csv"]
    assert source_files(task, "interactions") == [folder / name for name in found]
    assert source_files(task, "outcomes") == []


def test_patterns_of_the_command_line_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_text("")
    assert expand("*.csv") == [Path("a.csv"), Path("b.csv")]
    assert expand("absent.csv") == [Path("absent.csv")]
    assert expand("*.jsonl") == []
    assert expand(str(tmp_path / "a.csv")) == [tmp_path / "a.csv"]
    with pytest.raises(UsageError, match="not supported yet"):
        expand("gs://bucket/*.csv")


def test_importing_tasks_loads_nothing_heavy() -> None:
    program = (
        "import sys, flows.tasks\n"
        "heavy = ('torch', 'd3rlpy', 'great_expectations', 'pandas', 'duckdb', 'prefect', 'deltalake',\n"
        "         'open_data_contract_standard', 'ruamel.yaml', 'sklearn', 'onnxruntime')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "flows.tasks.load_task('open_bandit')\n"
        "print([name for name in heavy[:7] if name in sys.modules])\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env={**os.environ})
    assert (done.stdout, done.stderr) == ("[]\n[]\n", "")
