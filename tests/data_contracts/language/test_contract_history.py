"""A contract that changed against those that rows were accepted under: what breaks, where, and what to write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from data_contracts.contract import Contract, read_contract
from data_contracts.errors import ConfigurationError, IntegrityError
from data_contracts.home import Home
from data_contracts.language.contract_archive import archive_contract, archived_contract, archived_contracts
from data_contracts.language.contract_changes import breaking_changes, missing_readings
from data_contracts.language.contract_history import evolution_problems, history_problems, needed_columns_problems
from data_contracts.language.contract_version import Version, is_version, version_of
from data_contracts.language.problems import Problem
from data_contracts.language.yaml_strict import read_yaml

TASK = "shop"
BASE = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.2.0
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
      - {name: reward, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 5}}
      - {name: age, logicalType: integer, required: true, tags: [observation], logicalTypeOptions: {minimum: 0}}
      - {name: size, logicalType: number, tags: [extra]}
      - {name: land, logicalType: string, tags: [segment], quality: [{metric: invalidValues, arguments: {validValues: [de, fr]}}]}
  - name: outcomes
    properties:
      - {name: interaction_id, logicalType: string, required: true}
      - {name: value, logicalType: number, required: true, logicalTypeOptions: {minimum: 0, maximum: 5}}
      - {name: observed_at, logicalType: timestamp, required: true}
"""  # noqa: E501
LAST_COLUMN = 20  # line of `land`


def write(folder: Path, *edits: tuple[str, str], version: str = "1.3.0", name: str = "new") -> Contract:
    text = BASE.replace("version: 1.2.0", f"version: {version}")
    for old, new in edits:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    path = folder / f"{name}.odcs.yaml"
    path.write_text(text)
    return read_contract(path)


def base(folder: Path) -> Contract:
    return write(folder, version="1.2.0", name="base")


def problems(new: Contract, *archive: Contract) -> list[Problem]:
    return evolution_problems(new, archive, document=read_yaml(Path(new.path)))


ADD = ("  - name: outcomes\n", "      - {name: note, logicalType: string, tags: [%s]%s}\n  - name: outcomes\n")


def added(tags: str, more: str = "") -> tuple[str, str]:
    return ADD[0], ADD[1] % (tags, more)


BREAKING: dict[str, tuple[Sequence[tuple[str, str]], str, str, int]] = {
    # case: edits, column, words, line
    "column removed": (
        [("      - {name: size, logicalType: number, tags: [extra]}\n", "")],
        "size",
        "got is gone in version 1.3.0",
        11,
    ),
    "required column added": ([added("extra", ", required: true")], "note", "older rows have none", 21),
    "observation added": ([added("observation")], "note", "older rows do not have", 21),
    "type": ([("size, logicalType: number", "size, logicalType: string")], "size", "another name", 19),
    "action narrower": (
        [("action, logicalType: string", "action, logicalType: integer")],
        "action",
        "other words",
        15,
    ),
    "demanded": ([("size, logicalType: number", "size, logicalType: number, required: true")], "size", "may lack", 19),
    "observation that may be null": (
        [("age, logicalType: integer, required: true", "age, logicalType: integer")],
        "age",
        "cannot decide on null",
        18,
    ),
    "unique": ([("size, logicalType: number", "size, logicalType: number, unique: true")], "size", "may repeat", 19),
    "range narrower": (
        [("minimum: 0}}\n      - {name: size", "minimum: 5}}\n      - {name: size")],
        "age",
        "was 0",
        18,
    ),
    "bound where was none": (
        [("tags: [extra]", "tags: [extra], logicalTypeOptions: {maximum: 9}")],
        "size",
        "maximum 9 (was none)",
        19,
    ),
    "rewards scaled": ([("maximum: 5", "maximum: 6"), ("maximum: 5", "maximum: 6")], "reward", "gate scales", 17),
    "value removed": ([("[de, fr]", "[de]")], "land", "without fr", 20),
    "enumeration where was none": (
        [("tags: [extra]", "tags: [extra], quality: [{metric: invalidValues, arguments: {validValues: [1, 2]}}]")],
        "size",
        "were none",
        19,
    ),
    "observation given": ([("tags: [extra]", "tags: [extra, observation]")], "size", "the input of every policy", 19),
    "observation taken": (
        [("tags: [extra]", "tags: [observation]"), ("tags: [observation]", "tags: [extra]")],
        "age",
        "the input of every policy",
        18,
    ),
    "word of another column": (
        [
            ("size, logicalType", "size, physicalName: width, logicalType"),
            ("age, logicalType", "age, physicalName: size, logicalType"),
        ],
        "age",
        "physicalName size (was that of size)",
        18,
    ),
    "readings differ": (
        [("tags: [extra]", "tags: [extra], customProperties: [{property: reads, value: {before: 1.0.0, default: 1}}]")],
        "size",
        "read otherwise",
        19,
    ),
    "another contract": ([("id: shop", "id: shop2")], "the contract", "id shop2 (was shop)", 3),
}


