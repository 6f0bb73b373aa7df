"""A contract is read into typed records, or every mistake in it is named with its line."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from open_data_contract_standard.model import OpenDataContractStandard

from data_contracts.contract import (
    Column,
    Completeness,
    Reading,
    Retired,
    Server,
    TableRule,
    contract_problems,
    read_contract,
    shipped_contract,
)
from data_contracts.errors import ConfigurationError
from data_contracts.language.contract_rules import ROW_RULES
from data_contracts.language.yaml_strict import read_yaml

BASE = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.2.0
status: active
team:
  name: shop-team
support:
  - {channel: shop-help, url: "https://example.org/help"}
slaProperties:
  - {property: freshness, value: 2, unit: d}
customProperties:
  - {property: runbook, value: RUNBOOK.md}
schema:
  - name: interactions
    logicalType: object
    quality:
      - {type: library, metric: rowCount, mustBeGreaterThan: 0, severity: block}
      - {type: custom, engine: sluice, severity: warn, implementation: {rule: null_share, column: age, mustBe: 0}}
    properties:
      - {name: interaction_id, logicalType: string, required: true, unique: true}
      - {name: unit_id, logicalType: string, required: true}
      - {name: occurred_at, physicalName: ts, logicalType: timestamp, required: true}
      - {name: action, logicalType: integer, required: true}
      - {name: policy_version, logicalType: string, required: true}
      - {name: propensity, logicalType: number}
      - {name: reward, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 5}}
      - {name: age, logicalType: integer, tags: [observation], logicalTypeOptions: {minimum: 0}}
      - name: device
        logicalType: string
        tags: [observation, segment]
        quality:
          - {metric: invalidValues, arguments: {validValues: [phone, desk]}, mustBe: 0}
      - {name: note, logicalType: string, tags: [extra]}
"""
OUTCOMES = """\
  - name: outcomes
    logicalType: object
    properties:
      - {name: interaction_id, logicalType: string, required: true}
      - {name: channel, logicalType: string}
      - {name: value, logicalType: number, required: true, logicalTypeOptions: {minimum: 0, maximum: 5}}
      - {name: observed_at, logicalType: timestamp, required: true}
"""
N_LINES = BASE.count("\n")


def write(folder: Path, text: str) -> Path:
    path = folder / "shop.odcs.yaml"
    path.write_text(text)
    return path


def edited(old: str, new: str, base: str = BASE) -> str:
    assert base.count(old) == 1, old
    return base.replace(old, new)


def test_a_contract_becomes_records(tmp_path: Path) -> None:
    path = write(tmp_path, BASE)
    contract = read_contract(path)
    assert (contract.id, contract.version, contract.owner, contract.support, contract.runbook) == (
        "shop",
        "1.2.0",
        "shop-team",
        "https://example.org/help",
        "RUNBOOK.md",
    )
    assert contract.freshness_hours == 48.0
    assert contract.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert contract.path == str(path)
    assert [c.name for c in contract.own_columns] == ["age", "device", "note"]
    assert [c.name for c in contract.observation] == ["age", "device"]
    assert contract.reward_bounds == (0, 5)
    occurred, age, device = (contract.column(name) for name in ("occurred_at", "age", "device"))
    assert occurred == Column("occurred_at", "ts", "timestamp", ("reserved",), required=True)
    assert age == Column("age", "age", "integer", ("observation",), minimum=0)
    assert device == Column("device", "device", "string", ("observation", "segment"), valid_values=("phone", "desk"))
    assert contract.table_rules == (
        TableRule("rowCount", "block", {"mustBeGreaterThan": 0.0, "unit": "rows"}, "number of rows"),
        TableRule(
            "null_share",
            "warn",
            {"mustBe": 0.0, "column": "age"},
            "share of rows, in [0, 1], without a value in a column",
        ),
    )


