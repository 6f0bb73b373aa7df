"""What `reward:` of a task file must agree on with its contract: each mistake at its line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from flows.tasks import load_task, task_problems

TASK = """\
task: shop
actions: {names: [left, right]}
reward:
  attribution_window: P7D
  combine: weighted
  bounds: [-1, 2]
  default: 0
  channels:
    click: {kind: interaction, window: P1D, delay: PT2H, quality: high}
    rating: {kind: feedback, weight: 0.5, within: last}
  guardrails:
    unsubscribe: {window: P30D, limit: 0.01, better: lower}
champion: {uniform: true}
training:
  algorithms: {cql: {}}
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
        quality: [{metric: invalidValues, arguments: {validValues: [click, rating, unsubscribe]}}]
      - {name: value, logicalType: number, required: true, logicalTypeOptions: {minimum: 0, maximum: 5}}
      - {name: observed_at, logicalType: timestamp, required: true}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(TASK)
    (tmp_path / "shop.odcs.yaml").write_text(CONTRACT)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))


def test_channels_and_guardrails_are_read(folder: Path) -> None:
    assert task_problems(folder / "shop.yaml") == []
    reward = load_task(folder / "shop.yaml")[0].reward
    assert reward.channel_names == ("click", "rating", "unsubscribe")
    assert reward.longest_window == timedelta(days=7)


CASES = {
    "channel that the contract does not know": (
        "    rating: {", "    ratings: {", 10, "channel of the reward: expected one of click, rating, unsubscribe, got",
    ),
    "guardrail that the contract does not know": (
        "    unsubscribe: {", "    unsubscribed: {", 12, "Did you mean 'unsubscribe'?",
    ),
    "unknown word": ("quality: high", "qualtiy: high", 9, "Did you mean 'quality'?"),
    "unknown rule": ("combine: weighted", "combine: wieghted", 5, "Did you mean 'weighted'?"),
    "no kind": ("{kind: interaction, window", "{window", 9, "missing key 'kind' in reward.channels.click"),
    "no limit": ("limit: 0.01, ", "", 12, "missing key 'limit' in reward.guardrails.unsubscribe"),
    "no bounds": ("  bounds: [-1, 2]\n", "", 3, "expected bounds of the reward, as combine: weighted adds channels up"),
    "bounds the wrong way": ("[-1, 2]", "[2, -1]", 3, "expected bounds with the lower one first"),
    "weight that nobody reads": ("combine: weighted", "combine: sum", 3, "expected no weight in channel rating"),
    "window of nothing": ("window: P1D, delay: PT2H", "window: PT0S", 9, "expected above 0: rewards come as outcomes"),
    "no window at all": ("  attribution_window: P7D\n", "", 3, "attribution window: expected above 0"),
    "window as a number": ("window: P30D", "window: 30", 12, "expected an ISO 8601 duration"),
    "no default": ("  default: 0\n", "", 3, "expected default: a number or null, got none"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_one_problem_at_its_line(folder: Path, case: str) -> None:
    old, new, line, words = CASES[case]
    edit(folder / "shop.yaml", old, new)
    [problem] = task_problems(folder / "shop.yaml")
    assert words in problem.message
    assert problem.line == line


def test_a_default_of_a_channel_says_what_silence_means(folder: Path) -> None:
    edit(folder / "shop.yaml", "  default: 0\n", "")
    edit(folder / "shop.yaml", "quality: high", "quality: high, default: 0")
    assert task_problems(folder / "shop.yaml") == []


def test_where_one_outcome_decides_the_contracts_bounds_hold_for_the_default(folder: Path) -> None:
    edit(folder / "shop.yaml", "  combine: weighted\n  bounds: [-1, 2]\n  default: 0", "  combine: last\n  default: -1")
    edit(folder / "shop.yaml", ", weight: 0.5, within: last", "")
    [problem] = task_problems(folder / "shop.yaml")
    assert (problem.line, "expected a number in [0, 5]" in problem.message) == (6, True)
    edit(folder / "shop.yaml", "default: -1", "default: -1\n  bounds: [-1, 5]")
    assert task_problems(folder / "shop.yaml") == []
