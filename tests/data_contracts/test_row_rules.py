"""Every rule refuses what breaks it, says so with value and expectation, and lets the border cases through."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from data_contracts.interactions import RESERVED, TIMESTAMP
from data_contracts.log_columns import columns_of, own_types
from data_contracts.row_digest import row_digests
from data_contracts.row_rules import broken_rows
from tests.data_contracts.small_log import ACTIONS, CONTRACT

COLUMNS = columns_of(CONTRACT, "interactions")
GOOD = {
    "interaction_id": "a",
    "unit_id": "u",
    "occurred_at": datetime(2026, 10, 1, tzinfo=UTC),
    "action": "1",
    "policy_version": "1",
    "propensity": 0.5,
    "reward": 1.0,
    "age": 30,
    "score": 0.5,
    "member": True,
    "country": "de",
}
DISTRIBUTION = [0.25, 0.5, 0.25]


def reasons(*rows: dict[str, object]) -> dict[int, str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    types = {**RESERVED, **own_types(CONTRACT)}
    table = pa.table({name: pa.array([row.get(name) for row in rows], types[name]) for name in names})
    return broken_rows(table, COLUMNS, actions=ACTIONS)


def changed(**values: object) -> dict[str, object]:
    return {**GOOD, **values}


def test_good_rows_and_border_values_break_nothing() -> None:
    border = changed(propensity=1.0, reward=0.0, age=120, score=None, sampling_rate=1.0, step=0)
    assert reasons(GOOD, border, changed(propensity=5e-324), changed(action_probabilities=DISTRIBUTION)) == {}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"propensity": 1.7}, "propensity 1.7: expected (0, 1]"),
        ({"propensity": 0.0}, "propensity 0.0: expected (0, 1]"),
        ({"propensity": -0.5}, "propensity -0.5: expected (0, 1]"),
        ({"propensity": float("nan")}, "propensity nan: expected a finite number"),
        ({"propensity": None}, "propensity missing: expected a finite number (required)"),
        ({"reward": float("nan")}, "reward nan: expected a finite number"),
        ({"reward": float("inf")}, "reward inf: expected a finite number"),
        ({"reward": 1.5}, "reward 1.5: expected [0, 1]"),
        ({"score": float("-inf")}, "score -inf: expected a finite number"),
        ({"action": "3"}, "action 3: expected one of the 3 declared actions"),
        ({"action": None}, "action missing: expected text or an integer (required)"),
        ({"age": 121}, "age 121: expected [0, 120]"),
        ({"country": "it"}, "country it: expected one of de, fr"),
        ({"interaction_id": ""}, "interaction_id : expected text (required), not empty"),
        ({"occurred_at": datetime(1969, 12, 31, tzinfo=UTC)}, "a year from 1970 to 2200"),
        ({"occurred_at": datetime(2201, 1, 1, tzinfo=UTC)}, "a year from 1970 to 2200"),
        ({"sampling_rate": 0.0}, "sampling_rate 0.0: expected (0, 1]"),
        ({"step": -1}, "step -1: expected 0 or more"),
        ({"action_probabilities": [0.5, 0.5]}, "expected 3 numbers, one per action"),
        ({"action_probabilities": [0.75, 0.5, -0.25]}, "expected each in [0, 1]"),
        ({"action_probabilities": [0.25, 0.5, None]}, "expected each in [0, 1]"),
        ({"action_probabilities": [0.25, 0.5, 0.26]}, "expected a sum of 1 within 1e-06"),
        ({"action_probabilities": [0.5, 0.25, 0.25]}, "expected the propensity at the logged action"),
    ],
)
def test_each_rule_names_value_and_expectation(values: dict[str, object], reason: str) -> None:
    found = reasons(GOOD, changed(**values), GOOD)
    assert list(found) == [1]
    assert reason in found[1]


def test_the_first_broken_rule_is_the_reason() -> None:
    assert reasons(changed(propensity=None, reward=7.0, action="9"))[0].startswith("propensity missing")
    assert reasons(changed(reward=7.0, action="9"))[0] == "reward 7.0: expected [0, 1]"


def test_a_required_column_that_no_row_has_breaks_every_row() -> None:
    rows = [{k: v for k, v in GOOD.items() if k != "propensity"}] * 2
    assert reasons(*rows) == dict.fromkeys((0, 1), "propensity missing: expected a finite number (required)")


def test_a_long_value_is_shown_in_part() -> None:
    assert len(reasons(changed(country="x" * 10_000))[0]) < 120


def test_digest_is_the_documented_form() -> None:
    """Worked out by hand from the module's table: count, heads by name, bodies."""
    moment = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    table = pa.table(
        {
            "t": pa.array([moment], TIMESTAMP),
            "s": ["hé"],
            "n": [-0.0],
            "i": pa.array([-2], pa.int64()),
            "b": [True],
            "l": pa.array([[0.5, -0.0]], pa.list_(pa.float64())),
            "z": pa.array([None], pa.string()),
        }
    )
    heads = [
        b"b\0b" + struct.pack("<Q", 1),
        b"i\0i" + struct.pack("<q", -2),
        b"l\0l" + struct.pack("<Q", 16),
        b"n\0d" + struct.pack("<d", 0.0),
        b"s\0s" + struct.pack("<Q", 3),
        b"t\0t" + struct.pack("<q", 1_000_000),
    ]
    form = struct.pack("<H", 6) + b"".join(heads) + struct.pack("<dd", 0.5, 0.0) + "hé".encode()
    assert row_digests(table, table.column_names).to_pylist() == [hashlib.sha256(form).hexdigest()]


def test_digest_depends_on_content_alone() -> None:
    table = pa.table(
        {"a": ["x", "y", None], "b": [1.0, None, 3.0], "c": pa.array([[1.0], None, []], pa.list_(pa.float64()))}
    )
    digests = row_digests(table, ["a", "b", "c"]).to_pylist()
    assert len(set(digests)) == 3
    assert row_digests(table.select(["c", "a", "b"]), ["b", "a", "c"]).to_pylist() == digests
    each = [row_digests(table.slice(i, 1), ["a", "b", "c"])[0].as_py() for i in range(3)]
    assert each == digests, "the other rows of a block change nothing"
    wider = table.append_column("later", pa.nulls(3, pa.float64()))
    assert row_digests(wider, wider.column_names).to_pylist() == digests, "a column without values changes nothing"


def test_digest_tells_alike_rows_apart() -> None:
    """Text may not slide from one column into its neighbour, nor null be an empty text."""
    table = pa.table({"a": ["xy", "x", "", None], "b": ["z", "yz", "xyz", "xyz"]})
    assert len(set(row_digests(table, ["a", "b"]).to_pylist())) == 4