@pytest.mark.parametrize("case", BREAKING)
def test_a_breaking_change_needs_a_major_version(tmp_path: Path, case: str) -> None:
    edits, column, words, line = BREAKING[case]
    old, new = base(tmp_path), write(tmp_path, *edits)
    found = [p for p in problems(new, old) if f"breaking change of column {column}" in p.message or column in p.message]
    first = found[0]
    assert (Path(first.file).name, first.line) == ("new.odcs.yaml", line)
    assert words in first.message
    assert "since version 1.2.0: expected version 2.0.0" in first.message
    assert "aise version to 2.0.0 and say how older rows read." in first.message


COMPATIBLE: dict[str, Sequence[tuple[str, str]]] = {
    "nothing": [],
    "optional column": [added("extra")],
    "optional segment": [added("segment")],
    "no longer demanded": [("size, logicalType: number", "size, logicalType: number, required: false")],
    "range wider": [("minimum: 0}}\n      - {name: size", "minimum: -1}}\n      - {name: size")],
    "value more": [("[de, fr]", "[de, fr, it]")],
    "any value": [(", quality: [{metric: invalidValues, arguments: {validValues: [de, fr]}}]", "")],
    "another word in the log": [("size, logicalType", "size, physicalName: width, logicalType")],
    "people": [("name: shop-team", "name: others")],
    "reserved column": [
        ("  - name: outcomes\n", "      - {name: propensity, logicalType: number}\n  - name: outcomes\n")
    ],
    "rules": [
        (
            "    properties:\n",
            "    quality: [{metric: rowCount, mustBeGreaterThan: 9, severity: warn}]\n    properties:\n",
        )
    ],
}


@pytest.mark.parametrize("case", COMPATIBLE)
@pytest.mark.parametrize("version", ["1.2.0", "1.3.0", "2.0.0"])
def test_a_compatible_change_needs_nothing(tmp_path: Path, case: str, version: str) -> None:
    old, new = base(tmp_path), write(tmp_path, *COMPATIBLE[case], version=version)
    assert breaking_changes(old, new) == []
    assert problems(new, old) == []


@pytest.mark.parametrize(("maximum", "breaks"), [(8, True), (9, False), (10, False)])
def test_a_maximum_may_rise_but_not_fall(tmp_path: Path, maximum: int, breaks: bool) -> None:
    edit = ("tags: [extra]", "tags: [extra], logicalTypeOptions: {maximum: %d}")
    old = write(tmp_path, (edit[0], edit[1] % 9), name="old")
    found = breaking_changes(old, write(tmp_path, (edit[0], edit[1] % maximum)))
    assert [(c.column, c.what) for c in found] == ([("size", "maximum 8 (was 9)")] if breaks else [])


READS = "customProperties: [{property: reads, value: {before: 2.0.0, %s}}]"


