"""After an erasure no byte under the home holds the unit's id or rows, later rows of it are refused, P1 still holds."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.amendments import erasure, table_changes
from data_contracts.amendments.erased_folder import MARKER, read_erased
from data_contracts.amendments.erasure import Erasure, erase, erased_snapshots, erasure_problems, plan_of, read_erasures
from data_contracts.amendments.found_unit import Found, find_unit
from data_contracts.amendments.subject import Subject
from data_contracts.amendments.tombstones import candidates, hasher, read_stones, read_tombstones
from data_contracts.batches import count_accounting, read_batches
from data_contracts.delta import open_table
from data_contracts.errors import IntegrityError, SluiceError, StoreError, UsageError
from data_contracts.home import Home
from data_contracts.ingest import IngestResult, ingest, ingest_lock
from data_contracts.log_columns import Kind
from data_contracts.rewards.outcomes import RewardSettings
from data_contracts.snapshot import build_snapshot, load_snapshot, verify_snapshots
from data_contracts.splits import SplitSettings
from data_contracts.storage import append_chain, read_chain, write_atomic
from data_contracts.store import read_interactions, read_outcomes, read_quarantine, verify_tables
from tests.data_contracts.amendments.corrected_log import balance, readmitted, supersede
from tests.data_contracts.small_log import (
    ACTIONS,
    CONTRACT,
    NOW,
    TASK,
    Row,
    csv_file,
    jsonl,
    parquet,
    row,
    rows,
    take_in,
)

ROOT = Path(__file__).parents[3]
UNIT = "user-3"
MINE = [f"row-{i}" for i in range(3, 300, 7)]  # as small_log.row gives units
EXTRA = [
    "row-9001",
    "row-9002",
    "row-9003",
    "row-9005",
    "row-9010",
]  # from lines that were never accepted, and an old batch


def outcome(i: int | str, **changes: object) -> Row:
    return {"interaction_id": f"row-{i}", "value": 1.0, "observed_at": "2026-10-30T00:00:00Z", **changes}


def full_store(home: Home, folder: Path) -> None:
    """Every kind of place where a unit's rows, or its ids, come to lie."""
    take_in(
        home, jsonl(folder / "a.jsonl", [*rows(200), row(9001, user=UNIT, p=0), '{"id": "row-9002", "user": "user-3'])
    )
    take_in(
        home,
        csv_file(folder / "b.csv", [row(i, age=500 if i == 206 else 33) for i in range(200, 250)], extra=["x,user-3"]),
    )
    take_in(
        home, parquet(folder / "user-3.parquet", [*rows(50, start=250), row(9003, user=UNIT, age=500), row(9004, p=2)])
    )
    wrong = take_in(home, jsonl(folder / "wrong.jsonl", [row(9005, user=UNIT), row(9006), row(9007, user=UNIT)]))
    supersede(home, wrong.batch_id, jsonl(folder / "right.jsonl", [row(9006, age=40), row(9007, user="user-4")]))
    take_in(home, jsonl(folder / "o.jsonl", [*map(outcome, range(40)), outcome(10, value=7.0)]), kind="outcomes")
    build_snapshot(
        home,
        task=TASK,
        contract=CONTRACT,
        reward=RewardSettings(),
        split=SplitSettings(),
        evaluable_versions=None,
        as_of=None,
        now=NOW,
    )
    act = [{"interaction_id": "row-9010", "unit_id": UNIT}, {"interaction_id": "row-9011", "unit_id": "user-4"}]
    write_atomic(home.served(TASK) / "log.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in act))
    note = {"error": f"rows of {UNIT} (row-10) are odd", "n": 10, "unit": UNIT, "other": "row-100 user-34"}
    write_atomic(home.runs(TASK) / "run" / "run.json", json.dumps(note).encode())
    write_atomic(home.runs(TASK) / "run" / "report.html", b"<p>row-3, row-30 &amp; user-3</p>")
    for k in range(3):
        append_chain(home.alerts / "events", lambda entries, k=k: {"finding": f"row-{k + 9} of user-{k + 2}"})
    np.save(_folder(home.training(TASK) / "key" / "columns") / "reward.npy", np.ones(3))
    write_atomic(home.data_docs(TASK) / "index.html", b"<td>user-3</td>")
    stray = home.table(TASK, "interactions") / "day=2026-10-01" / "stray.parquet"
    pq.write_table(pa.table({"unit_id": [UNIT], "interaction_id": ["row-3"]}), stray)
    (stray.parent / ".tmp-0123").write_bytes(b"user-3")


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def find(home: Home, unit: str = UNIT) -> Found:
    return find_unit(home, TASK, unit, CONTRACT)


def erased(home: Home, unit: str = UNIT, reason: str | None = "request 1") -> Erasure:
    with ingest_lock(home, TASK):
        found = find(home, unit)
        return erase(home, TASK, found, plan_of(found, policies=(2,)), reason=reason, actor="tester", now=NOW)


def texts(home: Home) -> Iterator[tuple[Path, str]]:
    """Every file as text: Parquet by its cells, the rest by its bytes; names count too."""
    for path in home.root.rglob("*"):
        if path.is_file():
            yield path, str(path.relative_to(home.root))
            if path.suffix == ".parquet" and "_delta_log" not in path.parts:
                yield path, str(pq.read_table(path, partitioning=None).to_pylist())
            else:
                yield path, path.read_bytes().decode("utf-8", "replace")


def holders(home: Home, *ids: str) -> set[str]:
    """Files with one of the ids as a word: an implementation of its own, which knows nothing of the erasure's."""
    words = re.compile(r"(?<![A-Za-z0-9_-])(?:" + "|".join(map(re.escape, ids)) + r")(?![A-Za-z0-9_-])")
    return {path.name for path, text in texts(home) if words.search(text)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    full_store(Home(folder / "home"), folder)
    return folder / "home"


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    shutil.copytree(made, tmp_path / "home")
    return Home(tmp_path / "home")


def deliver(home: Home, path: Path, kind: Kind = "interactions") -> IngestResult:
    result = ingest(home, task=TASK, contract=CONTRACT, actions=ACTIONS, paths=[path], kind=kind, now=NOW)
    assert result.n_read == result.n_accepted + result.n_quarantined + result.n_duplicate + result.n_erased
    return result


def test_no_byte_of_the_unit_is_left_and_every_other_row_is(home: Home) -> None:
    before = {r["interaction_id"]: r["unit_id"] for r in read_interactions(home, TASK).to_pylist()}
    assert holders(home, UNIT, *MINE, *EXTRA) >= {"log.jsonl", "run.json", "report.html", "index.html", ".tmp-0123"}
    result = erased(home)
    assert holders(home, UNIT, *MINE, *EXTRA) == set()
    after = {r["interaction_id"]: r["unit_id"] for r in read_interactions(home, TASK).to_pylist()}
    assert after == {i: unit for i, unit in before.items() if unit != UNIT}
    assert after["row-9007"] == "user-4", "a row that was corrected to another unit stays that unit's"
    assert {i for i in read_outcomes(home, TASK)["interaction_id"].to_pylist() if i in MINE} == set()
    # 43 of rows 0..299 less row 206, which is in quarantine
    assert (result.plan.n_interactions, result.plan.n_outcomes) == (42, 6)
    assert result.plan.n_quarantined == 6, "two JSON lines, two CSV lines, one Parquet row, one conflicting outcome"
    assert holders(home, "row-100", "row-30", "user-34", "row-9011"), "ids that only look alike stay"


def test_accounting_and_every_hash_still_hold(home: Home) -> None:
    before = balance(home)
    result = erased(home)
    after = balance(home)
    assert after.n_read == before.n_read
    assert after.n_erased == result.plan.n_interactions + result.plan.n_outcomes + result.plan.n_quarantined
    assert verify_tables(home, TASK) == []
    assert verify_snapshots(home, TASK) == []
    assert erasure_problems(home, TASK) == []


def test_a_snapshot_with_rows_of_the_unit_is_not_recomputable(home: Home) -> None:
    (snapshot_id,) = erased(home).plan.snapshots
    snapshot, table = load_snapshot(home, TASK, snapshot_id)
    assert snapshot.n_interactions == table.num_rows + 42
    assert UNIT not in table["unit_id"].to_pylist()
    assert erased_snapshots(home, TASK) == [f"snapshot {snapshot_id[:12]} is not recomputable: erased, 42 rows"]
    new = build_snapshot(
        home,
        task=TASK,
        contract=CONTRACT,
        reward=RewardSettings(),
        split=SplitSettings(),
        evaluable_versions=None,
        as_of=None,
        now=NOW,
    )
    assert new.snapshot_id != snapshot_id
    assert new.n_interactions == table.num_rows


def test_older_versions_of_the_tables_end_with_a_named_error(home: Home) -> None:
    version = erased(home).tables["interactions"]
    assert read_interactions(home, TASK, version=version).num_rows == read_interactions(home, TASK).num_rows
    with pytest.raises(StoreError, match="version 1 of table interactions of task small cannot be read"):
        read_interactions(home, TASK, version=1)
    dt = open_table(home.table(TASK, "interactions"))
    assert dt is not None
    assert UNIT not in dt.to_pyarrow_table()["unit_id"].to_pylist(), "other readers of Delta see a whole table"


def test_later_rows_and_outcomes_of_the_unit_are_refused_and_kept_nowhere(home: Home, tmp_path: Path) -> None:
    erased(home)
    lines: list[Row | str | bytes] = [
        row(3),  # a row it had
        row(7000, user=UNIT),  # a new one
        row(10, user="user-9"),  # its interaction under another name
        row(7001, user=UNIT, p=0),  # one that would be quarantined
        '{"user": "user-3", "id": "row-7002"',  # broken, with a quoted id
        '{"id": "row-17, "user": ',  # broken, with an interaction of it in half a quote
        "row-7003,user-3,2026",  # a line of another format
        b'\xff{"user": "user-3"}',
        row(7004, user="user-33"),
        '{"user": "user-33"',
    ]
    result = deliver(home, jsonl(tmp_path / "later.jsonl", lines))
    assert (result.n_erased, result.n_accepted, result.n_quarantined) == (8, 1, 1)
    late = [outcome(3, observed_at="2026-10-31T00:00:00Z"), outcome(4, observed_at="2026-10-31T00:00:00Z"), '{"row-24"']
    result = deliver(home, jsonl(tmp_path / "late.jsonl", late), kind="outcomes")
    assert (result.n_erased, result.n_accepted) == (2, 1)
    fields = [row(i, user=UNIT) for i in range(7010, 7013)]
    result = deliver(home, csv_file(tmp_path / "later.csv", [row(7020), *fields], extra=['"user-3",1', "1,user-3"]))
    assert (result.n_erased, result.n_accepted) == (5, 1)
    assert holders(home, UNIT, *MINE) == set()
    balance(home)
    assert verify_tables(home, TASK) == []


def test_ids_that_are_small_numbers_are_matched_by_field_and_never_by_chance(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    lines = [row(i, id=str(i), user=str(i % 5)) for i in range(20, 40)]
    broken = [row(1, id="1", user="2", p=0), row(2, id="2", user="4", age=222), '{"id": "3", "user": "2"']
    take_in(home, jsonl(tmp_path / "a.jsonl", [*lines, *broken]))
    result = erased(home, "2")
    assert (result.plan.n_interactions, result.plan.n_quarantined) == (4, 1)
    left = sorted(r["raw"] for r in read_quarantine(home, TASK).to_pylist())
    assert [json.loads(raw)["user"] for raw in left if raw.endswith(b"}")] == ["4"]
    later = [row(50, id="50", user="2"), row(51, id="51", user="2", p=0), row(22, id="52", age=222), "2,3"]
    found = deliver(home, jsonl(tmp_path / "b.jsonl", later))
    assert (found.n_erased, found.n_quarantined) == (2, 2)
    balance(home)


def test_a_row_that_conflicts_is_never_kept_for_an_erased_unit(home: Home, tmp_path: Path) -> None:
    erased(home)
    assert (
        deliver(home, jsonl(tmp_path / "twice.jsonl", [row(8000, user=UNIT), row(8000, user=UNIT, age=1)])).n_erased
        == 2
    )


def test_no_id_stands_in_what_is_kept_for_refusal(home: Home) -> None:
    result = erased(home)
    (stone,) = read_stones(home, TASK)
    assert stone.unit == result.unit_hash == hasher(home, TASK).hash_of(UNIT)
    known = {*MINE, *EXTRA, "x"} - {"row-9002"}
    assert set(stone.interactions) == {hasher(home, TASK).hash_of(i) for i in known}, "a line cut in half has no fields"
    other = Home(home.root.parent / "other")
    assert hasher(other, TASK).hash_of(UNIT) != stone.unit, "every task draws its own salt"
    (entry,) = read_erasures(home, TASK)
    assert (entry["unit_hash"], entry["n_interactions"], entry["policies"]) == (stone.unit, 42, [2])
    assert entry["reason"] == "request 1"
    assert list(entry["histories_sealed_anew"]) == ["alerts/events"]


def test_a_reason_must_not_name_the_unit(home: Home) -> None:
    with pytest.raises(UsageError, match="the reason names the unit"):
        erased(home, reason="user-3 asked for it")
    assert read_tombstones(home, TASK) is None


def test_texts_lose_the_ids_and_histories_stay_whole(home: Home) -> None:
    erased(home)
    run = json.loads((home.runs(TASK) / "run" / "run.json").read_bytes())
    assert run == {
        "error": "rows of [erased] ([erased]) are odd",
        "n": 10,
        "unit": "[erased]",
        "other": "row-100 user-34",
    }
    assert (home.runs(TASK) / "run" / "report.html").read_text() == "<p>[erased], row-30 &amp; [erased]</p>"
    assert [e["finding"] for e in read_chain(home.alerts / "events")] == [
        "row-9 of user-2",
        "[erased] of [erased]",
        "row-11 of user-4",
    ]
    assert (home.served(TASK) / "log.jsonl").read_bytes().count(b"\n") == 1
    assert not home.data_docs(TASK).exists()
    assert not (home.training(TASK) / "key" / "columns").exists()


def test_a_second_erasure_changes_nothing(home: Home) -> None:
    first = erased(home)
    state = {p: p.read_bytes() for p in home.root.rglob("*") if p.is_file()}
    second = erased(home)
    assert second == first
    assert {p: p.read_bytes() for p in home.root.rglob("*") if p.is_file()} == state


def test_two_units_leave_one_after_the_other(home: Home) -> None:
    erased(home)
    erased(home, "user-5")
    assert holders(home, UNIT, "user-5") == set()
    (folder,) = (p for p in home.snapshots(TASK).iterdir())
    marker = read_erased(folder)
    assert marker is not None
    assert (marker.n_rows, len(marker.erasures)) == (42 + 43, 2)
    assert sorted(p.name for p in folder.iterdir()) == [
        MARKER,
        marker.files["interactions.parquet"].name,
        "manifest.json",
    ]
    assert [verify_tables(home, TASK), verify_snapshots(home, TASK), erasure_problems(home, TASK)] == [[], [], []]
    balance(home)


def test_readmission_and_supersession_go_on_after_an_erasure(home: Home, tmp_path: Path) -> None:
    erased(home)
    readmitted(home)
    assert balance(home).n_quarantined == 1, "the Parquet row of another unit with p = 2"
    (wrong, *_) = [b for b in read_batches(home, TASK) if b.supersedes is not None]
    again = supersede(home, wrong.batch_id, jsonl(tmp_path / "again.jsonl", [row(9005, user=UNIT), row(9006, age=41)]))
    assert (again.n_accepted, again.n_erased) == (1, 1)
    balance(home)
    assert verify_tables(home, TASK) == []


def test_a_batch_that_a_crash_cut_off_can_be_finished_after_an_erasure(tmp_path: Path) -> None:
    """Its rows are in the table, its record is not: the rerun refuses the unit's lines, and finds what it expects."""
    home, path = Home(tmp_path / "home"), jsonl(tmp_path / "a.jsonl", [*rows(40), "not json"])
    result = take_in(home, path)
    (home.batches(TASK) / f"{result.batch_id}.json").unlink()
    erased(home)
    assert "unfinished batch" in " ".join(verify_tables(home, TASK))
    again = deliver(home, path)
    assert (again.n_accepted, again.n_quarantined, again.n_erased) == (34, 1, 6)
    assert verify_tables(home, TASK) == []
    assert balance(home).n_erased == 6


def test_a_forged_marker_is_noticed(home: Home) -> None:
    (snapshot_id,) = erased(home).plan.snapshots
    path = home.snapshots(TASK) / snapshot_id / MARKER
    forged = json.loads(path.read_bytes())
    path.write_text(json.dumps({**forged, "erasures": ["f" * 32]}))
    assert "unknown erasure" in " ".join(erasure_problems(home, TASK))
    path.write_text(json.dumps({**forged, "files": {}}))
    with pytest.raises(IntegrityError, match="damaged rows"):
        load_snapshot(home, TASK, snapshot_id)


def test_an_id_in_a_place_of_its_own_is_named_and_the_erasure_does_not_claim_to_be_whole(home: Home) -> None:
    stray = home.versions(TASK) / "1" / "manifest.json"
    write_atomic(stray, b'{"note": "made for user-3"}')
    with pytest.raises(SluiceError, match=r"not complete: expected no file .*manifest\.json"):
        erased(home)
    assert "unfinished erasure" in " ".join(erasure_problems(home, TASK))
    stray.unlink()
    assert erased(home).plan.n_interactions == 42, "what the first attempt had counted"
    assert erasure_problems(home, TASK) == []


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b'{"u": "a\\u00e9 b"', "aé b"),
        (b'{"u": "x""y"', 'x"y'),
        (b"1,Jane Doe ,3", "Jane Doe"),
        (b"1,'mail@example.org';3", "mail@example.org"),
        (b'{"u": 1234567', "1234567"),
        (b'{"u": "id:7/8"}', "id:7/8"),
        (b"\xff user-3\x00", "user-3"),
    ],
)
def test_ids_are_found_in_lines_that_no_reader_understands(raw: bytes, found: str) -> None:
    assert found in candidates(raw)
    assert Subject(found, frozenset()).mentioned_in(raw)