def test_outcomes_may_bring_the_reward(tmp_path: Path) -> None:
    without = "".join(line for line in BASE.splitlines(keepends=True) if "name: reward" not in line)
    contract = read_contract(write(tmp_path, without + OUTCOMES))
    assert contract.reward_bounds == (0, 5)
    assert [c.name for c in contract.outcome_columns] == ["interaction_id", "channel", "value", "observed_at"]


@pytest.mark.parametrize("name", ["open_bandit", "digits_bandit", "email_retention"])
def test_the_shipped_contracts_are_sound_for_sluice_and_for_the_standard(name: str) -> None:
    path = shipped_contract(name)
    assert contract_problems(path) == []
    data = read_yaml(path).data
    assert data is not None
    OpenDataContractStandard.model_validate(data)
    schema = json.loads((files("open_data_contract_standard") / "schema.json").read_text())
    jsonschema.Draft201909Validator(schema).validate(data)


CASES: dict[str, tuple[str, str, int, str]] = {
    # header
    "another version of the standard": ("v3.1.0", "v3.0.2", 1, "expected v3.1.0, got 'v3.0.2'"),
    "version of the standard is a number": ("apiVersion: v3.1.0", "apiVersion: 3.1", 1, "expected text, got 3.1"),
    "no kind": ("kind: DataContract\n", "", 1, "missing key 'kind'"),
    "another kind": ("kind: DataContract", "kind: DataContrakt", 2, "Did you mean 'DataContract'?"),
    "unknown key": ("status: active", "status: active\nsuport: x", 6, "Did you mean 'support'?"),
    "unknown key below": ("  name: shop-team", "  name: shop-team\n  nmae: x", 8, "'nmae' in team: expected one of"),
    "duplicate key": ("status: active", "status: active\nid: shop", 6, "duplicate key 'id'"),
    "version is a number": ("version: 1.2.0", "version: 1.2", 4, "wrong value in version: expected text, got 1.2"),
    "no owner": ("  name: shop-team", "  description: x", 6, "no owner: expected team with a name"),
    "no support": ('  - {channel: shop-help, url: "https://example.org/help"}', "  []", 8, "no support"),
    "no runbook": ("property: runbook", "property: runbok", 12, "runbook: expected one"),
    "freshness without unit": (", unit: d", "", 11, "a number above 0 and a unit"),
    "SLA without a name": ("property: freshness, ", "", 11, "SLA without a name: expected key property"),
    "freshness misspelt": ("freshness", "freshnes", 11, "Did you mean 'freshness'?"),
    # objects
    "unknown object": ("name: interactions", "name: interaction", 15, "Did you mean 'interactions'?"),
    "object of another type": ("logicalType: object", "logicalType: array", 16, "expected object, got 'array'"),
    # columns
    "no reserved column": (
        "      - {name: unit_id, logicalType: string, required: true}\n",
        "",
        20,
        "missing column 'unit_id'",
    ),
    "required column that may be absent": (
        "unit_id, logicalType: string, required: true",
        "unit_id, logicalType: string",
        22,
        "expected required: true, got null",
    ),
    "reserved column of another type": (
        "ts, logicalType: timestamp",
        "ts, logicalType: string",
        23,
        "logicalType of column occurred_at: expected timestamp, got 'string'",
    ),
    "action of another type": (
        "action, logicalType: integer",
        "action, logicalType: number",
        24,
        "expected one of string, integer, got 'number'",
    ),
    "unknown type": ("note, logicalType: string", "note, logicalType: strin", 34, "Did you mean 'string'?"),
    "type that nobody reads": ("note, logicalType: string", "note, logicalType: date", 34, "string, number, integer"),
    "array as own column": ("note, logicalType: string", "note, logicalType: array", 34, "got 'array'"),
    "no type": ("note, logicalType: string", "note", 34, "got null"),
    "no name": ("{name: note,", "{", 34, "column without a name"),
    "unknown option": ("{minimum: 0}}", "{minimun: 0}}", 28, "Did you mean 'minimum'?"),
    "option that nobody checks": (
        "tags: [extra]",
        "tags: [extra], logicalTypeOptions: {pattern: a}",
        34,
        "unknown option 'pattern' in logicalTypeOptions of column note (string)",
    ),
    "bound is no number": ("{minimum: 0}}", "{minimum: true}}", 28, "expected a number, got True"),
    "bounds swapped": ("{minimum: 0}}", "{minimum: 9, maximum: 3}}", 28, "expected at least 9, got 3"),
    "unknown tag": ("tags: [extra]", "tags: [extr]", 34, "Did you mean 'extra'?"),
    "no tag": (", tags: [extra]", "", 34, "column note without a role: expected tags from observation"),
    "tag on a reserved name": (
        "propensity, logicalType: number",
        "propensity, logicalType: number, tags: [segment]",
        26,
        "tag segment of column propensity",
    ),
    "duplicate name": (
        "{name: note,",
        "{name: Age,",
        34,
        "name 'Age' of two columns: expected each once, got it again (line 28)",
    ),
    "duplicate physicalName": (
        "{name: note,",
        "{name: note, physicalName: ts,",
        34,
        "physicalName 'ts' of two columns",
    ),
    "log's word of another column": ("{name: note,", "{name: note, physicalName: age,", 34, "'age' of two columns"),
    "name that Sluice adds": ("{name: note,", "{name: row_digest,", 34, "expected none that Sluice adds"),
    "reserved name in other letters": ("{name: note,", "{name: Episode_ID,", 34, "Did you mean 'episode_id'?"),
    "required is text": ("number}\n", 'number, required: "yes"}\n', 26, "expected boolean, got 'yes'"),
    "enum of v3.2": ("tags: [extra]", "tags: [extra], enum: [{value: a}]", 34, "metric: invalidValues"),
    # reward
    "reward without bounds": (", maximum: 5}", "}", 27, "reward bounds of column reward: expected both declared"),
    "reward that never differs": ("maximum: 5", "maximum: 0", 27, "minimum 0 and maximum 0"),
    "no reward": (
        "      - {name: reward, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 5}}\n",
        "",
        15,
        "no reward in schema",
    ),
    # enumerations
    "enumeration with a tolerance": (
        "]}, mustBe: 0",
        "]}, mustBeLessThan: 5",
        33,
        "expected mustBe: 0, or no operator",
    ),
    "enumeration that only warns": ("]}, mustBe: 0", "]}, severity: warn", 33, "expected block, or none, got 'warn'"),
    "enumeration of another type": ("[phone, desk]", "[phone, 3]", 33, "expected a string, got 3"),
    "enumeration with a repetition": ("[phone, desk]", "[phone, phone]", 33, "expected each string once"),
    "enumeration without values": (
        "{validValues: [phone, desk]}",
        "{validValues: []}",
        33,
        "expected a list of values",
    ),
    "enumeration by pattern": (
        "{validValues: [phone, desk]}",
        "{validValues: [a], pattern: b}",
        33,
        "argument 'pattern'",
    ),
    # table rules
    "no severity": (
        ", severity: block",
        "",
        18,
        "severity of quality rule rowCount: expected one of block, warn, got nothing",
    ),
    "unknown severity": ("severity: block", "severity: blok", 18, "got 'blok'"),
    "unknown metric": ("metric: rowCount", "metric: rowcount", 18, "Did you mean 'rowCount'?"),
    "deprecated key": ("metric: rowCount", "metric: rowCount, rule: rowCount", 18, "Did you mean 'metric'?"),
    "no limit": (", mustBeGreaterThan: 0", "", 18, "limit of rule rowCount"),
    "two limits": ("mustBeGreaterThan: 0", "mustBeGreaterThan: 0, mustBeLessThan: 9", 18, "limit of rule rowCount"),
    "limit is text": ("mustBeGreaterThan: 0,", "mustBe: many,", 18, "mustBe of rule rowCount: expected a number"),
    "limit that nobody judges": ("mustBeGreaterThan: 0,", "mustNotBe: 3,", 18, "unknown operator 'mustNotBe'"),
    "interval backwards": ("mustBeGreaterThan: 0", "mustBeBetween: [9, 1]", 18, "the smaller first"),
    "share of rows": ("mustBeGreaterThan: 0", "mustBeGreaterThan: 0, unit: percent", 18, "unit of metric rowCount"),
    "argument of rowCount": ("mustBeGreaterThan: 0", "mustBe: 1, arguments: {a: 1}", 18, "unknown argument 'a'"),
    "sql": ("type: library", "type: sql", 18, "expected library or custom, got 'sql'"),
    "another engine": ("engine: sluice", "engine: soda", 19, "expected sluice, got 'soda'"),
    "unknown rule": ("rule: null_share", "rule: nul_share", 19, "Did you mean 'null_share'?"),
    "argument of a rule": (
        "column: age, mustBe: 0",
        "column: age, mustBe: 0, colum: age",
        19,
        "Did you mean 'column'?",
    ),
    "column of a rule": ("column: age", "column: agee", 19, "Did you mean 'age'?"),
    "rule without its limit": ("age, mustBe: 0", "age", 19, "limit of rule null_share"),
    "limit of a rule that has none": (
        "rule: null_share, column: age, mustBe: 0",
        "rule: expected_weight, mustBe: 1",
        19,
        "unknown argument 'mustBe' in rule expected_weight",
    ),
    "rule under a column": (
        "{metric: invalidValues, arguments: {validValues: [phone, desk]}, mustBe: 0}",
        "{type: custom, engine: sluice, severity: warn, implementation: {rule: known_policy_version}}",
        33,
        "expected it under object interactions",
    ),
    "metric of the table under a column": (
        "{metric: invalidValues, arguments: {validValues: [phone, desk]}, mustBe: 0}",
        "{metric: rowCount, mustBe: 3, severity: warn}",
        33,
        "quality of column device",
    ),
}


