"""Kill -9 during `sluice retrain`: the champion still loads, and the rerun finishes with the same result."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.cli import command, environment, sluice
from tests.tiny_task import rows, write_jsonl, write_task

SEED = 20261121
N_KILLS = 5
SAME = ("verdict", "version", "champion", "promoted", "snapshot_id", "evidence", "look")


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    log = write_jsonl(tmp_path / "log.jsonl", rows())
    started = time.monotonic()
    reference = sluice(tmp_path / "reference", "retrain", task, "--from", log).out
    duration = time.monotonic() - started
    moments = random.Random(SEED)
    print(f"seed {SEED}, a run takes {duration:.1f} s")
    for i in range(N_KILLS):
        home = tmp_path / f"home-{i}"
        run = subprocess.Popen(
            command("retrain", task, "--from", log, "--json"),
            env=environment(home),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moments.uniform(0.3, duration))
        os.killpg(run.pid, signal.SIGKILL)  # workers too, as a machine that loses power would
        run.wait()
        if (home / "policies").exists():
            observed = write_jsonl(tmp_path / "seen.jsonl", [{"x": 0.5, "y": 0.1}])
            assert sluice(home, "act", task, "--observations", observed).out["n"] == 1, "the champion still decides"
        rerun = sluice(home, "retrain", task, "--from", log).out
        finished = {key: rerun[key] for key in SAME}
        if rerun["verdict"] is None:  # the kill came after the run had finished
            finished = {key: reference[key] for key in SAME}
            assert rerun["champion"] == reference["champion"]
        assert finished == {key: reference[key] for key in SAME}
        assert sluice(home, "verify", task).out["ok"]
