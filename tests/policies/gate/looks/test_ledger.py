"""The ledger: every look once, in order, with the rows it read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import Busy, IntegrityError
from data_contracts.home import Home
from policies.gate.looks.ledger import LookEntry, all_looks, looks_of, read_row_ids, record_look
from policies.gate.records import GateRows
from policies.gate.row_file import rows_to_parquet

MakeRows = Callable[..., GateRows]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def _record(home: Home, rows: GateRows, *, evidence_id: str, look: int, **changes: Any) -> LookEntry:
    facts: dict[str, Any] = {
        "challenger": 2,
        "champion": 1,
        "verdict": "hold",
        "actor": "test",
        "run_id": "run",
        "now": datetime(2026, 3, 1, tzinfo=UTC),
    }
    return record_look(home, "shop", rows=rows, evidence_id=evidence_id, look=look, **{**facts, **changes})


def test_looks_are_kept_in_order_by_challenger(home: Home, make_rows: MakeRows) -> None:
    first = _record(home, make_rows(5), evidence_id="a", look=1)
    _record(home, make_rows(4, start=5), evidence_id="b", look=1, challenger=3)
    second = _record(home, make_rows(3, start=9), evidence_id="c", look=2, verdict="promote")
    assert (first.n_rows, first.first_interaction_id, first.last_interaction_id) == (5, "row-000000", "row-000004")
    assert looks_of(home, "shop", 2) == [first, second]
    assert [entry.evidence_id for entry in all_looks(home, "shop")] == ["a", "b", "c"]
    assert [entry.index for entry in all_looks(home, "shop")] == [1, 2, 3]
    assert all_looks(home, "another") == []


def test_the_same_look_again_is_the_entry_that_is_there(home: Home, make_rows: MakeRows) -> None:
    first = _record(home, make_rows(5), evidence_id="a", look=1)
    again = _record(home, make_rows(5), evidence_id="a", look=1, now=datetime(2027, 1, 1, tzinfo=UTC))
    assert again == first
    assert len(all_looks(home, "shop")) == 1


@pytest.mark.parametrize("look", [1, 3])
def test_another_look_in_its_place_or_out_of_turn_is_busy(home: Home, make_rows: MakeRows, look: int) -> None:
    _record(home, make_rows(5), evidence_id="a", look=1)
    with pytest.raises(Busy, match=f"look {look} at version 2 of shop is not the next one"):
        _record(home, make_rows(6), evidence_id="b", look=look)
    assert len(all_looks(home, "shop")) == 1


def _store(home: Home, evidence_id: str, rows: GateRows) -> Path:
    folder = home.looks("shop") / evidence_id
    folder.mkdir(parents=True)
    (folder / "rows.parquet").write_bytes(rows_to_parquet(rows))
    return folder


def test_what_was_read_is_known_row_by_row(home: Home, make_rows: MakeRows) -> None:
    for look, (evidence_id, n) in enumerate({"a": 3, "b": 2}.items(), start=1):
        rows = make_rows(n, start=10 * look)
        _store(home, evidence_id, rows)
        _record(home, rows, evidence_id=evidence_id, look=look)
    assert read_row_ids(home, "shop", 2) == {"row-000010", "row-000011", "row-000012", "row-000020", "row-000021"}
    assert read_row_ids(home, "shop", 9) == set()


def test_other_rows_than_the_ledger_names_are_found(home: Home, make_rows: MakeRows) -> None:
    folder = _store(home, "a", make_rows(4))
    _record(home, make_rows(5), evidence_id="a", look=1)
    with pytest.raises(IntegrityError, match="other rows in"):
        read_row_ids(home, "shop", 2)
    (folder / "rows.parquet").unlink()
    with pytest.raises(IntegrityError, match="other rows in"):
        read_row_ids(home, "shop", 2)


def test_a_changed_entry_breaks_the_chain(home: Home, make_rows: MakeRows) -> None:
    for look, evidence_id in enumerate("ab", start=1):
        _record(home, make_rows(5, start=5 * look), evidence_id=evidence_id, look=look)
    path = home.ledger("shop") / "00000001.json"
    path.write_bytes(path.read_bytes().replace(b'"hold"', b'"promote"'))
    with pytest.raises(IntegrityError, match="damaged entry"):
        all_looks(home, "shop")