SLA = "  - {property: freshness, value: 2, unit: d}\n"
RUNBOOK = "  - {property: runbook, value: RUNBOOK.md}\n"
NOTE = "note, logicalType: string, "
READS = "customProperties: [{property: reads, value: %s}], "


def server(text: str) -> tuple[str, str, int]:
    return "team:\n", f"servers:\n  - {{{text}}}\nteam:\n", 7


def reads(value: str) -> tuple[str, str, int]:
    return NOTE, NOTE + READS % value, 34


def age_reads(value: str) -> tuple[str, str, int]:
    return "age, logicalType", f"age, {READS % value} logicalType", 28


def retired(value: str) -> tuple[str, str, int]:
    entry = f"    customProperties: [{{property: retired, value: {value}}}]\n"
    return "    quality:\n      - {type: library", f"{entry}    quality:\n      - {{type: library", 17


def rule(settings: str, more: str = "") -> tuple[str, str, int]:
    old = "severity: warn, implementation: {rule: null_share, column: age, mustBe: 0}"
    return old, f"severity: {more or 'warn'}, implementation: {{{settings}}}", 19


def sla(entry: str) -> tuple[str, str, int]:
    return SLA, f"{SLA}  - {{{entry}}}\n", 12


def custom(entry: str) -> tuple[str, str, int]:
    return RUNBOOK, f"{RUNBOOK}  - {{{entry}}}\n", 14


