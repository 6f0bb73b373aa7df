"""One batch in place of another: readers see the old rows or the new, snapshots and older versions keep theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_contracts.amendments.corrections import read_corrections
from data_contracts.amendments.supersession import snapshots_of
from data_contracts.batches import count_accounting, read_batch, read_batches
from data_contracts.delta import open_table
from data_contracts.errors import InputError, IntegrityError, UsageError
from data_contracts.home import Home
from data_contracts.rewards.outcomes import RewardSettings
from data_contracts.snapshot import build_snapshot
from data_contracts.splits import SplitSettings
from data_contracts.store import read_interactions, read_outcomes, read_quarantine, verify_tables
from tests.data_contracts.amendments.corrected_log import YOUNG, balance, readmitted, supersede, versions
from tests.data_contracts.small_log import CONTRACT, NOW, TASK, accepted, jsonl, row, rows, take_in

ROOT = Path(__file__).parents[3]


def ages(home: Home, version: int | None = None) -> dict[str, int]:
    table = read_interactions(home, TASK, version=version)
    return dict(zip(table["interaction_id"].to_pylist(), table["age"].to_pylist(), strict=True))


def fixed(path: Path, n: int, *, age: int, more: int = 0) -> Path:
    return jsonl(path, [row(i, age=age) for i in range(n + more)])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "my store[1]")


def test_the_new_rows_stand_where_the_old_ones_stood(home: Home, tmp_path: Path) -> None:
    other = take_in(home, jsonl(tmp_path / "other.jsonl", rows(5, start=500)))
    wrong = take_in(home, fixed(tmp_path / "wrong.jsonl", 20, age=99))
    later = take_in(home, jsonl(tmp_path / "later.jsonl", rows(5, start=600)))
    before = versions(home)
    result = supersede(home, wrong.batch_id[:12], fixed(tmp_path / "right.jsonl", 20, age=33, more=2))
    assert (result.n_read, result.n_accepted, result.n_duplicate, result.n_quarantined) == (22, 22, 0, 0)
    assert result.supersedes == wrong.batch_id
    assert versions(home) == before + 1 == result.table_version, "one commit takes the old out and brings the new"
    found = ages(home)
    assert len(found) == 32
    assert {found[f"row-{i}"] for i in range(22)} == {33}
    total = balance(home)
    assert (total.n_batches, total.n_read, total.n_accepted, total.n_superseded) == (3, 32, 32, 20)
    order = [b.batch_id for b in read_batches(home, TASK)]
    assert order.index(result.batch_id) == order.index(wrong.batch_id) + 1
    assert set(order) == {other.batch_id, wrong.batch_id, result.batch_id, later.batch_id}
    assert verify_tables(home, TASK) == []


def test_no_version_of_the_table_shows_both_or_neither(home: Home, tmp_path: Path) -> None:
    wrong = take_in(home, fixed(tmp_path / "wrong.jsonl", 20, age=99))
    supersede(home, wrong.batch_id, fixed(tmp_path / "right.jsonl", 20, age=33))
    seen = [ages(home, version) for version in range(1, versions(home) + 1)]
    assert [(len(found), set(found.values())) for found in seen] == [(20, {99}), (20, {33})]
    dt = open_table(home.table(TASK, "interactions"))
    assert dt is not None
    assert dt.to_pyarrow_table().num_rows == 20, "other readers of Delta see the same"


def test_the_same_supersession_again_changes_nothing(home: Home, tmp_path: Path) -> None:
    wrong = take_in(home, fixed(tmp_path / "wrong.jsonl", 20, age=99))
    right = fixed(tmp_path / "right.jsonl", 20, age=33)
    first = supersede(home, wrong.batch_id, right)
    state = balance(home), versions(home)
    again = supersede(home, wrong.batch_id, right)
    assert (again.already_ingested, again.batch_id, again.n_duplicate) == (True, first.batch_id, 20)
    assert (balance(home), versions(home)) == state
    with pytest.raises(UsageError, match=f"Supersede {first.batch_id[:12]}"):
        supersede(home, wrong.batch_id, fixed(tmp_path / "third.jsonl", 20, age=44))


def test_a_replacement_is_replaced_and_the_old_files_can_come_back(home: Home, tmp_path: Path) -> None:
    path = fixed(tmp_path / "wrong.jsonl", 20, age=99)
    wrong = take_in(home, path)
    right = supersede(home, wrong.batch_id, fixed(tmp_path / "right.jsonl", 20, age=33))
    undone = supersede(home, right.batch_id, path)
    assert undone.n_accepted == 20
    assert set(ages(home).values()) == {99}
    assert balance(home).n_superseded == 40
    assert verify_tables(home, TASK) == []


def test_a_schedule_that_finds_the_old_file_again_brings_nothing_back(home: Home, tmp_path: Path) -> None:
    old, new = fixed(tmp_path / "wrong.jsonl", 20, age=99), fixed(tmp_path / "right.jsonl", 10, age=33)
    supersede(home, take_in(home, old).batch_id, new)
    both = take_in(home, old, new, jsonl(tmp_path / "more.jsonl", rows(1, start=900)))
    assert (both.n_accepted, both.n_duplicate) == (1, 30)
    assert take_in(home, old).already_ingested
    assert len(ages(home)) == 11
    balance(home)


def test_what_conflicted_with_the_old_rows_is_judged_without_them(home: Home, tmp_path: Path) -> None:
    """The corrected file came by the schedule first: its new rows were accepted, the others conflicted."""
    wrong = take_in(home, fixed(tmp_path / "wrong.jsonl", 20, age=99))
    right = fixed(tmp_path / "right.jsonl", 20, age=33, more=5)
    early = take_in(home, right)
    assert (early.n_accepted, early.n_quarantined) == (5, 20)
    result = supersede(home, wrong.batch_id, right)
    assert (result.n_accepted, result.n_duplicate, result.n_quarantined) == (20, 5, 0)
    assert set(ages(home).values()) == {33}
    assert readmitted(home).n_duplicate == 20, "what the early batch had set aside is in the store now"
    assert balance(home).n_quarantined == 0


def test_rows_dropped_as_duplicates_of_the_old_come_back_when_their_batch_replaces_itself(
    home: Home, tmp_path: Path
) -> None:
    wrong = take_in(home, jsonl(tmp_path / "wrong.jsonl", rows(10)))
    path = jsonl(tmp_path / "twice.jsonl", [row(9), row(50)])
    twice = take_in(home, path)
    assert (twice.n_accepted, twice.n_duplicate) == (1, 1)
    supersede(home, wrong.batch_id, jsonl(tmp_path / "right.jsonl", rows(9)))
    assert "row-9" not in ages(home), "the replacement says what its rows are; a duplicate was never kept"
    back = supersede(home, twice.batch_id, path)
    assert (back.n_accepted, back.n_duplicate) == (2, 0)
    assert "row-9" in ages(home)
    balance(home)


def test_its_quarantine_and_its_readmitted_lines_go_with_a_batch(home: Home, tmp_path: Path) -> None:
    mixed = [*rows(40), "not json"]
    wrong = take_in(home, jsonl(tmp_path / "wrong.jsonl", mixed), contract=YOUNG)
    readmitted(home, reason="age")
    assert balance(home).n_accepted == 40
    result = supersede(home, wrong.batch_id, jsonl(tmp_path / "right.jsonl", [*rows(3), "still not json"]))
    assert (result.n_accepted, result.n_quarantined) == (3, 1)
    assert len(ages(home)) == 3
    assert read_quarantine(home, TASK)["raw"].to_pylist() == [b"still not json"]
    total = balance(home)
    assert (total.n_read, total.n_superseded) == (4, 40)
    assert verify_tables(home, TASK) == []


def test_outcomes_are_superseded_as_well(home: Home, tmp_path: Path) -> None:
    outcome = {"interaction_id": "row-1", "value": 1.0, "observed_at": "2026-10-03T00:00:00Z"}
    wrong = take_in(home, jsonl(tmp_path / "a.jsonl", [outcome]), kind="outcomes")
    right = jsonl(tmp_path / "b.jsonl", [{**outcome, "value": 0.0}])
    assert supersede(home, wrong.batch_id, right, kind="outcomes").n_accepted == 1
    assert read_outcomes(home, TASK)["value"].to_pylist() == [0.0]
    with pytest.raises(UsageError, match="no single batch"):
        supersede(home, wrong.batch_id, right)  # an outcome batch is none of interactions
    assert count_accounting(home, TASK, "outcomes").n_superseded == 1
    assert count_accounting(home, TASK, "interactions").n_superseded == 0


def test_snapshots_that_were_built_on_a_replaced_batch_are_named(home: Home, tmp_path: Path) -> None:
    wrong = take_in(home, fixed(tmp_path / "wrong.jsonl", 20, age=99))
    outcome = {"interaction_id": "row-1", "value": 1.0, "observed_at": "2026-10-03T00:00:00Z"}
    clicks = take_in(home, jsonl(tmp_path / "a.jsonl", [outcome]), kind="outcomes")
    first = snapshot(home)
    supersede(home, clicks.batch_id, jsonl(tmp_path / "b.jsonl", [{**outcome, "value": 0.0}]), kind="outcomes")
    take_in(home, fixed(tmp_path / "more.jsonl", 20, age=99, more=1))
    second = snapshot(home)
    supersede(home, wrong.batch_id, fixed(tmp_path / "right.jsonl", 20, age=33))
    third = snapshot(home)
    assert len({first, second, third}) == 3
    of_clicks, of_wrong = (
        snapshots_of(home, TASK, record)
        for batch in (clicks, wrong)
        if (record := read_batch(home, TASK, batch.batch_id)) is not None
    )
    assert of_clicks == (first,)
    assert set(of_wrong) == {first, second}


def snapshot(home: Home) -> str:
    return build_snapshot(
        home,
        task=TASK,
        contract=CONTRACT,
        reward=RewardSettings(),
        split=SplitSettings(),
        evaluable_versions=None,
        as_of=None,
        now=NOW,
    ).snapshot_id


def test_what_cannot_be_replaced_is_refused_and_the_old_batch_stays(home: Home, tmp_path: Path) -> None:
    wrong = take_in(home, jsonl(tmp_path / "wrong.jsonl", rows(40)), contract=YOUNG)
    before = accepted(home)
    with pytest.raises(InputError, match="expected at least one accepted line, got none of 1"):
        supersede(home, wrong.batch_id, jsonl(tmp_path / "bad.jsonl", ["nothing"]))
    for unknown in ("0123456789ab", "", wrong.batch_id[:5]):
        with pytest.raises(UsageError, match="no single batch"):
            supersede(home, unknown, jsonl(tmp_path / "good.jsonl", rows(1)))
    made = readmitted(home).batches[0]
    with pytest.raises(UsageError, match="holds readmitted lines"):
        supersede(home, made, jsonl(tmp_path / "good.jsonl", rows(1)))
    assert before < accepted(home)
    assert verify_tables(home, TASK) == []


def test_a_changed_history_of_corrections_is_noticed(home: Home, tmp_path: Path) -> None:
    wrong = take_in(home, fixed(tmp_path / "wrong.jsonl", 20, age=99))
    supersede(home, wrong.batch_id, fixed(tmp_path / "right.jsonl", 20, age=33))
    (entry,) = home.corrections(TASK).glob("*.json")
    entry.write_bytes(entry.read_bytes().replace(b'"n_superseded": 20', b'"n_superseded": 19'))
    with pytest.raises(IntegrityError, match="damaged entry"):
        read_corrections(home, TASK)
    assert "damaged entry" in " ".join(verify_tables(home, TASK))


def test_a_file_that_a_correction_removed_must_not_be_live_again(home: Home, tmp_path: Path) -> None:
    wrong = take_in(home, fixed(tmp_path / "wrong.jsonl", 20, age=99))
    supersede(home, wrong.batch_id, fixed(tmp_path / "right.jsonl", 20, age=33))
    dt = open_table(home.table(TASK, "interactions"))
    assert dt is not None
    dt.restore(1)
    problems = " ".join(verify_tables(home, TASK))
    assert "expected a correction to have removed it" in problems
    assert "lost file" in problems


def test_two_outcomes_of_a_channel_at_different_moments_are_two_outcomes(home: Home, tmp_path: Path) -> None:
    visit = {"interaction_id": "row-1", "value": 1.0, "observed_at": "2026-10-03T00:00:00Z"}
    second = {**visit, "observed_at": "2026-10-04T00:00:00Z"}
    path = jsonl(tmp_path / "a.jsonl", [visit, second, visit, {**second, "value": 0.5}])
    first = take_in(home, path, kind="outcomes")
    assert (first.n_accepted, first.n_duplicate, first.n_quarantined) == (2, 1, 1)
    again = take_in(home, jsonl(tmp_path / "b.jsonl", [second, {**visit, "value": 0.0}]), kind="outcomes")
    assert (again.n_accepted, again.n_duplicate, again.n_quarantined) == (0, 1, 1)


KILLED = """
import os, signal, sys
from pathlib import Path
from data_contracts.amendments import table_changes
from data_contracts.home import Home
from tests.data_contracts.amendments.corrected_log import supersede

