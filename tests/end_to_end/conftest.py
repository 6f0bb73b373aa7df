"""One finished run of the tiny task, shared by tests that only read it (each gets its own copy to break)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.cli import sluice
from tests.tiny_task import rows, write_jsonl, write_task


@dataclass(frozen=True, slots=True)
class Site:
    """A task file with its log, and a store."""

    task: Path
    home: Path
    first: dict[str, Any]  # the answer of the first retrain

    def run(self, *arguments: str | Path, code: int | None = 0) -> dict[str, Any]:
        return sluice(self.home, *arguments, code=code).out


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("finished")
    task = write_task(folder / "task")
    write_jsonl(folder / "task" / "logs" / "first.jsonl", rows())
    home = folder / "home"
    return Site(task, home, sluice(home, "retrain", task, "--from", task.parent / "logs" / "first.jsonl").out)


@pytest.fixture
def site(finished: Site, tmp_path: Path) -> Site:
    """A copy of the finished run that a test may change."""
    shutil.copytree(finished.task.parent, tmp_path / "task")
    shutil.copytree(finished.home, tmp_path / "home")
    return Site(tmp_path / "task" / "tiny.yaml", tmp_path / "home", finished.first)