READ_A = "{property: reads, value: {before: 1.0.0, rename: a}}"
TAGS = "        tags: [observation, segment]\n"
RETIRED = "name: old, logicalType: number, until: 1.0.0"
NEW_CASES: dict[str, tuple[tuple[str, str, int], str]] = {
    # header
    "version that is none": (("version: 1.2.0", "version: 2026-05", 4), "expected MAJOR.MINOR.PATCH, e.g. 1.0.0"),
    "version of a draft": (("version: 1.2.0", "version: 1.0.0-draft", 4), "got '1.0.0-draft'"),
    # servers
    "server of unknown type": (server("server: log, type: lokal"), "Did you mean 'local'?"),
    "server without its keys": (server("server: log, type: local, path: a"), "expected path, format, got no format"),
    "server without a name": (server("type: custom"), "server without a name"),
    "server twice": (
        ("team:\n", "servers:\n  - {server: a, type: custom}\n  - {server: a, type: custom}\nteam:\n", 8),
        "server a: expected each once",
    ),
    # service levels
    "completeness misspelt": (sla("property: completenes, value: 95, unit: percent"), "Did you mean 'completeness'?"),
    "completeness without unit": (sla("property: completeness, value: 95"), "a unit (percent, %), got 95 None"),
    "completeness above all": (sla("property: completeness, value: 101, unit: percent"), "at most 100"),
    "completeness of nothing": (sla("property: completeness, value: true, unit: percent"), "got True percent"),
    "completeness of another object": (
        sla("property: completeness, value: 9, unit: percent, element: outcome"),
        "Did you mean 'outcomes'?",
    ),
    "completeness twice": (
        (
            SLA,
            SLA + 2 * "  - {property: completeness, value: 9, unit: percent}\n",
            13,
        ),
        "SLA completeness of interactions: expected it once",
    ),
    "freshness and latency": (sla("property: latency, value: 2, unit: d"), "one of freshness and latency, got both"),
    "severity misspelt": (custom("property: slaSeverities, value: {}"), "Did you mean 'slaSeverity'?"),
    "severity of another rule": (custom("property: slaSeverity, value: {freshnes: warn}"), "Did you mean 'freshness'?"),
    "severity that is none": (
        custom("property: slaSeverity, value: {freshness: error}"),
        "severity of SLA freshness: expected one of block, warn, got 'error'",
    ),
    "severity of nothing": (custom("property: slaSeverity, value: block"), "expected rules and severities"),
    # rules about episodes, actions and rows
    "rare action without its floor": (rule("rule: rare_action"), "limit of rule rare_action"),
    "rule misspelt": (rule("rule: episode_continuty"), "Did you mean 'episode_continuity'?"),
    "unit of a rule": (rule("rule: one_terminal, unit: per cent"), "Did you mean 'percent'?"),
    "unit of a rule without": (rule("rule: expected_weight, unit: rows"), "unknown argument 'unit'"),
    "column of a rule about episodes": (rule("rule: one_terminal, column: age"), "unknown argument 'column'"),
    "row rule that only warns": (rule("rule: propensity"), "severity of rule propensity: expected block, got 'warn'"),
    "limit of a row rule": (rule("rule: known_action, mustBe: 0", "block"), "unknown argument 'mustBe'"),
    # readings of older rows
    "no way to read": (reads("{before: 1.0.0}"), "expected before and one of rename, default, expression"),
    "two ways to read": (reads("{before: 1.0.0, rename: a, default: b}"), "got rename, default"),
    "way misspelt": (reads("{before: 1.0.0, renam: a, default: b}"), "Did you mean 'rename'?"),
    "reads misspelt": (
        (NOTE, NOTE + "customProperties: [{property: read, value: {before: 1.0.0, rename: a}}], ", 34),
        "Did you mean 'reads'?",
    ),
    "reads twice": (
        (NOTE, f"{NOTE}customProperties: [{READ_A}, {READ_A}], ", 34),
        "property reads: expected it once",
    ),
    "before no major version": (reads("{before: 1.1.0, rename: a}"), "expected a major version from 1.0.0 to 1.0.0"),
    "before the next version": (reads("{before: 2.0.0, rename: a}"), "got '2.0.0'"),
    "before a number": (reads("{before: 1.0, rename: a}"), "got 1.0"),
    "before without": (reads("{rename: a}"), "before in reads of column note"),
    "before twice": (
        reads("[{before: 1.0.0, rename: a}, {before: 1.0.0, rename: b}]"),
        "expected each version once, got 1.0.0 again",
    ),
    "rename to no word": (reads("{before: 1.0.0, rename: 3}"), "the column's name in older rows"),
    "rename to what Sluice adds": (reads("{before: 1.0.0, rename: row_digest}"), "the column's name in older rows"),
    "default of another type": (age_reads("{before: 1.0.0, default: x}"), "a value of type integer, got 'x'"),
    "default with a fraction": (age_reads("{before: 1.0.0, default: 0.5}"), "a value of type integer, got 0.5"),
    "default that is true": (age_reads("{before: 1.0.0, default: true}"), "a value of type integer, got True"),
    "default outside the bounds": (age_reads("{before: 1.0.0, default: -1}"), "a value in [0, null]"),
    "default that is a list": (reads("{before: 1.0.0, default: [a]}"), "a value of type string"),
    "default that is none of the values": (
        (
            TAGS,
            f"        {READS.removesuffix(', ') % '{before: 1.0.0, default: tv}'}\n{TAGS}",
            31,
        ),
        "expected one of phone, desk, got 'tv'",
    ),
    "default null of a required column": (
        ("age, logicalType", f"age, required: true, {READS % '{before: 1.0.0, default: null}'} logicalType", 28),
        "a value: the column is required",
    ),
    "expression that is none": (reads("{before: 1.0.0, expression: a +}"), "a value where 'the end' stands in 'a +'"),
    "expression that is a number": (reads("{before: 1.0.0, expression: 3}"), "expected a text, got 3"),
    "reads of what rows are known by": (
        (
            "unit_id, logicalType",
            f"unit_id, {READS % '{before: 1.0.0, rename: a}'} logicalType",
            22,
        ),
        "reads of column unit_id: expected none",
    ),
    "retired without its keys": (retired("[{name: old}]"), "got no logicalType, until, expression"),
    "retired expression": (retired(f"[{{{RETIRED}, expression: agee}}]"), "did you mean 'age'"),
    "retired of another type": (retired(f"[{{{RETIRED}, expression: device}}]"), "which string is not"),
    "retired type": (
        retired("[{name: old, logicalType: numbr, until: 1.0.0, expression: age}]"),
        "Did you mean 'number'?",
    ),
    "retired later": (
        retired("[{name: old, logicalType: number, until: 3.0.0, expression: age}]"),
        "until in retired column old: expected a major version from 1.0.0 to 1.0.0",
    ),
    "retired key": (retired(f"[{{{RETIRED}, expression: age, unti: x}}]"), "Did you mean 'until'?"),
    "retired twice": (retired(f"[{{{RETIRED}, expression: age}}, {{{RETIRED}, expression: age}}]"), "each once"),
    "retired misspelt": (
        (
            "    quality:\n      - {type: library",
            "    customProperties: [{property: retird, value: []}]\n    quality:\n      - {type: library",
            17,
        ),
        "Did you mean 'retired'?",
    ),
}
CASES |= {name: (old, new, line, words) for name, ((old, new, line), words) in NEW_CASES.items()}


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_one_problem_at_its_line(tmp_path: Path, case: str) -> None:
    old, new, line, words = CASES[case]
    path = write(tmp_path, edited(old, new))
    [problem] = contract_problems(path)
    assert Path(problem.file).name == path.name
    assert words in problem.message
    assert problem.line == line
    with pytest.raises(ConfigurationError) as error:
        read_contract(path)
    assert error.value.fields["problems"] == [problem]


