"""A run's record: every committed step with its result, so that a rerun after kill -9 goes on where it stopped.

A run that was cut off is still `running`; the next run of the same command with the same request
takes it over (the task's lock proves that nobody else works on it) and keeps its moment.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from data_contracts.home import Home
from data_contracts.storage import canonical_json, read_json, write_atomic
from flows.records import Step

S = TypeVar("S", bound=Step)
CallStep = Callable[[str, Callable[[], S]], S]
State = Literal["running", "finished", "blocked", "failed"]


def call_directly(name: str, function: Callable[[], S]) -> S:
    """Run a step as a plain function call (the Prefect flow runs it as a task instead)."""
    return function()


class RunRecord(BaseModel):
    """`run.json`: what was asked, when, how far it came."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: str
    task: str
    command: str
    request: dict[str, JsonValue]
    moment: datetime  # "now" of this run, also after it was resumed
    state: State = "running"
    ended_at: datetime | None = None
    error: str | None = None
    steps: dict[str, JsonValue] = {}


class Run:
    """The current run; `step` is the only way to do work in it."""

    def __init__(self, record: RunRecord, *, folder: Path, call: CallStep[Step]) -> None:
        self.record = record
        self.folder = folder
        self._call = call

    def step(self, name: str, kind: type[S], function: Callable[[], S]) -> S:
        """The committed result of step `name`, else the result of `function`, committed."""
        if name in self.record.steps:
            return kind.model_validate(self.record.steps[name])
        result = kind.model_validate(self._call(name, function).model_dump())
        self._save(steps={**self.record.steps, name: result.model_dump(mode="json")})
        return result

    def result(self, name: str, kind: type[S]) -> S | None:
        """The committed result of step `name`, or None when it did not happen."""
        return kind.model_validate(self.record.steps[name]) if name in self.record.steps else None

    def finish(self, state: State, *, now: datetime, error: str | None = None) -> None:
        self._save(state=state, ended_at=now, error=error)

    def _save(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)
        write_atomic(self.folder / "run.json", canonical_json(self.record.model_dump(mode="json")))


def begin_run(
    home: Home, task: str, *, command: str, request: dict[str, JsonValue], now: datetime, call: CallStep[Step]
) -> Run:
    """Take over the run that was cut off with the same command and request, or begin a new one."""
    last = next((r for r in reversed(list_runs(home, task)) if r.command == command), None)
    if last is not None and last.state == "running" and last.request == request:
        return Run(last, folder=home.runs(task) / last.run_id, call=call)
    run_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    record = RunRecord(run_id=run_id, task=task, command=command, request=request, moment=now)
    run = Run(record, folder=home.runs(task) / run_id, call=call)
    run._save()
    return run


def list_runs(home: Home, task: str) -> list[RunRecord]:
    """All runs of a task, oldest first."""
    paths = sorted(home.runs(task).glob("*/run.json"))
    return sorted((RunRecord.model_validate(read_json(p)) for p in paths), key=lambda r: (r.moment, r.run_id))


def last_success(home: Home, task: str) -> datetime | None:
    """When the last run that did its job ended."""
    ended = [r.ended_at for r in list_runs(home, task) if r.state == "finished" and r.ended_at]
    return max(ended, default=None)
