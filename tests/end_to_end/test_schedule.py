"""A Prefect server and a worker on this machine complete a run that the cron schedule made."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from flows.schedule import PREFECT_FILE, render_deployments, render_prefect_yaml
from tests.end_to_end.cli import ROOT, sluice
from tests.tiny_task import rows, write_jsonl, write_task

PATIENCE_SECONDS = 240


def test_the_committed_schedule_is_the_one_the_task_files_ask_for() -> None:
    assert PREFECT_FILE.read_text() == render_prefect_yaml(), "run `make schedule`"


@contextmanager
def serving(prefect_file: Path, home: Path, prefect_home: Path) -> Iterator[str]:
    """`infra/serve.sh` as a user starts it; yields the server's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {
        "SLUICE_HOME": str(home),
        "PREFECT_HOME": str(prefect_home),
        "SLUICE_PREFECT_PORT": str(port),
    }
    with (prefect_home / "serve.log").open("w") as log:
        server = subprocess.Popen(
            ["infra/serve.sh", str(prefect_file)],
            cwd=ROOT,
            env={**os.environ, **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield f"http://127.0.0.1:{port}/api"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)


def scheduled_runs(api: str) -> list[dict[str, object]]:
    """Runs that the scheduler made, oldest first; none while the server starts."""
    try:
        answer = httpx.post(f"{api}/flow_runs/filter", json={"sort": "EXPECTED_START_TIME_ASC"}, timeout=10)
    except httpx.TransportError:
        return []
    return [run for run in answer.json() if run["auto_scheduled"]] if answer.is_success else []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_cron_schedule_makes_a_run_and_the_next_tick_says_why_not(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", cron="* * * * *")
    write_jsonl(tmp_path / "task" / "logs" / "a.jsonl", rows())
    prefect_file, home, prefect_home = tmp_path / "prefect.yaml", tmp_path / "home", tmp_path / "prefect"
    prefect_home.mkdir()
    prefect_file.write_text(render_deployments([task]))
    with serving(prefect_file, home, prefect_home) as api:
        deadline = time.monotonic() + 2 * PATIENCE_SECONDS
        completed: list[dict[str, object]] = []
        seen_states: set[object] = set()
        while time.monotonic() < deadline and len(completed) < 2:
            found = scheduled_runs(api)
            seen_states |= {run["state_type"] for run in found}
            completed = [run for run in found if run["state_type"] == "COMPLETED"]
            time.sleep(2)
        log = (prefect_home / "serve.log").read_text()
        assert "SCHEDULED" in seen_states, log[-3000:]
        assert len(completed) >= 2, f"{seen_states}\n{log[-3000:]}"
        artifacts = httpx.post(f"{api}/artifacts/filter", json={}, timeout=10).json()
    assert {"markdown", "progress"} <= {a["type"] for a in artifacts}
    runs = [json.loads(path.read_text()) for path in sorted((home / "runs" / "tiny").glob("*/run.json"))]
    runs.sort(key=lambda run: run["moment"])
    assert runs[0]["steps"]["trigger"]["train"]
    assert any(fired.startswith("clock: * * * * *") for fired in runs[0]["steps"]["trigger"]["fired"])
    assert runs[0]["steps"]["look"]["verdict"] == "promote"
    assert not runs[1]["steps"]["trigger"]["train"]
    assert "already" in runs[1]["steps"]["trigger"]["why_not"]
    assert sluice(home, "policies", task).out["aliases"]["champion"] == 2
