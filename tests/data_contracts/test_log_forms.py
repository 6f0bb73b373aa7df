"""What a log may write in its own way: numbers for names, true for 1, local times, and columns that it lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract, Fill
from data_contracts.home import Home
from data_contracts.ingest import IngestResult, ingest
from data_contracts.store import read_interactions
from tests.data_contracts.small_log import ACTIONS, CONTRACT, NOW, TASK, Row, digests, row, rows

FORMATS = ("jsonl", "csv", "parquet")


def contract(**changed: dict[str, Any]) -> Contract:
    """The small contract with some columns changed."""
    columns = tuple(replace(c, **changed[c.name]) if c.name in changed else c for c in CONTRACT.columns)
    return replace(CONTRACT, columns=columns)


def write(folder: Path, lines: list[Row], kind: str) -> Path:
    path = folder / f"log.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    elif kind == "parquet":
        moments = [datetime.fromisoformat(str(line["time"])) for line in lines]
        pq.write_table(
            pa.Table.from_pylist([{**line, "time": at} for line, at in zip(lines, moments, strict=True)]), path
        )
    else:
        words = [c.source_name for c in CONTRACT.columns if c.source_name in lines[0]]
        texts = [["" if line[w] is None else str(line[w]) for w in words] for line in lines]
        path.write_text("\n".join(",".join(cells) for cells in [words, *texts]) + "\n")
    return path


def take_in(home: Home, path: Path, under: Contract) -> IngestResult:
    return ingest(home, task=TASK, contract=under, actions=ACTIONS, paths=[path], now=NOW)


def stored(home: Home) -> list[dict[str, Any]]:
    rows = read_interactions(home, TASK)
    rows = rows.append_column("digest", digests(rows))
    return sorted(rows.to_pylist(), key=lambda r: str(r["interaction_id"]))


def test_the_same_rows_whichever_way_they_are_written(tmp_path: Path) -> None:
    """Also their digests, so that a row counts once even when the log changes its ways."""
    plain = [row(i, id=str(i), user=str(i % 7)) for i in range(20)]
    take_in(Home(tmp_path / "plain"), write(tmp_path, plain, "jsonl"), CONTRACT)
    wanted = [(r["interaction_id"], r["reward"], r["digest"]) for r in stored(Home(tmp_path / "plain"))]
    other = [{**line, "id": i, "user": i % 7, "click": i % 2 == 1} for i, line in enumerate(plain)]
    changed = contract(
        interaction_id={"logical_type": "integer"},
        unit_id={"logical_type": "integer"},
        reward={"logical_type": "boolean"},
    )
    for kind in FORMATS:
        home = Home(tmp_path / kind)
        assert take_in(home, write(tmp_path, other, kind), changed).n_accepted == 20
        assert [(r["interaction_id"], r["reward"], r["digest"]) for r in stored(home)] == wanted


@pytest.mark.parametrize(("word", "value"), [("id", 7), ("user", 7), ("click", True)])
def test_what_the_contract_does_not_say_is_refused(tmp_path: Path, word: str, value: object) -> None:
    lines = [row(0), row(1, **{word: value})]
    result = take_in(Home(tmp_path), write(tmp_path, lines, "jsonl"), CONTRACT)
    assert (result.n_accepted, result.n_quarantined) == (1, 1)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("zone", "utc"),
    [
        ("UTC", "2026-10-25T02:30:00"),
        ("Europe/Paris", "2026-10-25T00:30:00"),  # shown twice that night: the earlier one, still in summer time
        ("Asia/Kolkata", "2026-10-24T21:00:00"),
    ],
)
def test_times_without_an_offset_are_of_the_declared_zone(tmp_path: Path, kind: str, zone: str, utc: str) -> None:
    lines = [row(i, time="2026-10-25T02:30:00") for i in range(2)]
    if kind != "parquet":
        lines[1]["time"] = "2026-10-25T02:30:00-01:00"  # an offset in the log wins
    path = write(tmp_path, lines, kind)
    assert take_in(Home(tmp_path / "home"), path, contract(occurred_at={"zone": zone})).n_accepted == 2
    first, second = (r["occurred_at"] for r in stored(Home(tmp_path / "home")))
    assert first == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert second == (first if kind == "parquet" else datetime(2026, 10, 25, 3, 30, tzinfo=UTC))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_column_that_the_log_lacks_is_filled(tmp_path: Path, kind: str) -> None:
    filled = contract(
        interaction_id={"fill": Fill("digest", "row")},
        unit_id={"fill": Fill("copy", "interaction_id")},
        policy_version={"fill": Fill("constant", "logger")},
    )
    lines = [{k: v for k, v in line.items() if k not in ("id", "user", "policy")} for line in rows(10)]
    home = Home(tmp_path / "home")
    assert take_in(home, write(tmp_path, [*lines, lines[0]], kind), filled).n_accepted == 10  # equal rows count once
    found = stored(home)
    assert {r["policy_version"] for r in found} == {"logger"}
    assert [r["unit_id"] for r in found] == [r["interaction_id"] for r in found]
    again = take_in(home, write(tmp_path, lines[3:8], kind), filled)
    assert (again.n_accepted, again.n_duplicate) == (0, 5)


def test_a_value_in_the_log_is_not_overwritten(tmp_path: Path) -> None:
    lines = [row(0), row(1, user=None)]
    take_in(Home(tmp_path), write(tmp_path, lines, "jsonl"), contract(unit_id={"fill": Fill("constant", "nobody")}))
    assert [r["unit_id"] for r in stored(Home(tmp_path))] == ["user-0", "nobody"]


def test_rows_of_another_major_version_are_refused(tmp_path: Path) -> None:
    lines = [{**row(i), "contract_version": version} for i, version in enumerate(["1.0.0", "1", "2.0.0", "12.1.0"])]
    result = take_in(Home(tmp_path), write(tmp_path, lines, "jsonl"), CONTRACT)
    assert (result.n_accepted, result.n_quarantined) == (2, 2)
    assert "contract_version" in next(iter(result.reasons))
