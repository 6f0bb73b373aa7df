"""Tasks: which ones are shipped, a task file and its contract read into typed settings, the files they name."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal

from data_contracts.contract import Contract, shipped_contract
from data_contracts.errors import ConfigurationError, UsageError
from data_contracts.home import NAME, Home
from data_contracts.language.problems import Problem, Problems, refuse, show, shown_path
from flows.settings import ROOT
from flows.task_paths import expand, wrong_pattern
from flows.task_settings import (
    Actions,
    AlertRoute,
    BehaviorPolicy,
    Cadence,
    DeclaredPolicy,
    Source,
    Task,
)

__all__ = [
    "Actions",
    "AlertRoute",
    "BehaviorPolicy",
    "Cadence",
    "DeclaredPolicy",
    "Source",
    "Task",
    "expand",
    "load_task",
    "resolve",
    "shipped_tasks",
    "source_files",
    "task_problems",
]

SHIPPED: Final = ROOT / "infra" / "tasks"
SUFFIXES: Final = (".yaml", ".yml")


def shipped_tasks() -> list[str]:
    """Names of the tasks that come with Sluice."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml") if NAME.fullmatch(path.stem))


def load_task(name_or_path: str | Path, *, home: Home | None = None) -> tuple[Task, Contract]:
    """A shipped task by name, or any task by path, with its contract; `home`: see `task_problems`.

    Raises UsageError when there is no such task, ConfigurationError with every mistake of both files.
    """
    task, contract, problems = _read(find_task(name_or_path), home)
    if task is None or contract is None or problems:
        raise refuse(problems)
    return task, contract


def task_problems(name_or_path: str | Path, *, home: Home | None = None) -> list[Problem]:
    """Every mistake of the task file and of its contract; empty when `load_task` would succeed.

    With `home`, also what the contract breaks of those that the store's rows were accepted under.
    """
    return _read(find_task(name_or_path), home)[2]


def find_task(name_or_path: str | Path) -> Path:
    """Where the task file lies (absolute). What looks like a path is one; anything else is a shipped name."""
    text = str(name_or_path)
    if text.endswith(SUFFIXES) or os.sep in text:
        path = Path(text).absolute()
        if not path.is_file():
            raise UsageError(f"no task file {text}: expected a YAML file, got nothing there. Check the path.")
        return path
    names = shipped_tasks()
    if text not in names:
        close = get_close_matches(text, names, n=3)
        then = f"Did you mean {' or '.join(close)}?" if close else "A path to a task file works as well."
        raise UsageError(
            f"no task {text!r}: expected one of {', '.join(names) or 'none shipped'}, got {text!r}. {then}"
        )
    return SHIPPED / f"{text}.yaml"


def resolve(task: Task, relative: str) -> Path:
    """A path of the task file, which is relative to it."""
    return (task.file.parent / relative).resolve()


def source_files(task: Task, kind: Literal["interactions", "outcomes"]) -> list[Path]:
    """Files of the task's source, each once: patterns in the order of the task file, the files of a glob sorted.

    Raises ConfigurationError for an object-store URL.
    """
    patterns = task.source.interactions if kind == "interactions" else task.source.outcomes
    for pattern in patterns:
        if expected := wrong_pattern(pattern):
            then = "Correct source in the task file."
            raise ConfigurationError(
                f"pattern in source.{kind} of {task.file}: expected {expected}, got {show(pattern)}. {then}"
            )
    found = [path.resolve() for pattern in patterns for path in expand(pattern, base=task.file.parent)]
    return list(dict.fromkeys(found))


def _read(path: Path, home: Home | None) -> tuple[Task | None, Contract | None, list[Problem]]:
    """Task and contract as far as they can be read, and every mistake: the task file's own first, in order of lines."""
    from data_contracts.language.contract_history import history_problems
    from data_contracts.language.contract_reader import parse_contract
    from data_contracts.language.model_problems import read_model
    from data_contracts.language.yaml_strict import read_yaml
    from flows.task_checks import TaskFile, check_task

    document = read_yaml(path)
    problems, data = Problems(document.file, document.index, list(document.problems)), document.data or {}
    contract_path = _contract_path(path, data, problems)
    contract, of_contract = parse_contract(contract_path) if contract_path is not None else (None, [])
    if contract is not None and home is not None and NAME.fullmatch(path.stem):
        of_contract = history_problems(home, path.stem, contract)
    task = None
    if document.data is not None:
        read = read_model(data, Task, problems)
        check_task(TaskFile(path, data, read.parts, read.wrong, contract, problems))
        task = read.model.model_copy(update={"file": path}) if read.model is not None else None
    own = sorted(problems.found, key=lambda problem: (problem.file != document.file, problem))
    return task, contract, own + of_contract


def _contract_path(path: Path, data: dict[str, object], problems: Problems) -> Path | None:
    """`contract:`, else NAME.odcs.yaml beside the task file, else the shipped contract of that name."""
    declared = data.get("contract")
    if isinstance(declared, str):
        found = path.parent / declared
        if os.path.isfile(found):
            return found
        then = "The path is relative to the task file."
        problems.add(("contract",), "contract", expected="a file that exists", got=show(declared), then=then)
        return None
    beside = path.with_name(f"{path.stem}.odcs.yaml")
    candidates = [beside, *([shipped_contract(path.stem)] if NAME.fullmatch(path.stem) else [])]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    expected = f"{shown_path(beside)}, or key contract with its path"
    problems.add(("contract",), "no contract", expected=expected, got="neither", then="Write the contract.")
    return None
