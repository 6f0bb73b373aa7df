"""After the contract is mended the quarantine empties: what passes enters once, what fails stays, P1 holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from data_contracts import store
from data_contracts.amendments.corrections import read_corrections
from data_contracts.batches import read_batches
from data_contracts.home import Home
from data_contracts.interactions import QUARANTINE
from data_contracts.quarantine import printable, summarize
from data_contracts.store import read_interactions, read_quarantine, verify_tables
from tests.data_contracts.amendments.corrected_log import YOUNG, balance, readmitted, versions
from tests.data_contracts.small_log import CONTRACT, TASK, accepted, csv_file, jsonl, parquet, row, rows, take_in

ROOT = Path(__file__).parents[3]
OLD = "age: expected [0, 30]"


def test_lines_of_every_format_are_judged_again_from_their_bytes(tmp_path: Path) -> None:
    whole, home = Home(tmp_path / "whole"), Home(tmp_path / "home")
    paths = [
        jsonl(tmp_path / "a.jsonl.gz", [*rows(40), "not json"]),
        csv_file(tmp_path / "b.csv.gz", rows(40, start=40)),
        parquet(tmp_path / "c.parquet", rows(40, start=80)),
    ]
    for path in paths:
        take_in(whole, path)
        take_in(home, path, contract=YOUNG)
    before = balance(home)
    assert before.n_accepted == 22, "ages run from 20 to 79: 20..30 in rows 0-10 and 60-70"
    result = readmitted(home)
    assert (result.n_lines, result.n_accepted, result.n_quarantined) == (99, 98, 1)
    assert result.reasons == {"broken JSON": 1}
    assert accepted(home) == accepted(whole), "the same rows with the same digests as if they had never been refused"
    after = balance(home)
    assert (after.n_read, after.n_accepted, after.n_quarantined) == (121, 120, 1)
    assert verify_tables(home, TASK) == []


def test_readmitted_lines_leave_exactly_once(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    take_in(home, jsonl(tmp_path / "a.jsonl", [*rows(40), row(100, p=0)]), contract=YOUNG)
    first = readmitted(home)
    assert (first.n_accepted, first.n_quarantined) == (29, 1)
    state = balance(home), versions(home), versions(home, "quarantine"), len(read_corrections(home, TASK))
    again = readmitted(home)
    assert (again.n_lines, again.n_accepted, again.n_quarantined, again.batches) == (1, 0, 1, ())
    assert (balance(home), versions(home), versions(home, "quarantine"), len(read_corrections(home, TASK))) == state
    files = jsonl(tmp_path / "again.jsonl", rows(40))
    assert take_in(home, files).n_duplicate == 40, "a readmitted row is known to later batches"
    balance(home)


def test_a_dry_run_says_the_same_and_changes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    take_in(home, jsonl(tmp_path / "a.jsonl", rows(40)), contract=YOUNG)
    files = sorted((p, p.stat().st_mtime_ns) for p in home.root.rglob("*.parquet"))
    planned = readmitted(home, dry=True)
    assert sorted((p, p.stat().st_mtime_ns) for p in home.root.rglob("*.parquet")) == files
    assert read_corrections(home, TASK) == []
    assert planned == readmitted(home)


def test_one_reason_or_one_batch_at_a_time(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    spain = replace(
        YOUNG, columns=tuple(replace(c, valid_values=("de",)) if c.name == "country" else c for c in YOUNG.columns)
    )
    first = take_in(home, jsonl(tmp_path / "a.jsonl", rows(30)), contract=spain)
    second = take_in(home, jsonl(tmp_path / "b.jsonl", rows(30, start=30)), contract=spain)
    assert dict(summarize(home, TASK)) == {OLD: 49, "country: expected one of de": 4}
    assert readmitted(home, reason="country").n_accepted == 4
    assert dict(summarize(home, TASK)) == {OLD: 49}
    assert readmitted(home, batch=second.batch_id[:12]).n_accepted == 30
    assert set(read_quarantine(home, TASK)["batch_id"].to_pylist()) == {first.batch_id}
    assert readmitted(home).n_accepted == 19
    assert balance(home).n_quarantined == 0
    assert verify_tables(home, TASK) == []


def test_a_line_that_came_again_meanwhile_leaves_as_a_duplicate_and_a_conflict_stays(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    take_in(home, jsonl(tmp_path / "a.jsonl", [row(39), row(38), row(37), row(37, age=40)]), contract=YOUNG)
    take_in(home, jsonl(tmp_path / "b.jsonl", [row(39), row(38, click=0.5)]))
    result = readmitted(home)
    assert (result.n_accepted, result.n_duplicate, result.n_quarantined) == (1, 1, 2)
    assert result.reasons == {"conflicting payload": 2}
    ages = {r["interaction_id"]: r["age"] for r in read_interactions(home, TASK).to_pylist()}
    assert ages["row-37"] == 57, "the first of two payloads, as at any ingest"
    balance(home)


def test_outcomes_are_readmitted_too(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    outcome = {"interaction_id": "row-1", "value": 40.0, "observed_at": "2026-10-03T00:00:00Z"}
    take_in(home, jsonl(tmp_path / "a.jsonl", [outcome]), kind="outcomes")
    wider = replace(
        CONTRACT, columns=tuple(replace(c, maximum=50) if c.name == "reward" else c for c in CONTRACT.columns)
    )
    assert readmitted(home, contract=wider).n_accepted == 1
    assert store.read_outcomes(home, TASK)["value"].to_pylist() == [40.0]
    balance(home)


def test_a_csv_whose_header_no_longer_fits_stays(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    take_in(home, csv_file(tmp_path / "a.csv", rows(30)), contract=YOUNG)
    without = replace(CONTRACT, columns=tuple(c for c in CONTRACT.columns if c.name != "score"))
    result = readmitted(home, contract=without)
    assert (result.n_accepted, result.n_quarantined, list(result.reasons)) == (0, 19, ["unreadable file"])
    balance(home)


def test_a_line_of_an_older_store_has_no_header_and_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    old = pa.schema([f for f in QUARANTINE.items() if f[0] != "header"])
    line = {"batch_id": "0" * 64, "kind": "interactions", "file": "a.csv", "file_sha256": "0" * 64, "line": 2}
    store.append(home, TASK, "quarantine", pa.Table.from_pylist([{**line, "raw": b"x"}], old), batch_id="0" * 64)
    assert read_quarantine(home, TASK)["header"].to_pylist() == [None]
    assert readmitted(home).reasons == {"no header kept": 1}


def test_readmitted_rows_stand_before_their_batch_so_that_old_rows_are_never_the_newest(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    old = take_in(home, jsonl(tmp_path / "a.jsonl", rows(30)), contract=YOUNG)
    new = take_in(home, jsonl(tmp_path / "b.jsonl", [row(200, age=20)]), contract=YOUNG)
    (made,) = readmitted(home, batch=old.batch_id).batches
    order = [b.batch_id for b in read_batches(home, TASK)]
    assert order.index(made) == order.index(old.batch_id) - 1
    assert set(order) == {made, old.batch_id, new.batch_id}


@pytest.mark.parametrize("raw", [b"\x1b[2J\x00", b"caf\xc3\xa9 \xff", b'{"a": "\\u001b"}\r', "‮abc".encode()])
def test_raw_bytes_are_printed_without_power_over_the_terminal(raw: bytes) -> None:
    shown = printable(raw)
    assert shown.isprintable()
    assert len(shown) >= len(raw.decode("utf-8", "replace")), "nothing is left out"


def test_a_long_line_is_cut_and_says_how_long_it_is() -> None:
    assert printable(b"x" * 5_000, 10) == "x" * 10 + "… (5,000 bytes)"


KILLED = """
import os, signal, sys
from pathlib import Path
from data_contracts.amendments import corrections, table_changes
from data_contracts.home import Home
from tests.data_contracts.amendments.corrected_log import readmitted

