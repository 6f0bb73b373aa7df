"""Every line that was not accepted is kept as it came, with its place and a reason that can be counted."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from data_contracts.home import Home
from data_contracts.quarantine import list_rows, reason_class, summarize
from data_contracts.store import read_quarantine
from tests.data_contracts.small_log import NOW, TASK, Row, csv_file, jsonl, parquet, row, rows, take_in


def test_raw_bytes_and_place_are_kept(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    bad = b'{"id": "\xff\x00"}'
    path = jsonl(tmp_path / "log.jsonl", [*rows(2), bad, row(3, p=0)])
    result = take_in(home, path)
    first, second = sorted(read_quarantine(home, TASK).to_pylist(), key=lambda r: r["line"])
    data = path.read_bytes()
    for line in (first, second):
        assert data[line["offset"] :].startswith(line["raw"] + b"\n")
        assert line["file"] == "log.jsonl"
        assert line["file_sha256"] == hashlib.sha256(data).hexdigest()
        assert line["batch_id"] == result.batch_id
        assert line["kind"] == "interactions"
        assert line["quarantined_at"] == NOW
    assert (first["line"], first["raw"]) == (3, bad)
    assert (second["line"], second["reason"]) == (4, "propensity 0.0: expected (0, 1]")


def test_a_csv_line_keeps_its_physical_number(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    take_in(home, csv_file(tmp_path / "log.csv", [row(0), row(1, age=500), row(2)], extra=["", '"half']))
    assert [(r["line"], r["raw"]) for r in read_quarantine(home, TASK).sort_by("line").to_pylist()] == [
        (3, b"row-1,user-1,2026-10-01T00:17:00+00:00,1,1,0.5,1.0,500,0.125,false,de"),
        (5, b""),
        (6, b'"half'),
    ]


def test_a_parquet_row_is_kept_as_json(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    take_in(home, parquet(tmp_path / "log.parquet", [row(0), row(1, p=1.7)]))
    (line,) = read_quarantine(home, TASK).to_pylist()
    assert (line["line"], line["offset"]) == (2, -1)
    assert json.loads(line["raw"])["p"] == 1.7
    assert json.loads(line["raw"])["id"] == "row-1"
    assert json.loads(line["raw"])["time"].startswith("2026-10-01 00:17:00")


def test_equal_mistakes_count_as_one_class(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    bad: list[Row | str] = [
        *(row(i, p=1.5 + i) for i in range(3)),
        row(4, country="a: expected b"),
        "{",
        "{1",
        "",
        row(5, x=1),
    ]
    result = take_in(home, jsonl(tmp_path / "log.jsonl", [*bad, row(6)]))
    expected = {
        "propensity: expected (0, 1]": 3,
        "broken JSON": 2,
        "blank line": 1,
        "country: expected one of de, fr": 1,
        "unknown key": 1,
    }
    assert result.reasons == expected
    assert dict(summarize(home, TASK)) == expected
    assert summarize(home, TASK)[0] == ("propensity: expected (0, 1]", 3)


def test_list_rows_is_bounded_and_in_order(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    take_in(home, jsonl(tmp_path / "log.jsonl", ["x"] * 30))
    assert list_rows(home, TASK, 5)["line"].to_pylist() == [1, 2, 3, 4, 5]
    assert list_rows(home, TASK).num_rows == 20


def test_conflicts_are_one_class_whatever_the_id() -> None:
    first = "conflicting payload for interaction_id a: expected 1, first accepted in batch 0123"
    assert reason_class(first) == reason_class("conflicting payload for interaction_id b, first accepted in batch 9")
