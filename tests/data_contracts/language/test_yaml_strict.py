"""Plain values and their lines; everything that YAML can do beyond them is a mistake with its line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from data_contracts.errors import ConfigurationError
from data_contracts.language.problems import Problem, refuse
from data_contracts.language.yaml_strict import YamlFile, read_yaml


def read(folder: Path, text: str | bytes) -> YamlFile:
    path = folder / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


def test_scalars_follow_the_core_schema(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "a: [1, -2, 0x1F, 0o17, 012, 1.5, 1e3, .5, -2.]\n"
        "b: [true, FALSE, null, ~, '']\n"
        "c: [yes, no, on, 2026-11-21, 1:30, 1_000, v3.1.0, '1', \"true\"]\n"
        "d:\n"
        "e: |\n  12\n",
    )
    assert found.problems == ()
    assert found.data == {
        "a": [1, -2, 31, 15, 12, 1.5, 1000.0, 0.5, -2.0],
        "b": [True, False, None, None, ""],
        "c": ["yes", "no", "on", "2026-11-21", "1:30", "1_000", "v3.1.0", "1", "true"],
        "d": None,
        "e": "12\n",
    }
    assert [type(v) for v in found.data["a"]] == [int] * 5 + [float] * 4


def test_the_hash_is_of_the_bytes_that_were_read(tmp_path: Path) -> None:
    assert read(tmp_path, "a: 1 # é\n").sha256 == hashlib.sha256("a: 1 # é\n".encode()).hexdigest()


def test_every_value_has_its_line_and_a_missing_one_that_of_its_parent(tmp_path: Path) -> None:
    index = read(tmp_path, "# head\na: 1\ntraining:\n  seeds:\n    - 0\n    - 1\n  more: {x: 1,\n    y: 2}\n").index
    lines = {
        (): 2,
        ("a",): 2,
        ("training",): 3,
        ("training", "seeds"): 4,
        ("training", "seeds", 0): 5,
        ("training", "seeds", 1): 6,
        ("training", "more", "x"): 7,
        ("training", "more", "y"): 8,
        ("training", "seeds", 9): 4,
        ("training", "absent", "deeper"): 3,
        ("absent",): 2,
    }
    assert {path: index.line_of(path) for path in lines} == lines


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            "a: 1\nb: 2\na: 3\n",
            3,
            "duplicate key 'a' in the file: expected each key once, got it again (first on line 1)",
        ),
        ("x:\n  - {b: 1,\n     b: 2}\n", 3, "duplicate key 'b' in x[0]"),
        ("a: &one 1\n", 1, "anchor &one in a"),
        ("a: 1\nb:\n  *one\n", 3, "alias *one in b"),
        ("a: 1\nb: !!str 2\n", 2, "tag tag:yaml.org,2002:str"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("a: 1\n2: b\n", 2, 'key 2 in the file: expected text, got an integer. Quote it: "2"'),
        ("a: {true: b}\n", 1, "key true in a: expected text, got a boolean"),
        ("a: 1\n: b\n", 2, "expected text, got null"),
        ("a: 1\n? [b]\n: c\n", 2, "expected text, got a list"),
        ("a: 1\n---\nb: 2\n", 2, "several documents"),
        ("%YAML 1.1\n---\na: 1\n", 1, "directive"),
        ("", 1, "empty file"),
        ("# only a comment\n", 1, "empty file"),
        ("- a\n", 1, "wrong top level: expected keys and values, got a list"),
        ("a: 1\nb: .inf\n", 2, "expected a finite number, got '.inf'"),
        ("a: 1e999\n", 1, "expected a finite number, got '1e999'"),
        ("a: .NaN\n", 1, "expected a finite number"),
        ("a: 1\nb: [1\nc: 2\n", 3, "broken YAML"),
        ("a: 1\n\tb: 2\n", 2, "broken YAML"),
        ("a: 1\nb: \x00\n", 2, "broken YAML"),
        (b"a: 1\nb: \xff\n", 2, "broken YAML: expected one YAML document in UTF-8, got byte 0xff"),
        ("a: " + "[" * 200 + "]" * 200 + "\n", 1, "deep nesting"),
    ],
)
def test_each_surprise_is_one_problem_at_its_line(tmp_path: Path, text: str | bytes, line: int, words: str) -> None:
    [problem] = read(tmp_path, text).problems
    assert (problem.line, Path(problem.file).name) == (line, "x.yaml")
    assert words in problem.message


def test_what_stands_beside_a_surprise_is_still_read(tmp_path: Path) -> None:
    found = read(tmp_path, "a: &x 1\nb: *x\na: 2\n3: c\nd: [0, !t 1]\n")
    assert found.data == {"a": 1, "b": None, "3": "c", "d": [0, 1]}
    assert [p.line for p in found.problems] == [1, 2, 3, 4, 5]


def test_aliases_cannot_blow_a_small_file_up(tmp_path: Path) -> None:
    levels = "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(30))
    found = read(tmp_path, f"a0: &a0 lol\n{levels}")
    assert found.data is not None
    assert found.data["a30"] == [None] * 9


def test_a_file_that_is_not_there_is_a_problem_too(tmp_path: Path) -> None:
    found = read_yaml(tmp_path / "absent.yaml")
    assert found.data is None
    [problem] = found.problems
    assert "No such file" in problem.message


def test_the_error_carries_all_problems_and_shows_five(tmp_path: Path) -> None:
    problems = [Problem("f.yaml", n, f"mistake {n}") for n in range(1, 8)]
    error = refuse(problems)
    assert isinstance(error, ConfigurationError)
    assert error.fields["problems"] == problems
    assert "7 mistakes in f.yaml" in str(error)
    assert "f.yaml:5: mistake 5" in str(error)
    assert "mistake 6" not in str(error)
    assert "2 more" in str(error)