home, at = Home(Path(sys.argv[1])), sys.argv[2]

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
elif at == "pending":
    after("write_pending")
elif at in ("interactions", "quarantine"):
    real = table_changes._commit
    def commit(home, task, change, correction_id):
        real(home, task, change, correction_id)
        if change.table == at:
            die()
    table_changes._commit = commit
elif at == "recorded":
    after("append_chain")
readmitted(home)
"""


@pytest.mark.parametrize("at", ["files written", "pending", "interactions", "quarantine", "recorded"])
def test_accounting_balances_at_every_moment_of_a_killed_readmission(tmp_path: Path, at: str) -> None:
    home = Home(tmp_path / "home")
    take_in(home, jsonl(tmp_path / "a.jsonl", [*rows(40), row(100, p=0)]), contract=YOUNG)
    command = [sys.executable, "-c", KILLED, str(home.root), at]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    total = balance(home)  # readers see all of it or nothing, before anybody has mended anything
    assert (total.n_accepted, total.n_quarantined) == ((11, 30) if at == "files written" else (40, 1))
    assert verify_tables(home, TASK) == []
    readmitted(home)
    assert (balance(home).n_accepted, balance(home).n_quarantined) == (40, 1)
    assert verify_tables(home, TASK) == []
    assert not (home.corrections(TASK) / "pending.json").exists()
    assert json.loads(read_quarantine(home, TASK)["raw"][0].as_py())["id"] == "row-100"
