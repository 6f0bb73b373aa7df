"""Accounting (P1), exactly once (P2), and bad input of every kind."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from data_contracts.batches import count_accounting, read_batches
from data_contracts.contract import Column
from data_contracts.errors import Busy, InputError, UsageError
from data_contracts.home import Home
from data_contracts.ingest import ingest
from data_contracts.storage import sha256_bytes
from data_contracts.store import (
    read_interactions,
    read_outcomes,
    read_quarantine,
    table_version,
    verify_tables,
)
from tests.data_contracts.small_log import (
    ACTIONS,
    CONTRACT,
    NOW,
    TASK,
    Row,
    accepted,
    csv_file,
    jsonl,
    parquet,
    row,
    rows,
    take_in,
    with_garbage,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def reference(tmp_path: Path, n: int) -> set[tuple[str, str]]:
    home = Home(tmp_path / "reference")
    take_in(home, jsonl(tmp_path / "reference.jsonl", rows(n)))
    return accepted(home)


def test_every_line_is_accounted_for(home: Home, tmp_path: Path) -> None:
    told: list[int] = []
    path = jsonl(tmp_path / "log.jsonl", [*rows(10), row(3), row(4, age=99), "junk", ""])
    result = ingest(home, task=TASK, contract=CONTRACT, actions=ACTIONS, paths=[path], now=NOW, progress=told.append)
    assert (result.n_read, result.n_accepted, result.n_quarantined, result.n_duplicate) == (14, 10, 3, 1)
    assert result.reasons == {"blank line": 1, "broken JSON": 1, "conflicting payload": 1}
    assert [(f.name, f.sha256, f.n_read) for f in result.files] == [("log.jsonl", sha256_bytes(path.read_bytes()), 14)]
    assert sum(told) == 14
    assert not result.already_ingested
    assert result.table_version == table_version(home, TASK)
    (record,) = read_batches(home, TASK)
    assert (record.ingested_at, record.n_accepted, record.contract_version) == (NOW, 10, "1.2.0")
    assert verify_tables(home, TASK) == []


def test_the_same_batch_again_changes_nothing(home: Home, tmp_path: Path) -> None:
    paths = [jsonl(tmp_path / "a.jsonl", rows(10)), jsonl(tmp_path / "b.jsonl", [*rows(10, start=10), "junk"])]
    first = take_in(home, *paths)
    before = accepted(home)
    again = take_in(home, *reversed(paths))
    assert again.already_ingested
    assert again.batch_id == first.batch_id
    assert (again.n_read, again.n_duplicate, again.n_accepted) == (21, 21, 0)
    assert accepted(home) == before
    assert again.table_version == first.table_version
    assert read_quarantine(home, TASK).num_rows == 1


def test_a_file_of_an_earlier_batch_is_not_parsed_again(home: Home, tmp_path: Path) -> None:
    old, new = jsonl(tmp_path / "old.jsonl", [*rows(5), "junk"]), jsonl(tmp_path / "new.jsonl", rows(3, start=5))
    take_in(home, old)
    result = take_in(home, old, new)
    assert (result.n_read, result.n_accepted, result.n_quarantined, result.n_duplicate) == (9, 3, 0, 6)
    twice = take_in(home, new, new)
    assert (twice.n_read, twice.n_duplicate) == (6, 6)
    total = count_accounting(home, TASK)
    assert total.balanced
    assert (total.n_batches, total.n_read, total.n_accepted, total.n_quarantined) == (3, 21, 8, 1)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2])
@pytest.mark.parametrize("n_files", [1, 3])
def test_order_split_and_garbage_do_not_change_what_is_accepted(
    home: Home, tmp_path: Path, n_files: int, share: float
) -> None:
    expected = reference(tmp_path, 600)
    for seed in range(2):  # another order and another split of the same rows, into the same store
        items = rows(600)
        random.Random(seed).shuffle(items)
        mixed = with_garbage(items, share, seed)
        parts = [mixed[k::n_files] for k in range(n_files)]
        paths = [jsonl(tmp_path / f"{seed}-{k}.jsonl", part) for k, part in enumerate(parts)]
        result = take_in(home, *paths)
        assert result.n_read == len(mixed)
        assert result.n_quarantined == round(share * 600)
        assert (result.n_accepted, result.n_duplicate) == ((600, 0), (0, 600))[seed]
        assert accepted(home) == expected
    assert verify_tables(home, TASK) == []
    assert count_accounting(home, TASK).balanced


def test_the_same_rows_in_three_formats_are_the_same_rows(home: Home, tmp_path: Path) -> None:
    items = rows(50)
    take_in(home, jsonl(tmp_path / "log.jsonl", items))
    for path in (
        csv_file(tmp_path / "log.csv", items),
        csv_file(tmp_path / "log.csv.gz", items),
        parquet(tmp_path / "log.parquet", items),
        jsonl(tmp_path / "log.ndjson.gz", [dict(reversed(item.items())) for item in items]),
    ):
        result = take_in(home, path)
        assert (result.n_accepted, result.n_duplicate, result.n_quarantined) == (0, 50, 0)


def test_a_conflicting_payload_is_kept_aside_never_last_wins(home: Home, tmp_path: Path) -> None:
    first = take_in(home, jsonl(tmp_path / "a.jsonl", rows(3)))
    second = take_in(home, csv_file(tmp_path / "b.csv", [row(5), row(1, click=0.5), row(6), row(5, age=1)]))
    assert (second.n_accepted, second.n_quarantined) == (2, 2)
    stored = {r["interaction_id"]: r for r in read_interactions(home, TASK).to_pylist()}
    assert stored["row-1"]["reward"] == 1.0
    assert stored["row-5"]["age"] == 25
    lines = read_quarantine(home, TASK).sort_by("line").to_pylist()
    assert [line["reason"] for line in lines] == [
        f"conflicting payload for interaction_id row-1, first accepted in batch {first.batch_id}",
        f"conflicting payload for interaction_id row-5, first accepted in batch {second.batch_id}",
    ]
    data = (tmp_path / "b.csv").read_bytes()
    assert all(data[line["offset"] :].startswith(line["raw"]) for line in lines)
    assert [line["line"] for line in lines] == [3, 5]


def test_across_files_of_a_batch_the_first_file_wins(home: Home, tmp_path: Path) -> None:
    late, early = jsonl(tmp_path / "z.jsonl", [row(1, age=50)]), parquet(tmp_path / "a.parquet", [row(1, age=60)])
    assert take_in(home, late, early).n_quarantined == 1
    assert read_interactions(home, TASK)["age"].to_pylist() == [50]
    assert b'"age": 60' in read_quarantine(home, TASK)["raw"][0].as_py()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(1, p=0), "propensity 0.0: expected (0, 1]"),
        (row(1, p=1.7), "propensity 1.7: expected (0, 1]"),
        ({k: v for k, v in row(1).items() if k != "p"}, "propensity missing: expected a finite number (required)"),
        (json.dumps(row(1, click=float("nan"))), "reward nan: expected a finite number"),
        (row(1, time="2026-10-01T00:00:00"), "occurred_at 2026-10-01T00:00:00: expected an ISO 8601 timestamp"),
        (row(1, item=3), "action 3: expected one of the 3 declared actions"),
        ("{broken", "broken JSON"),
        (json.dumps(row(1)) * 2, "two objects on one line"),
    ],
)
def test_bad_lines_are_named_and_nothing_is_lost(home: Home, tmp_path: Path, bad: Row | str, reason: str) -> None:
    result = take_in(home, jsonl(tmp_path / "log.jsonl", [row(0), bad, row(2)]))
    assert (result.n_accepted, result.n_quarantined) == (2, 1)
    (line,) = read_quarantine(home, TASK).to_pylist()
    assert (line["file"], line["line"]) == ("log.jsonl", 2)
    assert line["reason"].startswith(reason)


def test_bad_files_leave_nothing_behind(home: Home, tmp_path: Path) -> None:
    good = jsonl(tmp_path / "good.jsonl", [*rows(5), "junk"])
    empty, header = tmp_path / "empty.jsonl", tmp_path / "header.csv"
    empty.touch()
    header.write_text("user,id\nu,1\n")
    half = jsonl(tmp_path / "half.jsonl.gz", rows(500))
    half.write_bytes(half.read_bytes()[:-20])
    no_propensity = csv_file(tmp_path / "p.csv", [{k: v for k, v in row(1).items() if k != "p"}])
    for bad in (empty, header, half, no_propensity, tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(InputError, match=bad.name):
            take_in(home, good, bad)
    assert table_version(home, TASK) is None
    assert table_version(home, TASK, "quarantine") is None
    assert read_batches(home, TASK) == []
    assert [p for p in home.batches(TASK).iterdir() if p.is_dir()] == []
    assert take_in(home, good).n_accepted == 5


def test_a_file_that_grows_while_it_is_read_is_refused(home: Home, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "log.jsonl", rows(5))

    def write_more(_: int) -> None:
        with path.open("a") as stream:
            stream.write("more")

    with pytest.raises(InputError, match="changed while it was read"):
        ingest(home, task=TASK, contract=CONTRACT, actions=ACTIONS, paths=[path], now=NOW, progress=write_more)
    assert table_version(home, TASK) is None


def test_a_batch_of_bad_lines_only_makes_no_table(home: Home, tmp_path: Path) -> None:
    result = take_in(home, jsonl(tmp_path / "log.jsonl", ["x", "y"]))
    assert (result.n_quarantined, result.table_version) == (2, None)
    assert take_in(home, jsonl(tmp_path / "log.jsonl", ["x", "y"])).already_ingested


def test_no_path_at_all_is_a_usage_error(home: Home) -> None:
    with pytest.raises(UsageError, match="no files to ingest"):
        take_in(home)


def test_one_ingest_of_a_task_at_a_time(home: Home, tmp_path: Path) -> None:
    path, other = jsonl(tmp_path / "a.jsonl", rows(5)), jsonl(tmp_path / "b.jsonl", rows(5))

    def meanwhile(_: int) -> None:
        with pytest.raises(Busy, match="expected no other ingest"):
            take_in(home, other)

    result = ingest(home, task=TASK, contract=CONTRACT, actions=ACTIONS, paths=[path], now=NOW, progress=meanwhile)
    assert result.n_accepted == 5


OUTCOME = {"interaction_id": "row-1", "value": 1.0, "observed_at": "2026-10-03T00:00:00+02:00"}


def test_outcomes_have_their_own_identity_and_day(home: Home, tmp_path: Path) -> None:
    first = jsonl(tmp_path / "a.jsonl", [OUTCOME, {**OUTCOME, "interaction_id": "orphan", "channel": "reward"}])
    result = take_in(home, first, kind="outcomes")
    assert (result.n_accepted, result.table_version) == (2, table_version(home, TASK, "outcomes"))
    table = read_outcomes(home, TASK).sort_by("interaction_id")
    assert table["channel"].to_pylist() == ["reward", "reward"]
    assert [day.isoformat() for day in table["day"].to_pylist()] == ["2026-10-02", "2026-10-02"]
    later = [OUTCOME, {**OUTCOME, "channel": "reward"}, {**OUTCOME, "value": 0.5}, {**OUTCOME, "channel": "visits"}]
    again = take_in(home, jsonl(tmp_path / "b.jsonl", later), kind="outcomes")
    assert (again.n_accepted, again.n_duplicate, again.n_quarantined) == (0, 2, 2)
    reasons = read_quarantine(home, TASK).sort_by("line")["reason"].to_pylist()
    assert reasons == [
        f"conflicting payload for interaction_id row-1 and channel reward, first accepted in batch {result.batch_id}",
        "channel visits: expected one of reward",
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": None}, "value missing"),
        ({"value": 2}, "value 2.0: expected [0, 1]"),  # bounds of column `reward`
        ({"observed_at": "2026-10-03"}, "observed_at 2026-10-03: expected an ISO 8601"),
        ({"interaction_id": None}, "interaction_id missing"),
        ({"reward": 1}, 'unknown key "reward"'),
    ],
)
def test_bad_outcomes(home: Home, tmp_path: Path, changes: Row, reason: str) -> None:
    result = take_in(home, jsonl(tmp_path / "a.jsonl", [{**OUTCOME, **changes}]), kind="outcomes")
    assert result.n_quarantined == 1
    assert read_quarantine(home, TASK)["reason"][0].as_py().startswith(reason)


def test_outcome_csv_and_declared_words(home: Home, tmp_path: Path) -> None:
    declared = (
        Column("interaction_id", "order", "string", ("reserved",), required=True),
        Column("value", "euros", "number", ("reserved",), required=True, minimum=0, maximum=500),
        Column("observed_at", "paid", "timestamp", ("reserved",), required=True),
    )
    contract = replace(CONTRACT, outcome_columns=declared)
    path = csv_file(tmp_path / "a.csv", [{"order": "a", "euros": 250, "paid": "2026-10-03T00:00:00Z"}])
    assert take_in(home, path, kind="outcomes", contract=contract).n_accepted == 1
    assert read_outcomes(home, TASK)["value"].to_pylist() == [250.0]


def test_interactions_and_outcomes_are_different_batches_of_one_file(home: Home, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [OUTCOME])
    assert take_in(home, path).n_quarantined == 1
    assert take_in(home, path, kind="outcomes").n_accepted == 1
    assert count_accounting(home, TASK, "outcomes").n_read == 1
