"""The other seeds of a version: kept beside it with their hashes, never served, absent from older versions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from data_contracts.errors import IntegrityError, StoreError, UsageError
from data_contracts.home import Home
from data_contracts.storage import sha256_file
from policies.export import load_policy
from policies.registry import load_seeds, load_version, read_version, register_version, verify_registry, version_folder
from tests.policies.small_registry import NOW, TASK, artifact, facts, registry

ROWS = pa.table({"x": [1, 2]})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 serves, version 2 was trained by an older release, version 3 has two other seeds."""
    root = tmp_path_factory.mktemp("registry")
    home = registry(root / "home", n_trained=1)
    seeds = {10: artifact(root / "ten", 0.7), 2: artifact(root / "two", 0.4)}
    register_version(
        home, TASK, artifact=artifact(root / "deployed", 0.5), facts=facts(), key="seeds", now=NOW, seeds=seeds
    )
    return home.root


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(template, tmp_path / "home")))


def test_seeds_are_kept_with_their_hashes_and_answer_as_they_were_trained(home: Home) -> None:
    manifest, folder = read_version(home, TASK, 3), version_folder(home, TASK, 3)
    assert sorted(manifest.files) == ["encoding.json", "policy.onnx", "seeds/10.onnx", "seeds/2.onnx"]
    assert {name: sha256_file(folder / name) for name in manifest.files} == manifest.files
    found = load_seeds(home, TASK, 3)
    assert list(found) == [2, 10]  # by number, not by name
    assert [p.action_probabilities(ROWS)[0, 0] for p in found.values()] == pytest.approx([0.4, 0.7])
    assert load_version(home, TASK, 3).action_probabilities(ROWS)[0, 0] == pytest.approx(0.5)
    assert manifest.artifact_sha256 == load_policy(folder).artifact_sha256  # the seeds are no part of what serves
    assert not verify_registry(home, TASK)


def test_versions_of_older_releases_have_none(home: Home) -> None:
    for version in (1, 2):
        assert load_seeds(home, TASK, version) == {}
        assert sorted(read_version(home, TASK, version).files) == ["encoding.json", "policy.onnx"]


def test_a_damaged_or_lost_seed_is_named_and_the_version_still_serves(home: Home) -> None:
    path = version_folder(home, TASK, 3) / "seeds" / "2.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"damaged file .*seeds/2\.onnx"):
        load_seeds(home, TASK, 3)
    assert [r"seeds/2.onnx" in problem for problem in verify_registry(home, TASK)] == [True]
    path.unlink()
    with pytest.raises(StoreError, match=r"missing file .*seeds/2\.onnx"):
        load_seeds(home, TASK, 3)
    assert load_version(home, TASK, 3).n_actions == 3


def test_a_file_that_no_version_has_is_refused(home: Home) -> None:
    from policies.versions import SEED_FILE

    for name in ("seeds/x.onnx", "seeds/1.onnx/..", "../seeds/1.onnx", "seeds/1.json", "other.onnx"):
        assert not SEED_FILE.fullmatch(name)


def test_a_seed_with_another_encoding_is_not_registered(home: Home, tmp_path: Path) -> None:
    folder, other = artifact(tmp_path / "a", 0.5), artifact(tmp_path / "b", 0.6)
    encoding = other / "encoding.json"
    encoding.write_bytes(encoding.read_bytes().replace(b"{", b"{ ", 1))
    with pytest.raises(UsageError, match="seed 4 of shop does not belong to the version"):
        register_version(home, TASK, artifact=folder, facts=facts(), key="k", now=NOW, seeds={4: other})
    assert not version_folder(home, TASK, 4).exists()


def test_a_seed_that_cannot_be_loaded_is_not_registered(home: Home, tmp_path: Path) -> None:
    folder, broken = artifact(tmp_path / "a", 0.5), artifact(tmp_path / "b", 0.6)
    (broken / "policy.onnx").write_bytes((broken / "policy.onnx").read_bytes()[:-20])
    with pytest.raises(IntegrityError, match=r"policy\.onnx"):
        register_version(home, TASK, artifact=folder, facts=facts(), key="k", now=NOW, seeds={4: broken})
    assert not version_folder(home, TASK, 4).exists()