def test_a_major_version_says_how_older_rows_read(tmp_path: Path) -> None:
    old = base(tmp_path)
    edit = ("age, logicalType: integer, required: true", "age, logicalType: integer, required: true, %s")
    narrower = ("minimum: 0}}\n      - {name: size", "minimum: 5}}\n      - {name: size")
    silent = write(tmp_path, narrower, version="2.0.0")
    [problem] = problems(silent, old)
    assert problem.line == 18
    assert problem.message.startswith("column age in rows of version 1.2.0: expected a declared reading (older rows ma")
    assert "rename: age reads them as they are." in problem.message
    for way in ("rename: age", "default: 18", 'expression: "greatest(age, 5)"'):
        said = write(tmp_path, narrower, (edit[0], edit[1] % READS % way), version="2.0.0")
        assert problems(said, old) == []
        assert missing_readings(old, said) == []


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("rename: agee", "did you mean 'age'"),
        ('expression: "age + land"', "two numbers"),
        ('expression: "lower(land)"', "values of type integer, which string is not"),
    ],
)
def test_a_reading_is_judged_by_the_contract_of_those_rows(tmp_path: Path, way: str, words: str) -> None:
    edit = ("age, logicalType: integer, required: true", f"age, logicalType: integer, required: true, {READS % way}")
    [problem] = problems(write(tmp_path, edit, version="2.0.0"), base(tmp_path))
    assert problem.line == 18
    assert problem.message.startswith("reads of column age for rows of version 1.2.0")
    assert words in problem.message


def test_a_new_type_needs_a_new_name_in_any_version(tmp_path: Path) -> None:
    old = base(tmp_path)
    edit = ("size, logicalType: number", f"size, logicalType: string, {READS % 'expression: text(size)'}")
    found = problems(write(tmp_path, edit, version="2.0.0"), old)
    assert [p.line for p in found] == [19]
    assert "expected another name (the store keeps one type under a name)" in found[0].message
    renamed = edit[1].replace("size,", "size_word, physicalName: size,", 1)
    new = write(tmp_path, (edit[0], renamed), version="2.0.0")
    assert problems(new, old) == []


def test_every_older_major_counts_and_each_by_its_newest(tmp_path: Path) -> None:
    first = base(tmp_path)
    wider = write(tmp_path, added("extra"), version="1.5.0", name="wider")
    second = write(tmp_path, version="2.0.0", name="second")
    reads = "customProperties: [{property: reads, value: [{before: 2.0.0, rename: note}, {before: 3.0.0, default: x}]}]"
    new = write(tmp_path, added("observation", f", required: true, {reads}"), version="3.0.0")
    renamed = write(tmp_path, (ADD[0], ADD[1].replace("note", "memo") % ("observation", f", {reads}")), version="3.0.0")
    assert problems(renamed, first, wider, second) == []  # 1.5.0 has note
    assert problems(new, first, wider, second) == []
    [problem] = problems(renamed, first, second)  # 1.2.0 has not
    assert "for rows of version 1.2.0" in problem.message


def test_a_contract_does_not_step_back(tmp_path: Path) -> None:
    newer = write(tmp_path, version="2.1.0", name="newer")
    [problem] = problems(base(tmp_path), newer)
    assert problem.line == 4
    assert "expected 2.1.0 or later, as rows were accepted under it, got 1.2.0" in problem.message
    assert "make this one 3.0.0" in problem.message


def test_a_minor_version_that_takes_back_what_it_gave_is_breaking(tmp_path: Path) -> None:
    given = write(tmp_path, added("extra"), version="1.3.0", name="given")
    [problem] = problems(write(tmp_path, version="1.4.0"), base(tmp_path), given)
    assert "breaking change of column note since version 1.3.0" in problem.message


