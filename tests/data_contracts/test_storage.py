"""Atomic writes, compare-and-swap and hash chains, also when the writer dies."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_contracts.errors import Busy, IntegrityError
from data_contracts.storage import append_chain, build_folder, create_exclusive, read_chain, read_json, write_atomic


def test_create_exclusive_has_one_winner(tmp_path: Path) -> None:
    assert create_exclusive(tmp_path / "a", b"first")
    assert not create_exclusive(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_killed_writer_leaves_the_old_bytes_or_the_new(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    write_atomic(target, json.dumps([0] * 200_000).encode())
    code = (
        "import json, itertools, pathlib, sys; from data_contracts.storage import write_atomic\n"
        "for i in itertools.count(1): write_atomic(pathlib.Path(sys.argv[1]), json.dumps([i] * 200_000).encode())"
    )
    for moment in (0.3, 0.45, 0.6):
        writer = subprocess.Popen([sys.executable, "-c", code, str(target)], cwd=Path.cwd())
        time.sleep(moment)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        found = read_json(target)
        assert len(found) == 200_000
        assert len(set(found)) == 1


def _append(folder: Path, who: int) -> None:
    for _ in range(5):
        append_chain(folder, lambda entries: {"who": who, "seen": len(entries)})


def test_racing_writers_lose_no_entry_of_a_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append, args=(tmp_path, who)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = read_chain(tmp_path)
    assert len(entries) == 20
    assert [e["seen"] for e in entries] == list(range(20)), "each entry was decided on all entries before it"
    assert sorted(e["who"] for e in entries) == sorted(list(range(4)) * 5)


def test_the_decision_sees_the_winner_and_may_give_up(tmp_path: Path) -> None:
    append_chain(tmp_path, lambda _: {"champion": 1})

    def decide(entries: list[dict[str, int]]) -> dict[str, int]:
        if entries[-1]["champion"] != 7:
            raise Busy("the champion moved")
        return {"champion": 8}

    with pytest.raises(Busy):
        append_chain(tmp_path, decide)
    assert len(read_chain(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["flip", "flip the newest", "remove", "swap"])
def test_a_damaged_chain_names_the_file(tmp_path: Path, damage: str) -> None:
    for i in range(3):
        append_chain(tmp_path, lambda _, i=i: {"value": i})
    first, second, newest = sorted(tmp_path.iterdir())
    if damage == "flip the newest":
        newest.write_bytes(newest.read_bytes().replace(b'"value": 2', b'"value": 9'))
    elif damage == "flip":
        first.write_bytes(first.read_bytes().replace(b'"value": 0', b'"value": 9'))
    elif damage == "remove":
        first.unlink()
    else:
        a, b = first.read_bytes(), second.read_bytes()
        first.write_bytes(b)
        second.write_bytes(a)
    with pytest.raises(IntegrityError, match=r"0000000\d\.json"):
        read_chain(tmp_path)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with build_folder(tmp_path / "x") as folder:
            (folder / "half").write_text("…")
            raise RuntimeError("the writer stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert list(tmp_path.iterdir()) == []
    with build_folder(tmp_path / "x") as folder:
        (folder / "whole").write_text("1")
    with build_folder(tmp_path / "x") as folder:
        (folder / "whole").write_text("2")
    assert (tmp_path / "x" / "whole").read_text() == "1", "the first writer's folder stays"
