"""The loop as a Prefect flow: the same steps as tasks, with artifacts for people and ids between tasks.

Without a server the command line runs `flows.loop.retrain` directly; one composition, two ways to run it.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from data_contracts.errors import ContractViolation
from data_contracts.home import create_home
from flows.context import open_context
from flows.loop import retrain, utc_now
from flows.monitor import check_staleness
from flows.records import Step
from flows.settings import quiet_libraries
from flows.summary import run_payload, run_text
from flows.triggers import Origin

STEPS = (
    "champion", "ingest", "validate", "snapshot", "arms", "slot", "trigger", "train", "open", "look", "promote",
    "standing", "report", "alerts",
)  # fmt: skip


@flow(name="retrain", flow_run_name="{task}", persist_result=True, result_serializer="json", retries=0)
def retrain_flow(task: str, origin: Origin = "schedule", as_of: datetime | None = None) -> dict[str, object]:
    """One run of a task. The moment is the scheduled start, so that a late run does what it was meant to do."""
    quiet_libraries()
    logger = get_run_logger()
    context = open_context(task, home=create_home(), actor=getpass.getuser())
    planned = flow_run.get_scheduled_start_time()  # Prefect's own class, which not every sum with a timedelta survives
    scheduled = datetime.fromtimestamp(planned.timestamp(), UTC) if planned else utc_now()
    result = retrain(context, as_of=as_of, origin=origin, now=scheduled, call=_as_task(_Progress()))
    logger.info(run_text(context, result))
    key = f"report-{context.name.replace('_', '-')}"
    create_markdown_artifact(f"```\n{run_text(context, result)}\n```", key=key, description=f"Run {result.run_id}")
    create_link_artifact(f"file://{result.reported.html}", link_text="Reward Report", key=f"{key}-link")
    return run_payload(context, result)


@flow(name="monitor", persist_result=False)
def monitor_flow() -> list[str]:
    """Open an incident for every task without a successful run within its SLA."""
    quiet_libraries()
    alerted = check_staleness(create_home(), actor=getpass.getuser(), now=utc_now())
    return [incident for a in alerted for incident in a.open]


class _Progress:
    """A progress artifact that counts the steps of the run."""

    def __init__(self) -> None:
        self._done = 0
        self._id = cast(UUID, create_progress_artifact(0.0, description="Steps of the run"))  # sync here: no coroutine

    def advance(self) -> None:
        self._done += 1
        update_progress_artifact(self._id, progress=min(100.0, 100.0 * self._done / len(STEPS)))


def _as_task(progress: _Progress) -> Callable[[str, Callable[[], Step]], Step]:
    """Run each step as a Prefect task; results persist as JSON, and the run's own record decides what to repeat."""

    def call(name: str, function: Callable[[], Step]) -> Step:
        step: Step | None = None

        @task(name=name, cache_policy=NO_CACHE, persist_result=True, result_serializer="json")
        def run_step() -> dict[str, object]:
            nonlocal step
            step = function()
            return step.model_dump(mode="json")

        run_step()
        if step is None:
            raise ContractViolation(f"step {name} gave no result")
        progress.advance()
        return step

    return call