OUTCOME_CASES: dict[str, tuple[str, str, int, str]] = {
    "no moment": ("      - {name: observed_at, logicalType: timestamp, required: true}\n", "", 3, "'observed_at'"),
    "another column": ("name: channel", "name: chanel", 5, "Did you mean 'channel'?"),
    "value without bounds": (", maximum: 5}", "}", 6, "reward bounds of column value"),
    "bounds beside those of the reward": ("maximum: 5", "maximum: 6", 6, "expected those of column reward, (0, 5)"),
    "value of another type": (
        "value, logicalType: number",
        "value, logicalType: string",
        6,
        "expected one of number, boolean",
    ),
    "table rule": (
        "    properties:",
        "    quality:\n      - {metric: rowCount, mustBe: 1, severity: warn}\n    properties:",
        4,
        "quality rule of object outcomes",
    ),
    "object twice": ("name: outcomes", "name: interactions", 1, "expected it once"),
    "reading": (
        "name: channel, ",
        "name: channel, customProperties: [{property: reads, value: {before: 1.0.0, rename: a}}], ",
        5,
        "Give values of another meaning a channel of their own",
    ),
}


@pytest.mark.parametrize("case", OUTCOME_CASES)
def test_each_mistake_in_outcomes_is_found_at_its_line(tmp_path: Path, case: str) -> None:
    old, new, line, words = OUTCOME_CASES[case]
    found = contract_problems(write(tmp_path, BASE + edited(old, new, OUTCOMES)))
    assert (N_LINES + line, True) in [(p.line, words in p.message) for p in found]