home, at, batch, path = Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3], Path(sys.argv[4])

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(name):
    real = getattr(table_changes, name)
    def run(*a, **k):
        real(*a, **k)
        die()
    setattr(table_changes, name, run)

if at == "files written":
    table_changes.write_pending = die
else:
    after({"pending": "write_pending", "committed": "_commit", "recorded": "append_chain"}[at])
supersede(home, batch, path)
"""


@pytest.mark.parametrize("at", ["files written", "pending", "committed", "recorded"])
def test_a_killed_supersession_shows_the_old_rows_or_the_new(home: Home, tmp_path: Path, at: str) -> None:
    wrong = take_in(home, fixed(tmp_path / "wrong.jsonl", 20, age=99))
    right = fixed(tmp_path / "right.jsonl", 20, age=33)
    command = [sys.executable, "-c", KILLED, str(home.root), at, wrong.batch_id, str(right)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert set(ages(home).values()) == ({99} if at == "files written" else {33})
    balance(home)
    assert verify_tables(home, TASK) == []
    take_in(home, jsonl(tmp_path / "next.jsonl", [row(5, age=33), row(900)]))  # whoever comes next finishes it
    supersede(home, wrong.batch_id, right)
    assert len(ages(home)) == 21
    assert {age for i, age in ages(home).items() if i != "row-900"} == {33}
    assert balance(home).n_superseded == 20
    assert versions(home) == 3, "the table, the wrong rows, the right ones and the next batch: no commit twice"
    assert verify_tables(home, TASK) == []
    assert read_batch(home, TASK, wrong.batch_id) is not None
