"""Notes in the footers: what they say is what the columns hold, and they never say more than is known."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.column_notes import FOOTER, NOTHING, Note, all_null, from_footer, note, to_footer
from data_contracts.delta import write_files
from data_contracts.witnesses import as_table, stronger, witness

FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
TIME = pa.timestamp("us", tz="UTC")
DAY_2026 = 1_767_225_600_000_000  # microseconds from 1970 to 2026-01-01


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([2.0, None, -1.5]), Note(3, 1, -1.5, 2.0)),
        (pa.array([2.0, math.nan, 1.0]), Note(3, 0, order=False)),
        (pa.array([2.0, math.inf, -math.inf]), Note(3, 0, order=False)),
        (pa.array([1e308, 1e308]), Note(2, 0, order=False)),  # their sum overflows: nothing is claimed
        (pa.array([None, None], pa.float64()), Note(2, 2)),
        (pa.array([], pa.float64()), Note(0, 0)),
        (pa.array([3, 2**62, None]), Note(3, 1, 3, 2**62)),
        (pa.array([LAST, FIRST], TIME), Note(2, 0, DAY_2026, DAY_2026 + 86_400_000_000)),
        (pa.array(["a", None]), Note(2, 1, order=False)),
        (pa.array([True, False]), Note(2, 0, order=False)),
        (pa.array([[0.5], None], pa.list_(pa.float64())), Note(2, 1, order=False)),
    ],
)
def test_a_note_says_what_the_column_holds(column: pa.Array, expected: Note) -> None:
    assert note(column) == expected
    assert note(pa.chunked_array([column, column.slice(0, 0)])) == expected


def test_notes_of_parts_add_up_to_the_note_of_the_whole() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        values = [rng.choice([None, math.nan, 1.0, -2.0, 7.5], p=[0.3, 0.02, 0.28, 0.2, 0.2]) for _ in range(12)]
        whole, cut = pa.array(values, pa.float64()), int(rng.integers(0, 13))
        assert note(whole[:cut]).plus(note(whole[cut:])) == note(whole)
        assert NOTHING.plus(note(whole)) == note(whole)


def test_filling_nulls() -> None:
    assert Note(3, 1, 0.5, 2.0).filled(0.0) == Note(3, 0, 0.0, 2.0)
    assert Note(2, 2).filled(1.0) == Note(2, 0, 1.0, 1.0)
    assert Note(3, 0, 0.5, 2.0).filled(9.0) == Note(3, 0, 0.5, 2.0)
    assert Note(3, 1, 0.5, 2.0).filled(None) == Note(3, 1, 0.5, 2.0)


def test_a_file_carries_the_notes_of_all_its_rows(tmp_path: Path) -> None:
    table = pa.table({"x": [0.1, None, 3.0, math.nan], "n": [4, 5, 6, 7], "t": ["a", "b", None, "c"]})
    parts = pa.concat_tables([table[:2], table[2:]])
    [file] = write_files(tmp_path, parts, partition_by=None, stem="batch-0")
    metadata = pq.read_metadata(tmp_path / file.path)
    found = from_footer(metadata.metadata, n_rows=metadata.num_rows)
    assert found == {name: note(table[name]) for name in table.column_names}
    assert found["x"] == Note(4, 1, order=False)
    assert pq.read_table(tmp_path / file.path, columns=["n", "t"]).equals(table.select(["n", "t"]))


def test_the_footer_loses_no_digit_and_no_note() -> None:
    notes = {
        "x": Note(9, 1, 0.1 + 0.2, 1 / 3),
        "y": Note(9, 0, order=False),
        "z": all_null(9),
        "k": Note(9, 0, 1, 2**62),
    }
    entry = {key.encode(): value.encode() for key, value in to_footer(notes).items()}
    assert from_footer(entry, n_rows=9) == notes
    assert from_footer(None, n_rows=9) == from_footer({b"other": b"1"}, n_rows=9) == {}
    assert list(entry) == [FOOTER.encode()]


def test_witnesses_are_the_extremes_the_values_and_a_null() -> None:
    number, text, numbers = pa.float64(), pa.string(), pa.list_(pa.float64())
    known = witness(Note(5, 1, 0.5, 2.0), number, need="extremes")
    assert known is not None
    assert known.to_pylist() == [0.5, 2.0, None]
    moments = witness(Note(2, 0, DAY_2026, DAY_2026 + 86_400_000_000), TIME, need="extremes")
    assert moments is not None
    assert moments.to_pylist() == [FIRST, LAST]
    chosen = witness(Note(5, 1, order=False), text, need="values", values={"b", "a"})
    assert chosen is not None
    assert chosen.to_pylist() == ["a", "b", None]
    assert [w and w.to_pylist() for w in (witness(all_null(3), kind, need="values") for kind in (text, numbers))] == [
        [None],
        [None],
    ]
    there = witness(Note(5, 0, order=False), text, need="presence")
    assert there is not None
    assert there.null_count == 0


def test_what_is_not_known_has_no_witness() -> None:
    unordered = Note(5, 0, order=False)
    assert witness(unordered, pa.float64(), need="extremes") is None
    assert witness(unordered, pa.float64(), need="presence") is None
    assert witness(unordered, pa.string(), need="values") is None
    assert witness(Note(5, 0, 1.0, 2.0), pa.float64(), need="values") is None  # those between may be wrong
    assert witness(unordered, pa.list_(pa.float64()), need="values") is None


def test_witnesses_of_several_columns_stand_side_by_side() -> None:
    table = as_table({"a": pa.array([1, 2, 3]), "b": pa.array([None, "x"])})
    assert table.to_pydict() == {"a": [1, 2, 3], "b": [None, "x", None]}
    assert as_table({}).num_columns == 0
    assert stronger("presence", "extremes") == stronger("extremes", "presence") == "extremes"