def test_six_mistakes_are_six_problems_in_order(tmp_path: Path) -> None:
    text = BASE
    for old, new in (
        ("kind: DataContract", "kind: Contract"),
        ("status: active", "status: active\nid: again"),
        ("metric: rowCount", "metric: rowCont"),
        ("{minimum: 0}}", "{minimum: 4, maximum: 3}}"),
        ("[observation, segment]", "[observation, segmnt]"),
        ("note, logicalType: string", "note, logicalType: text"),
    ):
        text = edited(old, new, text)
    found = contract_problems(write(tmp_path, text))
    assert [p.line for p in found] == [2, 6, 19, 29, 32, 35]


@pytest.mark.parametrize(
    ("logical_type", "values", "texts"),
    [
        ("integer", "[1, -2]", ("1", "-2")),
        ("number", "[1, 0.5]", ("1", "0.5")),
        ("boolean", "[true]", ("true",)),
        ("string", "['1', no]", ("1", "no")),
    ],
)
def test_an_enumeration_is_spelled_as_the_store_spells_the_value(
    tmp_path: Path, logical_type: str, values: str, texts: tuple[str, ...]
) -> None:
    quality = f"quality: [{{metric: invalidValues, arguments: {{validValues: {values}}}}}]"
    new = f"note, logicalType: {logical_type}, {quality}"
    column = read_contract(write(tmp_path, edited("note, logicalType: string", new))).column("note")
    assert column is not None
    assert column.valid_values == texts