def test_an_odd_id_leaves_texts_however_they_write_it() -> None:
    subject = Subject('Jane "J" <Doé>', frozenset({"a b/1"}))
    for text in (
        'Jane "J" <Doé> x',
        'Jane \\"J\\" <Doé> x',
        'Jane \\"J\\" <Do\\u00e9> x',
        "Jane &quot;J&quot; &lt;Doé&gt; x",
        "a b/1 x",
    ):
        assert subject.redact(text) == "[erased] x"
    assert Subject("7", frozenset()).redact("7 rows") == "7 rows", "too short to be told from other words"
    assert Subject("7", frozenset()).redact_json({"n": 7, "version": "7"}) == {"n": 7, "version": "7"}
    assert Subject("7", frozenset()).redact_json({"n": 7, "unit_id": "7"}) == {"n": "[erased]", "unit_id": "[erased]"}


def test_a_masked_row_of_the_unit_in_an_alert_loses_its_fields() -> None:
    subject = Subject("7", frozenset({"12"}), masks=frozenset({"#aaaa1111", "#bbbb2222"}))
    alert = {
        "rows": [{"unit_id": "#aaaa1111", "action": "left"}, {"unit_id": "#cccc3333", "action": "left"}],
        "examples": ["12", "13"],
        "summary": "row #bbbb2222 is odd",
        "n_rows": "12",
    }
    assert subject.redact_json(alert) == {
        "rows": [{"unit_id": "[erased]", "action": "[erased]"}, {"unit_id": "#cccc3333", "action": "left"}],
        "examples": ["[erased]", "13"],
        "summary": "row [erased] is odd",
        "n_rows": "12",
    }


