"""A task's contract in a store that has rows: `check` and every run see what a change breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_contracts.contract import read_contract
from data_contracts.errors import ConfigurationError
from data_contracts.home import Home
from data_contracts.language.contract_archive import archive_contract
from flows.tasks import load_task, task_problems
from tests.tiny_task import write_task


def test_a_breaking_change_is_a_mistake_of_the_task_in_that_store(tmp_path: Path) -> None:
    home, task = Home(tmp_path / "home"), write_task(tmp_path)
    contract = tmp_path / "tiny.odcs.yaml"
    assert task_problems(task, home=home) == []
    archive_contract(home, "tiny", read_contract(contract))
    assert task_problems(task, home=home) == []
    text = contract.read_text()
    line = next(i for i, words in enumerate(text.splitlines(), start=1) if "name: y," in words)
    contract.write_text(text.replace("{name: y, logicalType: number,", "{name: y, logicalType: integer,"))
    [problem] = task_problems(task, home=home)
    assert (Path(problem.file).name, problem.line) == ("tiny.odcs.yaml", line)
    assert "breaking change of column y since version 1.0.0: expected version 2.0.0" in problem.message
    with pytest.raises(ConfigurationError, match="Raise version to 2"):
        load_task(task, home=home)
    assert task_problems(task) == []  # without rows to break, the file is fine
    assert task_problems(task, home=Home(tmp_path / "another")) == []
