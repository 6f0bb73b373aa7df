"""Rows in chunks and as SQL: the same rows as those read at once, and nothing but the rows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from data_contracts import store
from data_contracts.errors import IntegrityError
from data_contracts.expectations import row_expectations
from data_contracts.findings import Finding, measure_expectations
from data_contracts.home import Home
from data_contracts.ingest import ingest
from data_contracts.rewards.outcomes import RewardSettings, attach_rewards
from data_contracts.row_source import RELATION, StoredRows, TableRows
from tests.data_contracts.small_log import ACTIONS, CONTRACT, NOW, START, TASK, Row, jsonl, row, take_in

DAY = timedelta(days=1)
AS_OF = START + 2 * DAY
REWARD = RewardSettings(attribution_window=DAY, default=0.0)


def log(n: int = 300) -> list[Row]:
    """17 minutes apart, so 300 rows are three and a half days."""
    return [row(i) for i in range(n)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "my store[1] é")
    take_in(home, jsonl(tmp_path / "a.jsonl", log()[:200]))
    take_in(home, jsonl(tmp_path / "b.jsonl", log()[200:]))
    return home


def at_once(home: Home, reward: RewardSettings = REWARD) -> pa.Table:
    """The same rows by the plain path: everything in memory."""
    rows = store.read_interactions(home, TASK)
    visible = rows.filter(pa.array([moment <= AS_OF for moment in rows["occurred_at"].to_pylist()]))
    return attach_rewards(visible, store.read_outcomes(home, TASK), reward=reward, as_of=AS_OF).table


def by_id(rows: pa.Table) -> list[dict[str, object]]:
    return sorted(rows.to_pylist(), key=lambda r: str(r["interaction_id"]))


def with_outcomes(home: Home, folder: Path) -> None:
    lines = [
        {
            "interaction_id": f"row-{i}",
            "value": 1.0,
            "observed_at": (START + timedelta(minutes=17 * i + 60)).isoformat(),
        }
        for i in range(0, 300, 3)
    ]
    path = jsonl(folder / "outcomes.jsonl", lines)
    ingest(home, task=TASK, contract=CONTRACT, actions=ACTIONS, paths=[path], kind="outcomes", now=NOW)


@pytest.mark.parametrize("outcomes", [False, True])
def test_chunks_are_the_rows(home: Home, tmp_path: Path, outcomes: bool) -> None:
    if outcomes:
        with_outcomes(home, tmp_path)
    rows = StoredRows(home, TASK, CONTRACT, REWARD, AS_OF)
    chunks = list(rows.chunks())
    assert len(chunks) > 1
    assert all(chunk.schema.names == rows.schema.names for chunk in chunks)
    assert by_id(pa.concat_tables(chunks)) == by_id(at_once(home).select(rows.schema.names))
    assert pa.concat_tables(rows.chunks(["action", "matured"])).column_names == ["action", "matured"]


@pytest.mark.parametrize("outcomes", [False, True])
def test_sql_sees_the_same_rows(home: Home, tmp_path: Path, outcomes: bool) -> None:
    if outcomes:
        with_outcomes(home, tmp_path)
    query = f"select interaction_id, matured, reward, action from {RELATION} order by interaction_id"
    rows = StoredRows(home, TASK, CONTRACT, REWARD, AS_OF)
    found = []
    for source in (rows, TableRows(at_once(home))):
        with source.connect() as connection:
            for _ in range(2):  # a relation is made anew for every query
                source.register(connection, ["action"])
                found.append(connection.execute(query).fetchall())
    assert found[0] == found[1] == found[2] == found[3]
    assert {type(reward) for _, matured, reward, _ in found[0] if matured} == {float}
    assert {reward for _, matured, reward, _ in found[0] if not matured} == {None}


def test_findings_do_not_depend_on_the_path(home: Home, tmp_path: Path) -> None:
    bad = [row(i, age=500 if i == 350 else 30) for i in range(300, 400)]
    loose = [c if c.name != "age" else type(c)("age", "age", "integer", ("observation",)) for c in CONTRACT.columns]
    wide = type(CONTRACT)(**{**{f: getattr(CONTRACT, f) for f in CONTRACT.__slots__}, "columns": tuple(loose)})
    ingest(home, task=TASK, contract=wide, actions=ACTIONS, paths=[jsonl(tmp_path / "c.jsonl", bad)], now=NOW)

    def measure() -> tuple[Finding, ...]:
        rows = StoredRows(home, TASK, CONTRACT, REWARD, START + 10 * DAY)
        return measure_expectations(rows, row_expectations(CONTRACT, actions=ACTIONS, as_of=NOW))[1]

    by_files = measure()
    with_outcomes(home, tmp_path)
    by_stream = measure()
    broken = [f for f in by_files if f.value]
    assert [(f.expectation.rule, f.value, f.examples) for f in broken] == [("range", 1.0, ("row-350",))]
    assert [(f.value, f.examples) for f in by_stream] == [(f.value, f.examples) for f in by_files]


def test_changed_bytes_are_noticed_on_every_path(home: Home) -> None:
    victim = store.checked_files(home, TASK)[0]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    rows = StoredRows(home, TASK, CONTRACT, REWARD, AS_OF)
    with pytest.raises(IntegrityError, match=victim.name):
        list(rows.chunks(["action"]))
    with pytest.raises(IntegrityError, match=victim.name), rows.connect() as connection:
        rows.register(connection, ["action"])


def test_sql_reaches_no_other_file(home: Home, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("secret\n1\n")
    for source in (StoredRows(home, TASK, CONTRACT, REWARD, AS_OF), TableRows(at_once(home))):
        with source.connect() as connection, pytest.raises(duckdb.PermissionException):
            connection.execute(f"select * from read_csv('{other}')")
