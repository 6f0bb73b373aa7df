"""A declared design as CSV: wide or long, keyed by observation columns; every mistake with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Column
from data_contracts.errors import ConfigurationError, InputError
from data_contracts.propensities.design_table import parse_design, read_design

ACTIONS = ("left", "right")
COLUMNS = (
    Column("country", "country", "string", ("observation",)),
    Column("age", "age", "integer", ("observation",)),
    Column("score", "score", "number", ("observation",)),
    Column("member", "member", "boolean", ("observation",)),
    Column("seen_at", "seen_at", "timestamp", ("observation",)),
)
WIDE = "country,member,left,right\nde,true,0.25,0.75\nde,false,0.5,0.5\nfr,true,1,0\n,true,0.1,0.9\n"
LONG = """\
country,member,action,probability
de,true,left,0.25
de,true,right,0.75
de,false,left,0.5
de,false,right,0.5
fr,true,left,1
,true,right,0.9
,true,left,0.1
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "design.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", [WIDE, LONG])
def test_rows_find_their_cell(tmp_path: Path, text: str) -> None:
    design = read_design(write(tmp_path, text), actions=ACTIONS, columns=COLUMNS)
    rows = pa.table(
        {
            "country": ["fr", "de", None, "de", "it", "fr", ""],
            "member": [True, False, True, None, True, False, True],
            "other": range(7),
        }
    )
    found = design.distribution(rows)
    nan = [np.nan, np.nan]
    assert np.array_equal(found, [[1, 0], [0.5, 0.5], [0.1, 0.9], nan, nan, nan, nan], equal_nan=True)
    assert repr(design) == "DesignTable('design.csv', keys=['country', 'member'], cells=4)"


def test_many_cells_of_several_types(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    keys = [(age, score / 4) for age in range(40) for score in range(-20, 20)]
    first = {key: round(float(p), 3) for key, p in zip(keys, rng.random(len(keys)), strict=True)}
    text = "age,score,left,right\n" + "".join(f"{a},{s},{p},{round(1 - p, 3)}\n" for (a, s), p in first.items())
    design = read_design(write(tmp_path, text), actions=ACTIONS, columns=COLUMNS)
    drawn = [keys[i] for i in rng.integers(len(keys), size=500)]
    rows = pa.table({"age": pa.array([a for a, _ in drawn]), "score": pa.array([s for _, s in drawn])})
    assert design.distribution(rows)[:, 0].tolist() == pytest.approx([first[key] for key in drawn])


def test_without_a_key_it_is_one_distribution(tmp_path: Path) -> None:
    design = read_design(write(tmp_path, "right,left\n0.3333334,0.6666667\n"), actions=ACTIONS, columns=COLUMNS)
    found = design.distribution(pa.table({"x": [1, 2]}))
    assert found.sum(axis=1).tolist() == pytest.approx([1.0, 1.0], abs=1e-15), "normalised exactly"
    assert found[0].tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-6)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "one for every action"),
        ("left,right\n", 1, "at least one"),
        ("country,left\nde,1\n", 1, "none for 'right'"),
        ("land,left,right\nde,0.5,0.5\n", 1, "got 'land'"),
        ("seen_at,left,right\nx,0.5,0.5\n", 1, "got 'seen_at'"),
        ("left,left,right\n0.5,0.5,0.5\n", 1, "'left' again"),
        ("country,left,right\nde,0.5,0.5\nde,0.4,0.6\n", 3, "each once"),
        ("country,left,right\nde,0.5,0.6\n", 2, "sum of a distribution: expected 1"),
        ("country,left,right\nde,0.5\n", 2, "expected 3 cells, got 2"),
        ("country,left,right\nde,1.5,-0.5\n", 2, "a number in [0, 1]"),
        ("country,left,right\nde,half,half\n", 2, "a number in [0, 1], got 'half'"),
        ("age,left,right\nold,0.5,0.5\n", 2, "a integer, got 'old'"),
        ("score,left,right\nnan,0.5,0.5\n", 2, "a number, got 'nan'"),
        ("member,left,right\nyes,0.5,0.5\n", 2, "a boolean, got 'yes'"),
        ("country,action,probability\nde,up,1\n", 2, "got 'up'"),
        ("country,action,probability\nde,left,0.5\nde,left,0.5\n", 3, "each once, got 'left' again"),
        ("country,action,probability\nde,left,0.5\nfr,left,1\n", 2, "sum of a distribution"),
        ('country,left,right\n"de,0.5,0.5\n', 1, "CSV in UTF-8"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = write(tmp_path, text)
    design, problems = parse_design(path, actions=ACTIONS, columns=COLUMNS)
    assert design is None
    assert (line, True) in [(p.line, words in p.message) for p in problems], problems
    with pytest.raises(ConfigurationError):
        read_design(path, actions=ACTIONS, columns=COLUMNS)


def test_a_lacking_file_and_lacking_columns(tmp_path: Path) -> None:
    assert parse_design(tmp_path / "none.csv", actions=ACTIONS, columns=COLUMNS)[0] is None
    design = read_design(write(tmp_path, WIDE), actions=ACTIONS, columns=COLUMNS)
    with pytest.raises(InputError, match="country"):
        design.distribution(pa.table({"member": [True]}))