def test_library_metrics_become_rules_about_columns(tmp_path: Path) -> None:
    under_object = (
        "      - {metric: duplicateValues, mustBe: 0, severity: block, arguments: {properties: [unit_id, age]}}\n"
        "      - {metric: rowCount, mustBeBetween: [10, 20], severity: warn, description: enough}\n"
    )
    under_column = (
        "note, logicalType: string, quality: [{metric: missingValues, mustBeLessThan: 5, unit: percent, "
        "severity: warn, arguments: {missingValues: [null, n/a]}}]"
    )
    text = edited(
        "note, logicalType: string", under_column, edited("    properties:\n", under_object + "    properties:\n")
    )
    rules = read_contract(write(tmp_path, text)).table_rules
    assert [(rule.rule, rule.arguments) for rule in rules[2:]] == [
        ("duplicateValues", {"mustBe": 0.0, "unit": "rows", "columns": ["unit_id", "age"]}),
        ("rowCount", {"mustBeGreaterThan": 10.0, "mustBeLessThan": 20.0, "unit": "rows"}),  # strict: ODCS data quality
        (
            "missingValues",
            {"mustBeLessThan": 5.0, "unit": "percent", "missing_values": ["n/a"], "column": "note"},
        ),
    ]
    assert rules[3].description == "enough"


def test_a_distribution_may_be_declared(tmp_path: Path) -> None:
    new = "{name: action_probabilities, physicalName: probs, logicalType: array, items: {logicalType: number}}"
    old = "{name: propensity, logicalType: number}"
    column = read_contract(write(tmp_path, edited(old, new))).column("action_probabilities")
    assert column is not None
    assert (column.source_name, column.logical_type) == ("probs", "array")
    [problem] = contract_problems(write(tmp_path, edited(old, new.replace("number", "string"))))
    assert (problem.line, "items of column action_probabilities: expected number" in problem.message) == (26, True)