KILLED = """
import os, signal, sys
from pathlib import Path
from data_contracts.amendments import erasure, table_changes
from data_contracts.home import Home
from tests.data_contracts.amendments.test_erasure import erased

home, at = Home(Path(sys.argv[1])), sys.argv[2]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

module = table_changes if at == "write_pending" else erasure
real = getattr(module, at)
def run(*a, **k):
    real(*a, **k)
    die()
setattr(module, at, run)
erased(home)
"""
KILLED_AT = ("write_pending", "erase_folder", "redact_chains", "append_chain")
CUT_OFF_AT = (
    "write_stone",
    "_commit",
    "clean_tables",
    "_clean_folders",
    "remove_work_in_progress",
    "redact_texts",
    "remove_replaced_files",
    "_require_clean",
)


class CutOffError(BaseException):
    """Nothing catches it."""


@pytest.mark.parametrize("at", KILLED_AT)
def test_a_killed_erasure_is_ended_by_its_rerun(home: Home, at: str) -> None:
    command = [sys.executable, "-c", KILLED, str(home.root), at]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    check_rerun(home)


@pytest.mark.parametrize("at", CUT_OFF_AT)
def test_an_erasure_that_is_cut_off_is_ended_by_its_rerun(home: Home, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = table_changes if at == "_commit" else erasure
    real = getattr(module, at)

    def cut_off(*arguments: object, **named: object) -> None:
        real(*arguments, **named)
        raise CutOffError

    monkeypatch.setattr(module, at, cut_off)
    with pytest.raises(CutOffError):
        erased(home)
    monkeypatch.undo()
    check_rerun(home)


def check_rerun(home: Home) -> None:
    assert count_accounting(home, TASK).balanced
    assert verify_tables(home, TASK) == []
    assert "unfinished erasure" in " ".join(erasure_problems(home, TASK))
    result = erased(home)
    assert holders(home, UNIT, *MINE, *EXTRA) == set()
    assert (result.plan.n_interactions, result.plan.n_outcomes, result.plan.n_quarantined) == (42, 6, 6)
    assert len(result.plan.snapshots) == 1
    assert len(read_erasures(home, TASK)) == 1
    assert balance(home).n_erased == 54
    assert [verify_tables(home, TASK), verify_snapshots(home, TASK), erasure_problems(home, TASK)] == [[], [], []]
