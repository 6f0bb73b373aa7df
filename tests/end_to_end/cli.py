"""Run `sluice` as a user does: a process of its own, JSON on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: dict[str, Any]
    errors: str


def command(*arguments: str | Path) -> list[str]:
    return [str(Path(sys.executable).parent / "sluice"), *map(str, arguments)]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "SLUICE_HOME": str(home)}


def sluice(home: Path, *arguments: str | Path, code: int | None = 0) -> Answer:
    """Run a command with --json; `code` is the exit code that is expected (None: any)."""
    done = subprocess.run(
        command(*arguments, "--json"), env=environment(home), cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert code is None or done.returncode == code, f"exit {done.returncode}: {done.stderr[-3000:]}"
    return Answer(done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr)
