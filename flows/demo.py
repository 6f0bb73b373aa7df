"""The main job: every shipped task through the whole loop, in the store in force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data_contracts.home import Home
from flows.context import open_context
from flows.ingest import Progress
from flows.loop import retrain
from flows.summary import run_payload, run_text
from flows.tasks import shipped_tasks


@dataclass(frozen=True, slots=True)
class DemoRun:
    payload: dict[str, Any]
    text: str


def run_demo(home: Home, *, actor: str, now: datetime, progress: Progress | None = None) -> list[DemoRun]:
    """One retrain per shipped task; run again, it finds nothing new and says so."""
    runs = []
    for name in shipped_tasks():
        context = open_context(name, home=home, actor=actor)
        result = retrain(context, now=now, progress=progress)
        runs.append(DemoRun(payload=run_payload(context, result), text=run_text(context, result)))
    return runs