def test_what_rows_were_accepted_under_is_kept(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert archived_contracts(home, TASK) == ()
    assert history_problems(home, TASK, base(tmp_path)) == []
    later = write(tmp_path, added("extra"), version="1.10.0", name="later")
    for contract in (later, base(tmp_path), later):
        assert archive_contract(home, TASK, contract) == contract.sha256
    assert [c.version for c in archived_contracts(home, TASK)] == ["1.2.0", "1.10.0"]
    kept = home.contracts(TASK) / f"{later.sha256}.odcs.yaml"
    assert kept.read_bytes() == Path(later.path).read_bytes()
    [problem] = history_problems(home, TASK, write(tmp_path, version="1.11.0"))
    assert "breaking change of column note since version 1.10.0" in problem.message


def test_a_contract_that_changed_while_it_was_used_is_not_archived(tmp_path: Path) -> None:
    contract = base(tmp_path)
    Path(contract.path).write_text("another")
    with pytest.raises(ConfigurationError, match="Run the command again"):
        archive_contract(Home(tmp_path / "home"), TASK, contract)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    home, contract = Home(tmp_path / "home"), base(tmp_path)
    archive_contract(home, TASK, contract)
    (home.contracts(TASK) / f"{contract.sha256}.odcs.yaml").write_text(BASE + "# changed\n")
    with pytest.raises(IntegrityError, match="other bytes"):
        archived_contracts(home, TASK)
    with pytest.raises(IntegrityError, match="no file"):
        archived_contract(home, TASK, "0" * 64)


def test_what_a_later_release_refuses_stays_readable(tmp_path: Path) -> None:
    home, text = Home(tmp_path / "home"), BASE.replace("status: active", "status: active\nunheard: of")
    path = tmp_path / "old.odcs.yaml"
    path.write_text(text)
    sha256 = read_yaml(path).sha256
    home.contracts(TASK).mkdir(parents=True)
    (home.contracts(TASK) / f"{sha256}.odcs.yaml").write_text(text)
    assert [c.name for c in archived_contract(home, TASK, sha256).own_columns] == ["age", "size", "land"]


def needs(contract: Contract, **columns: str) -> list[Problem]:
    return needed_columns_problems(
        contract,
        document=read_yaml(Path(contract.path)),
        policy="champion v12",
        version="1.2.0",
        columns=columns,  # type: ignore[arg-type]
    )


def test_what_the_champion_needs_may_not_go(tmp_path: Path) -> None:
    assert needs(base(tmp_path), age="number", size="number", land="string") == []
    age = next(line for line in BASE.splitlines(keepends=True) if "name: age" in line)
    years = "      - {name: years, logicalType: number, tags: [observation]%s}\n"
    [problem] = needs(write(tmp_path, (age, years % ""), version="2.0.0"), age="number")
    assert problem.line == 11
    assert problem.message.startswith("column age, which champion v12 reads: expected a number that it can be read fro")
    assert "{name: age, logicalType: number, until: 2.0.0, expression: …}" in problem.message
    renamed = write(tmp_path, (age, years % f", {READS % 'rename: age'}"), version="2.0.0")
    assert needs(renamed, age="number") == []
    entry = "{name: age, logicalType: number, until: 2.0.0, expression: 2 * years}"
    retired = f"    customProperties: [{{property: retired, value: {entry}}}]\n"
    dropped = write(tmp_path, (age, years % ""), ("    properties:\n", retired + "    properties:\n"), version="2.0.0")
    assert needs(dropped, age="number") == []
    assert [p.line for p in needs(dropped, age="string")] == [12]  # of another type than the policy knows


def test_versions() -> None:
    assert version_of("1.2.10") > version_of("1.2.9") > version_of("1.2") == version_of("v1.2.0")
    assert str(version_of("3").next_major) == "4.0.0"
    assert version_of("0.4.1") == Version(0, 4, 1)
    assert not any(map(is_version, ("", "1.2.3.4", "1.x", "2026-05", "1.0.0-draft", "one")))
    with pytest.raises(ConfigurationError, match="MAJOR"):
        version_of("x")
