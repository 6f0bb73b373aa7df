"""Every rule has an entry that on-call can use, and every command in it exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from data_contracts.findings import measure_schema
from data_contracts.language.contract_rules import RULES as CONTRACT_RULES
from flows.alerts.rules import RULES, RUNBOOK
from flows.cli import cli

TEXT = (Path(__file__).parents[3] / RUNBOOK).read_text()
PARTS = ("What it means.", "What keeps working.", "First three commands.", "Whom to call.")
SECTION_RULES = {
    "freshness",
    "completeness",
    "expected_weight",
    "propensity_calibration",
    "silent_propensity",
    "constant_propensity",
    "propensity_missing",
    "serving_skew",
    "unexpected_policy_version",
    "outcome_delay",
    "outcome_completeness",
    "guardrail",
    "exploration",
    "action_concentration",
    "unexplored_observations",
    "segment_coverage",
    "own_data_share",
    "concentration",
    "coordination",
    "required",
    "range",
    "valid_values",
    "unique",
    "known_action",
    "propensity",
    "action_probabilities",
    "as_of",
    "finite",
    "episode_continuity",
    "one_terminal",
    "rare_action",
}


def entries() -> dict[str, str]:
    """Rule -> its own entry, behind what its section says for all of its rules."""
    found: dict[str, str] = {}
    for section in re.split(r"^## ", TEXT, flags=re.M)[1:]:
        common, *own = re.split(r"^### ", section, flags=re.M)
        for entry in own:
            rule, _, text = entry.partition("\n")
            assert rule not in found, f"{rule} has two entries"
            found[rule] = common + text
    return found


@pytest.mark.parametrize("rule", RULES)
def test_the_runbook_has_an_entry_for_the_rule(rule: str) -> None:
    entry = entries()[rule]
    for part in PARTS:
        assert entry.count(f"**{part}**") == 1, part
    steps = re.findall(r"^(\d)\. `sluice \w+", entry, re.M)
    assert steps == ["1", "2", "3"]


def test_the_runbook_has_no_entry_without_a_rule() -> None:
    assert entries().keys() == RULES.keys()


def test_its_table_is_that_of_the_rules() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \| (.+) \|$", TEXT, re.M)
    assert rows == [(name, name, rule.urgency, rule.means) for name, rule in RULES.items()]


@pytest.mark.parametrize("line", sorted(set(re.findall(r"`(sluice [^`]+)`", TEXT))))
def test_its_commands_exist(line: str) -> None:
    _require_command(line)


@pytest.mark.parametrize("rule", RULES)
def test_the_command_that_an_alert_names_exists(rule: str) -> None:
    _require_command(RULES[rule].command.format(task="TASK"))


def test_every_check_of_a_validation_has_a_rule() -> None:
    schema = measure_schema({}, n_rows=1, n_columns=1).expectation.rule
    assert {*CONTRACT_RULES, *SECTION_RULES, schema} <= RULES.keys()


def _require_command(line: str) -> None:
    """Command, subcommand and options are known, and it takes as many arguments."""
    words = line.split()[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        assert words[0] in command.commands, f"{line}: no command {words[0]}"
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options, line
    flags = {name for p in command.params if isinstance(p, click.Option) and p.is_flag for name in p.opts}
    values = [words[i + 1] for i, word in enumerate(words) if word.startswith("--") and word not in flags]
    n_given = len([word for word in words if not word.startswith("--") and word not in values])
    assert n_given <= len([p for p in command.params if isinstance(p, click.Argument)]), line
