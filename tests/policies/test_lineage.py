"""Which data made which policy, both ways, on a real log, snapshot and ledger."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from data_contracts.errors import IntegrityError, UsageError
from data_contracts.home import Home
from data_contracts.rewards.outcomes import RewardSettings
from data_contracts.snapshot import build_snapshot
from data_contracts.splits import SplitSettings
from data_contracts.storage import sha256_file
from policies.lineage import lineage_of_snapshot, lineage_of_version
from policies.registry import close_challenger, open_slot
from tests.data_contracts import small_log
from tests.policies import small_registry as registry


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str, str]:
    """Snapshots of one batch and of two; version 2 is of the first, 3, 4 (from 2) and 5 (from 4) of the second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "TASK", small_log.TASK)
        folder = tmp_path_factory.mktemp("site")
        home = registry.registry(folder / "home", n_trained=0)
        snapshots = []
        for name, first in (("one", 0), ("two", 200)):
            log = small_log.jsonl(folder / f"{name}.jsonl", small_log.rows(200, start=first))
            small_log.take_in(home, log)
            snapshots.append(_snapshot(home))
        parents = (None, None, 2, 4)
        for number, (snapshot, parent) in enumerate(zip([snapshots[0], *[snapshots[1]] * 3], parents, strict=True)):
            facts = registry.facts(snapshot_id=snapshot, parent=parent)
            registry.register(home, f"training-{number}", facts_=facts)
        open_slot(home, small_log.TASK, version=2, actor="t", reason="trained", now=registry.NOW)
        registry.look(home, 2, "hold", snapshot_id=snapshots[0])
        registry.look(home, 2, "block", number=2, snapshot_id=snapshots[1])
        close_challenger(home, small_log.TASK, version=2, outcome="block", reason="harm", actor="t", now=registry.NOW)
    return home, snapshots[0], snapshots[1]


def _snapshot(home: Home) -> str:
    snapshot = build_snapshot(
        home,
        task=small_log.TASK,
        contract=small_log.CONTRACT,
        reward=RewardSettings(),
        split=SplitSettings(),
        evaluable_versions=None,
        as_of=None,
        now=small_log.NOW + timedelta(days=30),
    )
    return snapshot.snapshot_id


def test_a_version_names_its_data_down_to_the_files(site: tuple[Home, str, str], tmp_path: Path) -> None:
    home, first, second = site
    one = sha256_file(small_log.jsonl(tmp_path / "one.jsonl", small_log.rows(200)))
    two = sha256_file(small_log.jsonl(tmp_path / "two.jsonl", small_log.rows(200, start=200)))
    found = lineage_of_version(home, small_log.TASK, 2)
    assert found.snapshot_id == first
    assert found.snapshot is not None
    assert found.snapshot.n_interactions == 200
    assert [(f.name, f.sha256) for b in found.snapshot.batches for f in b.files] == [("one.jsonl", one)]
    both = lineage_of_version(home, small_log.TASK, 3)
    assert both.snapshot is not None
    assert both.snapshot_id == second
    assert {f.sha256 for b in both.snapshot.batches for f in b.files} == {one, two}
    assert all((home.root / name).exists() for name in both.snapshot.table_files)


def test_a_version_names_its_contract_parents_looks_and_moves(site: tuple[Home, str, str]) -> None:
    home, first, second = site
    found = lineage_of_version(home, small_log.TASK, 2)
    assert (found.parents, found.children) == ((), (4,))
    assert [(look.look, look.verdict, look.snapshot_id) for look in found.looks] == [
        (1, "hold", first),
        (2, "block", second),
    ]
    assert [(m.action, m.outcome) for m in found.history] == [("open", None), ("close", "block")]
    assert (found.manifest.contract_sha256, found.manifest.settings) == ("c" * 64, {"steps": 10})
    assert lineage_of_version(home, small_log.TASK, 5).parents == (4, 2)


def test_a_declared_version_has_no_data(site: tuple[Home, str, str]) -> None:
    home, _, _ = site
    found = lineage_of_version(home, small_log.TASK, 1)
    assert (found.snapshot_id, found.snapshot, found.looks) == (None, None, ())
    assert [m.action for m in found.history] == ["declare"]


def test_a_snapshot_names_what_it_led_to(site: tuple[Home, str, str]) -> None:
    home, first, second = site
    found = lineage_of_snapshot(home, small_log.TASK, first[:10])
    assert (found.snapshot_id, found.versions, found.descendants) == (first, (2,), (4, 5))
    assert [look.look for look in found.looks] == [1]
    other = lineage_of_snapshot(home, small_log.TASK, second)
    assert (other.versions, other.descendants) == ((3, 4, 5), (5,))
    assert [look.look for look in other.looks] == [2], "its rows decided about a version that was not trained on it"


def test_both_ways_are_json(site: tuple[Home, str, str]) -> None:
    home, first, _ = site
    assert lineage_of_version(home, small_log.TASK, 2).to_json()["snapshot"]["as_of"].startswith("2026-10")
    assert lineage_of_snapshot(home, small_log.TASK, first).to_json()["versions"] == [2]


def test_unknown_and_ambiguous_names_are_refused(site: tuple[Home, str, str]) -> None:
    home, _, _ = site
    with pytest.raises(UsageError, match="no version 9"):
        lineage_of_version(home, small_log.TASK, 9)
    for name in ("", "xyz"):
        with pytest.raises(UsageError, match="got 0 that fit"):
            lineage_of_snapshot(home, small_log.TASK, name)


def test_a_snapshot_that_is_gone_is_said_to_be_gone(site: tuple[Home, str, str], tmp_path: Path) -> None:
    home = Home(Path(shutil.copytree(site[0].root, tmp_path / "home")))
    shutil.rmtree(home.snapshots(small_log.TASK) / site[1])
    found = lineage_of_version(home, small_log.TASK, 2)
    assert (found.snapshot_id, found.snapshot) == (site[1], None)
    assert lineage_of_snapshot(home, small_log.TASK, site[1]).versions == (2,)


def test_damaged_rows_end_the_account(site: tuple[Home, str, str], tmp_path: Path) -> None:
    home = Home(Path(shutil.copytree(site[0].root, tmp_path / "home")))
    path = home.snapshots(small_log.TASK) / site[1] / "interactions.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"interactions\.parquet"):
        lineage_of_version(home, small_log.TASK, 2)
