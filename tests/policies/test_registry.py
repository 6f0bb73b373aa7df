"""Versions are immutable, the champion moves once per decision, and nothing changes unseen."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pyarrow as pa
import pytest

from data_contracts.errors import Busy, IntegrityError, StoreError, UsageError
from data_contracts.home import Home
from data_contracts.storage import canonical_json, sha256_bytes
from policies.registry import (
    Candidate,
    aliases,
    can_open,
    champion_since,
    close_challenger,
    declare_champion,
    history,
    is_frozen,
    list_versions,
    load_version,
    move_champion,
    open_slot,
    promote,
    read_version,
    register_version,
    resume,
    rollback,
    verify_registry,
    version_folder,
)
from tests.policies.small_registry import (
    ACTIONS,
    ACTOR,
    NOW,
    TASK,
    artifact,
    facts,
    look,
    register,
    registry,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return registry(tmp_path_factory.mktemp("registry"), n_trained=3).root


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Home:
    """Version 1 serves; versions 2, 3 and 4 are trained."""
    return Home(Path(shutil.copytree(template, tmp_path / "home")))


def _promote(home: Home, version: int, expected: int) -> None:
    promote(
        home, TASK, version=version, expected=expected, evidence=None, override=True, reason="r", actor=ACTOR, now=NOW
    )


def _rollback(home: Home, to: int | None = None) -> int:
    return rollback(home, TASK, to=to, reason="complaints", actor=ACTOR, now=NOW).version


def _open(home: Home, version: int) -> None:
    open_slot(home, TASK, version=version, actor=ACTOR, reason="trained", now=NOW)


# versions


def test_versions_are_numbered_and_say_what_they_are(home: Home) -> None:
    assert [m.version for m in list_versions(home, TASK)] == [1, 2, 3, 4]
    first, second = list_versions(home, TASK)[:2]
    assert (first.origin, first.snapshot_id, first.key) == ("declared", None, "declared")
    assert (second.origin, second.snapshot_id, second.registered_at) == ("trained", "5" * 64, NOW)
    assert sorted(p.name for p in version_folder(home, TASK, 2).iterdir()) == [
        "encoding.json",
        "manifest.json",
        "policy.onnx",
    ]
    found = load_version(home, TASK, 3).action_probabilities(pa.table({"x": [1, 2]}))
    assert found[:, 0].tolist() == pytest.approx([0.51, 0.51])


def test_a_key_is_registered_once(home: Home) -> None:
    before = version_folder(home, TASK, 3).stat().st_mtime_ns
    assert register(home, "training-1", share=0.9) == 3
    assert version_folder(home, TASK, 3).stat().st_mtime_ns == before
    assert register(home, "training-9") == 5


def test_an_unknown_version_is_named(home: Home) -> None:
    with pytest.raises(UsageError, match=r"no version 9 of shop: .* ends with 1, 2, 3, 4"):
        read_version(home, TASK, 9)
    with pytest.raises(UsageError, match="ends with none"):
        load_version(home, "empty", 1)
    assert list_versions(home, "empty") == []


def test_what_cannot_be_served_is_not_registered(home: Home, tmp_path: Path) -> None:
    folder = artifact(tmp_path / "artifact", 0.5)
    with pytest.raises(UsageError, match="expected 2 probabilities a row, got 3"):
        register_version(home, TASK, artifact=folder, facts=facts(actions=("a", "b")), key="k", now=NOW)
    with pytest.raises(UsageError, match="no version 77"):
        register_version(home, TASK, artifact=folder, facts=facts(parent=77), key="k", now=NOW)
    (folder / "policy.onnx").write_bytes((folder / "policy.onnx").read_bytes()[:-20])
    with pytest.raises(IntegrityError, match=r"policy\.onnx"):
        register_version(home, TASK, artifact=folder, facts=facts(), key="k", now=NOW)
    assert len(list_versions(home, TASK)) == 4


@pytest.mark.parametrize("missing", ["algorithm", "seed", "snapshot_id", "trained_until"])
def test_a_trained_version_says_what_it_was_trained_on(missing: str) -> None:
    with pytest.raises(ValueError, match="belong to trained versions"):
        facts(**{missing: None})
    with pytest.raises(ValueError, match="belong to trained versions"):
        facts(origin="declared")


def test_candidates_hold_no_nan() -> None:
    with pytest.raises(ValueError, match="finite"):
        Candidate(
            algorithm="cql", seed=0, validation_value=float("nan"), weights_sha256="", deployable=True, chosen=True
        )


def _register_in_process(root: Path, key: str, barrier: Barrier, answers: Queue[int]) -> None:
    folder = artifact(root / f"artifact-{os.getpid()}", 0.5)
    barrier.wait()
    answers.put(register_version(Home(root), TASK, artifact=folder, facts=facts(), key=key, now=NOW))


def test_concurrent_registrations_get_different_numbers_and_equal_keys_the_same(tmp_path: Path) -> None:
    root, context = tmp_path / "home", multiprocessing.get_context("fork")
    keys = [f"key-{i // 2}" for i in range(8)]  # every key twice
    barrier, answers = context.Barrier(8), context.Queue()
    processes = [context.Process(target=_register_in_process, args=(root, k, barrier, answers)) for k in keys]
    for process in processes:
        process.start()
    numbers = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(numbers) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert sorted(m.key for m in list_versions(Home(root), TASK)) == ["key-0", "key-1", "key-2", "key-3"]
    assert verify_registry(Home(root), TASK) == []


# the champion


def test_no_champion_before_the_first_declaration(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert aliases(home, TASK) == {"champion": None, "challenger": None}
    assert history(home, TASK) == []
    assert champion_since(home, TASK) is None
    assert verify_registry(home, TASK) == []


def test_declaring_again_returns_the_first_entry_and_another_version_is_busy(home: Home) -> None:
    again = declare_champion(home, TASK, version=1, actor="other", now=NOW + timedelta(days=1))
    assert (again.index, again.actor, again.at) == (1, ACTOR, NOW)
    with pytest.raises(Busy):
        declare_champion(home, TASK, version=2, actor=ACTOR, now=NOW)
    assert len(history(home, TASK)) == 1


def test_a_promotion_by_verdict_closes_the_slot(home: Home) -> None:
    _open(home, 3)
    evidence = look(home, 3, "promote").evidence_id
    later = NOW + timedelta(hours=1)
    entry = promote(
        home, TASK, version=3, expected=1, evidence=evidence, override=False, reason="e 2000", actor=ACTOR, now=later
    )
    assert (entry.index, entry.action, entry.version, entry.previous) == (3, "promote", 3, 1)
    assert (entry.evidence, entry.override, entry.reason, entry.at) == (evidence, False, "e 2000", later)
    assert aliases(home, TASK) == {"champion": 3, "challenger": None}
    assert champion_since(home, TASK) == later
    assert history(home, TASK)[-1] == entry


def test_a_promotion_without_a_promote_verdict_needs_an_override(home: Home) -> None:
    stale = look(home, 2, "promote", champion=4).evidence_id
    held = look(home, 2, "hold", number=2).evidence_id
    other = look(home, 3, "promote").evidence_id
    for evidence in (None, stale, held, other, "f" * 64):
        with pytest.raises(UsageError, match="version 2 of shop is refused: expected a promote verdict"):
            promote(
                home, TASK, version=2, expected=1, evidence=evidence, override=False, reason="r", actor=ACTOR, now=NOW
            )
    assert aliases(home, TASK)["champion"] == 1
    _promote(home, 2, 1)
    assert history(home, TASK)[-1].override


def test_another_promotion_leaves_the_slot_as_it_is(home: Home) -> None:
    _open(home, 3)
    _promote(home, 2, 1)
    assert aliases(home, TASK) == {"champion": 2, "challenger": 3}


def test_a_champion_that_moved_meanwhile_is_busy(home: Home) -> None:
    _promote(home, 2, 1)
    with pytest.raises(Busy, match="expected version 1, got 2"):
        _promote(home, 3, 1)
    with pytest.raises(UsageError, match="got the champion"):
        _promote(home, 2, 2)


def _promote_in_process(home: Home, version: int, barrier: Barrier, answers: Queue[str]) -> None:
    barrier.wait()
    try:
        _promote(home, version, 1)
        answers.put("promoted")
    except Busy:
        answers.put("busy")


def test_ten_concurrent_promotions_over_one_champion_promote_once(tmp_path: Path) -> None:
    home, context = registry(tmp_path, n_trained=10), multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(10), context.Queue()
    processes = [
        context.Process(target=_promote_in_process, args=(home, version, barrier, answers)) for version in range(2, 12)
    ]
    for process in processes:
        process.start()
    outcomes = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(outcomes) == ["busy"] * 9 + ["promoted"]
    assert [entry.action for entry in history(home, TASK)] == ["declare", "promote"]


def test_rollback_goes_back_bars_and_freezes_until_resume(home: Home) -> None:
    _promote(home, 2, 1)
    _promote(home, 3, 2)
    assert not is_frozen(home, TASK)
    assert _rollback(home) == 2
    assert is_frozen(home, TASK)
    with pytest.raises(UsageError, match=r"version 3 of shop is refused: .* got a barred one"):
        _promote(home, 3, 2)
    with pytest.raises(UsageError, match="got a barred one"):
        _rollback(home, to=3)
    assert _rollback(home) == 1, "version 2 came after 1, and 3 is barred"
    with pytest.raises(UsageError, match="expected an earlier champion that is not barred, got none"):
        _rollback(home)
    resumed = resume(home, TASK, reason="cause found", actor=ACTOR, now=NOW)
    assert (resumed.version, resumed.previous, resumed.alias) == (1, 1, None)
    assert not is_frozen(home, TASK)
    with pytest.raises(UsageError, match="nothing to resume"):
        resume(home, TASK, reason="again", actor=ACTOR, now=NOW)
    _promote(home, 4, 1)
    assert aliases(home, TASK)["champion"] == 4


def test_rollback_is_to_an_earlier_champion_only(home: Home) -> None:
    _promote(home, 2, 1)
    with pytest.raises(UsageError, match="version 4 of shop is refused: expected an earlier champion"):
        _rollback(home, to=4)
    with pytest.raises(UsageError, match="got the champion"):
        _rollback(home, to=2)
    assert _rollback(home, to=1) == 1


def test_resuming_does_not_make_the_champion_younger(home: Home) -> None:
    _promote(home, 2, 1)
    _rollback(home)
    resume(home, TASK, reason="r", actor=ACTOR, now=NOW + timedelta(days=3))
    assert champion_since(home, TASK) == NOW


def test_every_move_needs_a_reason(home: Home) -> None:
    with pytest.raises(UsageError, match="no reason given"):
        rollback(home, TASK, to=1, reason=" ", actor=ACTOR, now=NOW)
    with pytest.raises(UsageError, match="no reason given"):
        move_champion(
            home, TASK, to=2, expected=1, action="promote", actor=ACTOR, reason="", evidence=None, override=True,
            now=NOW,
        )  # fmt: skip


def test_a_damaged_version_never_becomes_champion(home: Home) -> None:
    _flip(version_folder(home, TASK, 2) / "policy.onnx")
    with pytest.raises(IntegrityError, match=r"2/policy\.onnx"):
        _promote(home, 2, 1)
    assert aliases(home, TASK)["champion"] == 1
    with pytest.raises(IntegrityError, match=r"2/policy\.onnx"):
        _open(home, 2)


# the challenger


def test_one_challenger_at_a_time_and_each_once(home: Home) -> None:
    assert can_open(home, TASK, 2)
    _open(home, 2)
    assert not can_open(home, TASK, 3)
    with pytest.raises(Busy, match="got version 2 in it"):
        _open(home, 3)
    with pytest.raises(Busy, match="version 3 of shop is not under evaluation"):
        close_challenger(home, TASK, version=3, outcome="block", reason="r", actor=ACTOR, now=NOW)
    entry = close_challenger(home, TASK, version=2, outcome="exhausted", reason="5 looks", actor=ACTOR, now=NOW)
    assert (entry.action, entry.outcome, entry.alias) == ("close", "exhausted", "challenger")
    assert aliases(home, TASK) == {"champion": 1, "challenger": None}
    assert not can_open(home, TASK, 2)
    with pytest.raises(UsageError, match=r"version 2 of shop is refused: .* got one whose slot is closed"):
        _open(home, 2)
    _open(home, 3)
    entry = close_challenger(home, TASK, version=3, outcome="withdrawn", reason="r", actor=ACTOR, now=NOW)
    assert entry.action == "withdraw"


def test_champions_and_barred_versions_are_no_challengers(home: Home) -> None:
    assert not can_open(home, TASK, 1)
    with pytest.raises(UsageError, match="got the champion"):
        _open(home, 1)
    _promote(home, 2, 1)
    _rollback(home)
    with pytest.raises(UsageError, match="got a barred one"):
        _open(home, 2)


# damage


def _flip(path: Path, place: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("name", ["policy.onnx", "encoding.json", "manifest.json"])
def test_one_flipped_bit_in_a_version_is_named(home: Home, name: str, place: float) -> None:
    assert verify_registry(home, TASK) == []
    path = version_folder(home, TASK, 3) / name
    _flip(path, place)
    problems = verify_registry(home, TASK)
    assert problems
    assert all(str(path) in problem for problem in problems)
    with pytest.raises(StoreError):
        load_version(home, TASK, 3)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("index", [1, 2, 3])
def test_one_flipped_bit_in_the_history_is_named_also_in_its_last_entry(home: Home, index: int, place: float) -> None:
    _promote(home, 2, 1)
    _promote(home, 3, 2)
    assert verify_registry(home, TASK) == []
    path = home.history(TASK) / f"{index:08d}.json"
    _flip(path, place)
    (problem,) = verify_registry(home, TASK)
    assert str(home.history(TASK)) in problem
    assert path.name in problem or f"{index + 1:08d}.json" in problem, "the entry, or the link of the next one to it"
    with pytest.raises(IntegrityError):
        aliases(home, TASK)


def test_one_byte_of_white_space_in_the_last_entry_is_named(home: Home) -> None:
    path = home.history(TASK) / "00000001.json"
    path.write_bytes(path.read_bytes().replace(b" ", b"\t", 1))
    (problem,) = verify_registry(home, TASK)
    assert str(path) in problem


def test_a_lost_history_entry_is_named(home: Home) -> None:
    _promote(home, 2, 1)
    (home.history(TASK) / "00000001.json").unlink()
    (problem,) = verify_registry(home, TASK)
    assert "00000002.json" in problem


@pytest.mark.parametrize("name", ["policy.onnx", "encoding.json", "manifest.json"])
def test_a_lost_file_is_named(home: Home, name: str) -> None:
    path = version_folder(home, TASK, 2) / name
    path.unlink()
    assert any(str(path) in problem for problem in verify_registry(home, TASK))


def test_a_lost_version_is_named(home: Home) -> None:
    shutil.rmtree(version_folder(home, TASK, 2))
    (problem,) = verify_registry(home, TASK)
    assert f"missing version in {version_folder(home, TASK, 2)}" in problem


def test_a_manifest_forged_with_its_own_hash_is_caught_by_the_history(home: Home) -> None:
    path = version_folder(home, TASK, 1) / "manifest.json"
    content = json.loads(path.read_bytes())["manifest"] | {"description": "another"}
    path.write_bytes(canonical_json({"manifest": content, "sha256": sha256_bytes(canonical_json(content))}))
    (problem,) = verify_registry(home, TASK)
    assert f"other manifest {path}" in problem


def test_a_version_copied_over_another_is_named(home: Home) -> None:
    shutil.copytree(version_folder(home, TASK, 3), version_folder(home, TASK, 2), dirs_exist_ok=True)
    assert any("2/manifest.json" in problem for problem in verify_registry(home, TASK))


def test_a_manifest_cannot_name_a_file_elsewhere(home: Home) -> None:
    path = version_folder(home, TASK, 2) / "manifest.json"
    content = json.loads(path.read_bytes())["manifest"]
    content["files"]["../../../policy.onnx"] = "0" * 64
    path.write_bytes(canonical_json({"manifest": content, "sha256": sha256_bytes(canonical_json(content))}))
    with pytest.raises(IntegrityError, match=r"2/manifest\.json"):
        load_version(home, TASK, 2)


# death

_WRITER = """
import itertools, pathlib, sys
from data_contracts.home import Home
from policies.registry import aliases, promote
from tests.policies.small_registry import ACTOR, NOW, TASK, register
home = Home(pathlib.Path(sys.argv[1]))
for i in itertools.count():
    version = register(home, f"{sys.argv[2]}-{i}")
    given = {"expected": aliases(home, TASK)["champion"], "evidence": None, "override": True}
    promote(home, TASK, version=version, **given, reason="r", actor=ACTOR, now=NOW)
    print(version, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_registry(tmp_path: Path) -> None:
    home = registry(tmp_path, n_trained=0)
    for moment in (0.011, 0.047, 0.083):
        command = [sys.executable, "-c", _WRITER, str(tmp_path), f"key-{moment}"]
        with subprocess.Popen(command, cwd=Path.cwd(), stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert int(writer.stdout.readline()) > 1, "the writer is at work"
            time.sleep(moment)
            os.kill(writer.pid, signal.SIGKILL)
        champion = aliases(home, TASK)["champion"]
        assert champion is not None
        assert load_version(home, TASK, champion).n_actions == len(ACTIONS)
        assert verify_registry(home, TASK) == []
        last = list_versions(home, TASK)[-1]
        assert register(home, last.key) == last.version, "a rerun registers nothing twice"


def test_death_between_copy_and_claim_registers_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def die(*_: object) -> None:
        raise OSError(28, "No space left on device")

    rename: Callable[..., None] = os.rename
    monkeypatch.setattr(os, "rename", die)
    with pytest.raises(OSError, match="No space left"):
        register(home, "training-9")
    monkeypatch.setattr(os, "rename", rename)
    assert [m.version for m in list_versions(home, TASK)] == [1, 2, 3, 4]
    assert not list(home.versions(TASK).glob(".tmp-*"))
    assert register(home, "training-9") == 5
