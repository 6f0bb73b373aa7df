"""Where state lives, and who may hold a task."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_contracts.errors import Busy, StoreError, UsageError
from data_contracts.home import Home, create_home, find_home, require_home
from data_contracts.storage import canonical_json


def test_the_nearest_folder_upwards_is_the_store(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    home = create_home({}, tmp_path)
    assert home.root == tmp_path / ".sluice"
    assert find_home({}, deep) == home
    assert find_home({"SLUICE_HOME": str(tmp_path / "elsewhere")}, deep) is None
    assert create_home({"SLUICE_HOME": str(tmp_path / "elsewhere")}, deep).root == tmp_path / "elsewhere"


def test_without_a_store_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="sluice demo"):
        require_home({}, tmp_path)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    home = create_home({}, tmp_path)
    (home.root / "format.json").write_bytes(canonical_json({"format": 99}))
    with pytest.raises(StoreError, match="format 2 or older, got 99"):
        require_home({}, tmp_path)


@pytest.mark.parametrize("name", ["../etc", "a/b", "", "Ünicode", "9lives", "a" * 64])
def test_no_path_is_built_from_a_value(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="task name"):
        Home(tmp_path).snapshots(name)


def test_one_run_holds_a_task(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.lock("t"), pytest.raises(Busy, match="holds"), home.lock("t"):
        pass
    with home.lock("t"):
        pass