def test_service_levels_servers_and_readings_become_records(tmp_path: Path) -> None:
    text = BASE
    for old, new, _ in (
        sla("property: completeness, value: 95, unit: percent"),
        custom("property: slaSeverity, value: {completeness: block}"),
        server("server: log, type: s3, location: 's3://log/*', format: json, environment: prod"),
        reads("[{before: 1.0.0, default: x}]"),
        retired(f"{{{RETIRED}, expression: age / 2}}"),
    ):
        text = edited(old, new, text)
    text = edited(SLA, f"{SLA}  - {{property: availability, value: 99.9}}\n", text)  # for people
    contract = read_contract(write(tmp_path, text))
    assert contract.completeness == (Completeness("interactions", 95.0),)
    assert (contract.freshness_severity, contract.completeness_severity) == ("warn", "block")
    assert contract.servers == (Server("log", "s3", "s3://log/*", "prod"),)
    assert contract.retired == (Retired("old", "number", 1, "age / 2"),)
    note = contract.column("note")
    assert note is not None
    assert note.reads == (Reading(1, "default", "x"),)
    assert note.reading(0) == Reading(1, "default", "x")
    assert note.reading(1) is None


def test_rules_of_episodes_and_rows(tmp_path: Path) -> None:
    entries = [
        "{rule: episode_continuity}",
        "{rule: one_terminal, unit: percent, mustBeLessThan: 1}",
        "{rule: rare_action, mustBeGreaterOrEqualTo: 50}",
        *(f"{{rule: {name}}}" for name in ROW_RULES),
    ]
    lines = [f"      - {{type: custom, engine: sluice, severity: block, implementation: {e}}}\n" for e in entries]
    text = edited("    properties:\n", "".join(lines) + "    properties:\n")
    rules = read_contract(write(tmp_path, text)).table_rules[2:]
    assert [(r.rule, r.arguments) for r in rules] == [
        ("episode_continuity", {"unit": "rows"}),
        ("one_terminal", {"unit": "percent", "mustBeLessThan": 1.0}),
        ("rare_action", {"unit": "rows", "mustBeGreaterOrEqualTo": 50.0}),
    ]  # rules about each row are judged whether a contract names them or not


def test_no_value_in_any_place_makes_the_reader_stumble(tmp_path: Path) -> None:
    text = BASE + OUTCOMES
    for old, new, _ in (sla("property: completeness, value: 9, unit: percent"), server("server: a, type: custom")):
        text = edited(old, new, text)
    text = edited(NOTE, NOTE + READS % "[{before: 1.0.0, rename: a}]", text)
    data = read_yaml(write(tmp_path, text)).data
    assert data is not None
    paths = [*_paths(data)]
    rng = random.Random(20261121)
    for odd in ([], {}, [[]], {"a": []}, 3, "x", None, True):
        for path in rng.sample(paths, 25):
            contract_problems(write(tmp_path, json.dumps(_with(data, path, odd))))


def _paths(data: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from _paths(value, (*at, key))


def _with(data: Any, path: tuple[str | int, ...], value: object) -> Any:
    changed = deepcopy(data)
    place = changed
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n",
        "schema: 3\n",
        "schema: [3, {name: [a]}]\n",
        "kind: [a\n",
        "team: [x]\n",
        "servers: [{type: [x]}, 3]\n",
    ],
)
def test_any_other_file_is_refused_without_a_stumble(tmp_path: Path, text: str) -> None:
    assert contract_problems(write(tmp_path, text))


def test_reading_is_silent_and_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from data_contracts.contract import read_contract\n"
        "assert 'pydantic' not in sys.modules\n"
        "read_contract(pathlib.Path(sys.argv[1]))\n"
        "print([m for m in ('torch', 'pandas', 'duckdb', 'great_expectations', 'prefect') if m in sys.modules])"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(write(tmp_path, BASE))]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env={**os.environ})
    assert (done.stdout, done.stderr) == ("[]\n", "")
