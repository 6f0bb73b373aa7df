"""Rows that meet are compared by what they say, wherever the other one lies and whatever else its table holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data_contracts import delta
from data_contracts.contract import Column
from data_contracts.home import FORMAT, MARKER, Home
from data_contracts.interactions import interaction_schema
from data_contracts.log_columns import own_types
from data_contracts.readers import lines
from data_contracts.storage import read_json
from data_contracts.store import append, read_interactions, read_quarantine
from tests.data_contracts.small_log import CONTRACT, TASK, accepted, digests, jsonl, row, rows, take_in

CHANGES = [
    {"time": "2026-10-01T00:00:00Z"},
    {"user": "other"},
    {"item": 0},
    {"policy": "2"},
    {"p": 0.125},
    {"click": 0.5},
    {"age": 77},
    {"score": None},
    {"score": 0.5},  # of row 10, which has none
    {"member": True},
    {"country": "fr"},
]
PLACES = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 13]  # rows that each of them changes


@pytest.mark.parametrize("group_rows", [1, 7, delta.GROUP_ROWS])
@pytest.mark.parametrize("in_store", [True, False])
def test_a_change_in_any_column_is_a_conflict_and_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int, in_store: bool
) -> None:
    """Whether the first one is in the store, in whatever row group, or in the same batch."""
    monkeypatch.setattr(lines, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(delta, "GROUP_ROWS", group_rows)
    home, first = Home(tmp_path), rows(40)
    changed = [row(i, **change) for i, change in zip(PLACES, CHANGES, strict=True)]
    again = [*reversed(rows(40)), *changed, dict(reversed(row(7).items())), row(0, click=-0.0)]
    if in_store:
        take_in(home, jsonl(tmp_path / "first.jsonl", first))
    result = take_in(home, jsonl(tmp_path / "second.jsonl", again if in_store else [*first, *again]))
    assert (result.n_duplicate, result.n_quarantined) == (42, len(changed))
    reasons = read_quarantine(home, TASK)["reason"].to_pylist()
    assert sorted(int(reason.split("row-")[1].split(",")[0]) for reason in reasons) == PLACES
    assert len(accepted(home)) == 40


def test_a_column_of_another_type_is_a_conflict(tmp_path: Path) -> None:
    """Before the table could refuse the type: not a row of these is new."""
    home = Home(tmp_path)
    take_in(home, jsonl(tmp_path / "first.jsonl", rows(5)))
    columns = tuple(replace(c, logical_type="number") if c.name == "age" else c for c in CONTRACT.columns)
    changed = replace(CONTRACT, columns=columns)
    result = take_in(home, jsonl(tmp_path / "second.jsonl", [*rows(5), {}]), contract=changed)
    assert (result.n_accepted, result.n_duplicate, result.n_quarantined) == (0, 0, 6)


def test_lists_are_compared_number_by_number(tmp_path: Path) -> None:
    names = [c for c in CONTRACT.columns if c.name != "propensity"]
    contract = replace(CONTRACT, columns=(*names, Column("action_probabilities", "p", "array", ("reserved",))))
    home, uniform = Home(tmp_path), {"p": [0.25, 0.25, 0.5]}
    first = jsonl(tmp_path / "first.jsonl", [row(i, **uniform) for i in range(3)])
    take_in(home, first, contract=contract)
    lines = [row(0, **uniform), row(1, p=[0.25, 0.5, 0.25]), row(2, p=None)]
    result = take_in(home, jsonl(tmp_path / "second.jsonl", lines), contract=contract)
    assert (result.n_duplicate, result.n_quarantined) == (1, 2)


def test_rows_of_a_store_that_kept_digests_are_met_as_any_other(tmp_path: Path) -> None:
    """Its table has a column more, which is not read as one of the task's; new rows do without."""
    plain, home = Home(tmp_path / "plain"), Home(tmp_path / "earlier")
    take_in(plain, jsonl(tmp_path / "first.jsonl", rows(40)))
    schema = interaction_schema(own_types(CONTRACT))
    former = read_interactions(plain, TASK)
    former = former.append_column("row_digest", digests(former))
    batch_id = former["batch_id"][0].as_py()
    append(home, TASK, "interactions", former, batch_id=batch_id)
    result = take_in(home, jsonl(tmp_path / "second.jsonl", [*rows(50), row(3, age=90)]))
    assert (result.n_accepted, result.n_duplicate, result.n_quarantined) == (10, 40, 1)
    assert read_interactions(home, TASK).schema == schema
    assert accepted(plain) < accepted(home)
    assert read_json(home.root / MARKER)["format"] == FORMAT
