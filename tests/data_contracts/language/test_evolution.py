"""Rows of older contract versions read as today's contract says, and policies of yesterday on the rows of today."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from data_contracts.contract import Column, Contract, LogicalType, Reading, Retired
from data_contracts.errors import ConfigurationError, ContractViolation
from data_contracts.home import Home, create_home
from data_contracts.interactions import interaction_schema
from data_contracts.language.evolution import Unread, is_read_as_stored, read_as, stored_columns
from data_contracts.language.older_columns import read_back
from data_contracts.store import read_interactions
from tests.data_contracts import small_log

EXTRA, SEEN = ("extra",), ("observation",)
DAY = datetime(2026, 5, 1, tzinfo=UTC)
# Version 1 had grams and years; version 2 kilograms under a new name; version 3 the country, and whole years only.
STORED: dict[str, pa.DataType] = {
    "grams": pa.float64(),
    "kilos": pa.float64(),
    "years": pa.float64(),
    "age": pa.int64(),
    "country": pa.string(),
    "note": pa.string(),
}
V3 = replace(
    small_log.CONTRACT,
    id="parcels",
    version="3.1.0",
    path="parcels.odcs.yaml",
    columns=(
        Column(
            "kilos",
            "kilos",
            "number",
            SEEN,
            required=True,
            reads=(Reading(2, "expression", "grams / 1000"),),
        ),
        Column("age", "age", "integer", SEEN, required=True, reads=(Reading(3, "expression", "floor(years)"),)),
        Column("country", "land", "string", SEEN, required=True, reads=(Reading(3, "default", "de"),)),
        Column("note", "note", "string", EXTRA),
    ),
)


def rows(*cells: dict[str, object]) -> pa.Table:
    base = {"occurred_at": DAY, "unit_id": "u", "action": "0", "policy_version": "1", "day": DAY}
    made = [{"interaction_id": f"i{i}", **base, **cell} for i, cell in enumerate(cells)]
    return pa.Table.from_pylist(made, schema=interaction_schema(STORED))


MIXED = rows(
    {"contract_version": "3.0.0", "kilos": 1.0, "age": 30, "country": "fr", "note": "x"},
    {"contract_version": "1.0.0", "grams": 2500.0, "years": 41.9},
    {"contract_version": "2.7.1", "kilos": 3.0, "years": 17.0, "note": "y"},
    {"contract_version": "1.4", "grams": 500.0, "years": 18.0, "note": "z"},
    {"contract_version": None, "kilos": 4.0, "age": 50, "country": "de"},
)


def test_rows_of_every_version_in_one_form() -> None:
    read = read_as(MIXED, V3)
    own: dict[str, pa.DataType] = {
        "kilos": pa.float64(),
        "age": pa.int64(),
        "country": pa.string(),
        "note": pa.string(),
    }
    assert read.schema == interaction_schema(own)
    assert read["kilos"].to_pylist() == [1.0, 2.5, 3.0, 0.5, 4.0]  # from grams before 2.0.0 only
    assert read["age"].to_pylist() == [30, 41, 17, 18, 50]  # from years before 3.0.0, also of version 1
    assert read["country"].to_pylist() == ["fr", "de", "de", "de", "de"]
    assert read["note"].to_pylist() == ["x", None, "y", "z", None]
    assert read["interaction_id"].to_pylist() == MIXED["interaction_id"].to_pylist()
    assert read["contract_version"].to_pylist() == ["3.0.0", "3.1.0", "3.1.0", "3.1.0", None]


def test_reading_twice_changes_nothing() -> None:
    once = read_as(MIXED, V3)
    assert read_as(once, V3).equals(once)


def test_any_part_of_the_rows_reads_the_same() -> None:
    whole = read_as(MIXED, V3)
    parts = [read_as(MIXED.slice(i, 1), V3) for i in range(MIXED.num_rows)]
    assert pa.concat_tables(parts).equals(whole)
    needed = stored_columns(V3, ["kilos"])
    assert needed == {"kilos", "grams", "contract_version", "interaction_id"}
    some = read_as(MIXED.select(sorted(needed)), V3, columns=["kilos"])
    assert some.column_names == ["kilos"]
    assert some["kilos"].equals(whole["kilos"])


def test_the_current_version_needs_no_reading() -> None:
    assert is_read_as_stored({"3.0.0", "3.9"}, V3)
    assert not is_read_as_stored({"3.0.0", "2.9.9"}, V3)
    assert not is_read_as_stored({"unknown"}, V3)


def test_what_cannot_be_read_is_counted_and_named() -> None:
    broken = rows(
        {"contract_version": "1.0.0", "years": 20.0},  # no grams
        {"contract_version": "1.0.0", "grams": 1.0},  # no years
        {"contract_version": "2.0.0", "kilos": 1.0, "years": 20.5},
        {"contract_version": "2.0.0", "years": 20.0},  # no kilos
    )
    with pytest.raises(ContractViolation, match=r"kilos in 1 of 2 rows of major version 1 \(i0\)") as error:
        read_as(broken, V3)
    assert error.value.fields["unread"] == [
        Unread("kilos", 1, 1, 2, ("i0",)),
        Unread("age", 1, 1, 2, ("i1",)),
        Unread("kilos", 2, 1, 2, ("i3",)),
    ]


def changed(column: Column) -> Contract:
    return replace(V3, columns=(column,))


@pytest.mark.parametrize(
    ("expression", "logical_type", "n_unread"),
    [
        ("years", "integer", 1),  # 41.9 is not whole
        ("1 / (years - 18)", "number", 0),  # null where years = 18, and the column may be null
        ("years * 1e308", "number", 3),  # not finite
    ],
)
def test_values_that_do_not_fit_are_no_silent_null(expression: str, logical_type: LogicalType, n_unread: int) -> None:
    contract = changed(Column("t", "t", logical_type, EXTRA, reads=(Reading(3, "expression", expression),)))
    if not n_unread:
        assert read_as(MIXED, contract)["t"].null_count == 3  # and the two rows of version 3 have none
        return
    with pytest.raises(ContractViolation) as error:
        read_as(MIXED, contract)
    unread = error.value.fields["unread"]
    assert isinstance(unread, list)
    assert sum(u.n_rows for u in unread) == n_unread


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(3, "rename", "gramms"), "did you mean 'grams'"),
        (Reading(3, "rename", "note"), "a value of type number, got string"),
        (Reading(3, "expression", "years + note"), "two numbers"),
        (Reading(3, "expression", "age * 999999999999999999 * 999999999999999999"), "integer|overflow"),
    ],
)
def test_a_reading_that_does_not_fit_the_rows_is_an_error(reading: Reading, words: str) -> None:
    filled = MIXED.set_column(MIXED.column_names.index("age"), "age", pa.array([30] * 5))
    with pytest.raises(ConfigurationError, match=words):
        read_as(filled, changed(Column("t", "t", "number", EXTRA, reads=(reading,))))


@pytest.mark.parametrize("version", ["4.0.0", "2026-05", "x"])
def test_rows_of_a_newer_contract_are_refused(version: str) -> None:
    with pytest.raises(ConfigurationError, match=r"expected 3\.1\.0 or older"):
        read_as(rows({"contract_version": version, "kilos": 1.0}), V3)


def test_the_nearest_declared_version_counts() -> None:
    column = Column("t", "t", "string", EXTRA, reads=(Reading(3, "default", "two"), Reading(2, "default", "one")))
    assert read_as(MIXED, changed(column))["t"].to_pylist() == [None, "one", "two", "one", None]


def test_a_name_may_come_back_with_another_meaning() -> None:
    """Version 3 calls `years` what version 2 called `age`, and the other way round."""
    swapped = replace(
        V3,
        columns=(
            Column("years", "years", "number", EXTRA, reads=(Reading(3, "rename", "age"),)),
            Column("age", "age", "integer", EXTRA, reads=(Reading(3, "expression", "round(years)"),)),
        ),
    )
    read = read_as(rows({"contract_version": "2.0.0", "age": 7, "years": 2.0}), swapped)
    assert (read["years"].to_pylist(), read["age"].to_pylist()) == ([7.0], [2])


def test_lists_and_times_and_truths_may_be_renamed() -> None:
    contract = changed(Column("seen_at", "s", "timestamp", EXTRA, reads=(Reading(3, "rename", "occurred_at"),)))
    assert read_as(MIXED, contract)["seen_at"].to_pylist() == [None, DAY, DAY, DAY, None]
    ended = changed(Column("ended", "e", "boolean", EXTRA, reads=(Reading(3, "expression", "is_null(note)"),)))
    assert read_as(MIXED, ended)["ended"].to_pylist() == [None, True, False, False, None]


BACK = replace(V3, retired=(Retired("grams", "number", 2, "kilos * 1000"),))


def test_a_policy_of_yesterday_reads_the_rows_of_today() -> None:
    today = read_as(MIXED, BACK)
    first = read_back(today, BACK, columns={"grams": "number"}, version="1.2.0")
    assert first["grams"].to_pylist() == [1000.0, 2500.0, 3000.0, 500.0, 4000.0]
    renamed = changed(Column("remark", "r", "string", EXTRA, reads=(Reading(3, "rename", "note"),)))
    second = read_back(read_as(MIXED, renamed), renamed, columns={"note": "string"}, version="2.0.0")
    assert second["note"].to_pylist() == [None, None, "y", "z", None]
    assert read_back(today, BACK, columns={"kilos": "number"}, version="3.0.0").column_names == ["kilos"]
    assert read_back(today, BACK, columns={"kilos": "number"}, version="2.0.0")["kilos"].equals(today["kilos"])


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("grams", "2.0.0", "expected a way to read it"),  # version 2 had none: its policies cannot know it
        ("years", "2.0.0", "expected a way to read it"),
        ("kilos", "1.0.0", "expected a way to read it"),  # version 1 had none under this name and meaning
        ("kilos", "4.0.0", "expected a way to read it"),
    ],
)
def test_a_column_that_is_lost_is_an_error(name: str, version: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_back(read_as(MIXED, BACK), BACK, columns={name: "number"}, version=version)


def test_a_log_that_changed_its_schema_is_one_history(tmp_path: Path) -> None:
    """Real store: 40 rows under 1.2.0, 40 under 2.0.0 with `score` in percent and `member` renamed."""
    home: Home = create_home({}, tmp_path)
    small_log.take_in(home, small_log.jsonl(tmp_path / "old.jsonl", small_log.rows(40)))
    columns = [c for c in small_log.CONTRACT.columns if c.name not in ("member", "score")]
    new = replace(
        small_log.CONTRACT,
        version="2.0.0",
        columns=(
            *columns,
            Column("percent", "percent", "number", SEEN, reads=(Reading(2, "expression", "score * 100"),)),
            Column("is_member", "member", "boolean", SEEN, required=True, reads=(Reading(2, "rename", "member"),)),
        ),
    )
    later = []
    for i in range(40, 80):
        row = small_log.row(i)
        score = row.pop("score")
        later.append({**row, "percent": None if score is None else 100 * float(str(score))})
    small_log.take_in(home, small_log.jsonl(tmp_path / "new.jsonl", later), contract=new)
    stored = read_interactions(home, small_log.TASK)
    assert "score" in stored.column_names
    read = read_as(stored, new).sort_by("occurred_at")
    assert read["percent"].to_pylist() == [None if i % 5 == 0 else 12.5 * i for i in range(80)]
    assert read["is_member"].to_pylist() == [i % 2 == 0 for i in range(80)]
