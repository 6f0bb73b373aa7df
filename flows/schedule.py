"""Schedules come from the task files: `infra/prefect.yaml` is generated, never edited."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

from flows.settings import QUIET, ROOT
from flows.tasks import load_task, shipped_tasks

PREFECT_FILE = ROOT / "infra" / "prefect.yaml"
POOL = "sluice"
MONITOR_CRON = "17 * * * *"
HEADER = "# Generated from infra/tasks/*.yaml by `make schedule`; edit the task files, not this.\n"


def next_tick(cron: str, now: datetime) -> datetime:
    """The first tick of a cron expression after `now` (UTC)."""
    from cronsim import CronSim

    tick: datetime = next(CronSim(cron, now.astimezone(UTC)))
    return tick


def render_prefect_yaml() -> str:
    """One deployment per shipped task, and the monitor."""
    return render_deployments(shipped_tasks())


def render_deployments(tasks: Sequence[str | Path]) -> str:
    """prefect.yaml for these tasks (names or files), and the monitor."""
    from ruamel.yaml import YAML

    deployments = [*(_retrain_deployment(task) for task in tasks), _monitor_deployment()]
    stream = StringIO()
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump({"name": "sluice", "deployments": deployments}, stream)
    return HEADER + stream.getvalue()


def write_prefect_yaml(path: Path = PREFECT_FILE) -> None:
    path.write_text(render_prefect_yaml())


def _retrain_deployment(name_or_path: str | Path) -> dict[str, object]:
    task, _ = load_task(name_or_path)
    return {
        **_deployment(f"retrain-{task.task.replace('_', '-')}", "flows/retrain.py:retrain_flow", task.cadence.cron),
        "description": task.description,
        "parameters": {"task": str(name_or_path), "origin": "schedule"},
    }


def _monitor_deployment() -> dict[str, object]:
    return {
        **_deployment("monitor", "flows/retrain.py:monitor_flow", MONITOR_CRON),
        "description": "Opens an incident for every task without a successful run within its SLA.",
        "parameters": {},
    }


def _deployment(name: str, entrypoint: str, cron: str) -> dict[str, object]:
    return {
        "name": name,
        "entrypoint": entrypoint,
        # a late pile of ticks is one run, not many: work is keyed on the data, not on the tick
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "schedules": [{"cron": cron, "timezone": "UTC", "slug": f"{name}-cron", "active": True}],
        "work_pool": {"name": POOL, "job_variables": {"env": dict(QUIET)}},
    }


if __name__ == "__main__":
    write_prefect_yaml()
