"""IPS, SNIPS, DM and DR beside the Open Bandit Pipeline's: the same ten digits, CPU time and memory of each.

obp 0.5.7 says it wants Python < 3.11 and pins the libraries of 2022; its estimators run on newer ones. It is
installed alone, without its dependencies, into an environment made here, which reads NumPy, pandas, scikit-learn and
torch from the project's, so that both sides use the same NumPy. Without a package index the formulas of its source
stand in, which spares obp its input checks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.ope_peers import write_log

pytestmark = pytest.mark.benchmark
N_ROWS, N_ACTIONS, SEED = 1_000_000, 8, 11
ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).with_name("ope_peers.py")
PINNED = "obp==0.5.7"


def _environment_with_obp(folder: Path) -> Path | None:
    """The Python of a fresh environment with obp; None where it cannot be installed."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "-q", "--no-deps", "--ignore-requires-python", PINNED]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    shared = sysconfig.get_paths()["purelib"]
    (folder / "lib" / "python3.11" / "site-packages" / "shared.pth").write_text(shared + "\n")
    return python


def _measure(python: Path | str, side: str, folder: Path) -> dict[str, Any]:
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    environment = os.environ | threads | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, PEERS, side, folder], capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_ten_equal_digits_in_a_sixth_of_the_cpu_time_and_of_the_memory(tmp_path: Path) -> None:
    write_log(tmp_path, N_ROWS, n_actions=N_ACTIONS, seed=SEED)
    python = _environment_with_obp(tmp_path / "peer")
    peer = _measure(python, "obp", tmp_path) if python else _measure(sys.executable, "formulas", tmp_path)
    ours = _measure(sys.executable, "ours", tmp_path)
    who = PINNED if python else f"formulas of {PINNED} (it could not be installed)"
    for name, value in peer["values"].items():
        assert ours["values"][name] == pytest.approx(value, rel=1e-10), name
    for label, side in (("ours", ours), (who, peer)):
        print(
            f"\n{label}: {side['seconds'][0]:.3f} CPU-s at best, {side['seconds'][2]:.3f} median of 5, "
            f"{side['megabytes']:.0f} MB above the log ({N_ROWS:,} rows x {N_ACTIONS} actions, seed {SEED})",
            end="",
        )
    ratios = [theirs / own for theirs, own in zip(peer["seconds"], ours["seconds"], strict=True)]
    print(f"\ntimes as fast: {ratios[0]:.1f} at best, {ratios[2]:.1f} by medians")
    assert ratios[2] >= (6 if python else 4)
    assert peer["megabytes"] >= 3 * ours["megabytes"]
