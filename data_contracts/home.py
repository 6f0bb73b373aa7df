"""Where state lives: one folder, one function per kind of thing in it.

`$SLUICE_HOME`, else the nearest `.sluice` folder upwards. Names that become part of a path are
checked against NAME first, so no path is ever built from an unchecked value.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import Busy, StoreError, UsageError
from data_contracts.storage import canonical_json, create_exclusive, read_json, write_atomic

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
MARKER = "format.json"
FORMAT = 2  # of the store on disk; an older Sluice refuses a newer store. 2: slots and stages; rows without a digest


def check_name(name: str, *, what: str) -> str:
    """Return `name` if it may become a folder; raises UsageError otherwise."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"bad {what} {name!r}: expected lower-case letters, digits and underscores, "
            "starting with a letter, at most 63. Rename it."
        )
    return name


@dataclass(frozen=True, slots=True)
class Home:
    """The store's root folder; every location in it comes from here."""

    root: Path

    def table(self, task: str, table: str) -> Path:
        """Delta table `interactions`, `outcomes` or `quarantine` of a task."""
        return self._task("tables", task) / check_name(table, what="table")

    def batches(self, task: str) -> Path:
        """One JSON record per ingested batch."""
        return self._task("batches", task)

    def corrections(self, task: str) -> Path:
        """Append-only chain of what happened to batches later: readmitted, superseded, erased."""
        return self._task("corrections", task)

    def erasures(self, task: str) -> Path:
        """Salted hashes of what was erased, and the append-only history of erasures."""
        return self._task("erasures", task)

    def contracts(self, task: str) -> Path:
        """Every contract that rows were accepted under, one file per SHA-256."""
        return self._task("contracts", task)

    def snapshots(self, task: str) -> Path:
        return self._task("snapshots", task)

    def versions(self, task: str) -> Path:
        """One folder per policy version: policy.onnx, encoding.json, manifest.json."""
        return self._task("policies", task) / "versions"

    def history(self, task: str) -> Path:
        """Append-only chain of alias moves."""
        return self._task("policies", task) / "history"

    def training(self, task: str) -> Path:
        """Work in progress of a training, keyed by its inputs; committed folders are never rewritten."""
        return self._task("training", task)

    def looks(self, task: str) -> Path:
        """Evidence of every look, one content-addressed folder each."""
        return self._task("looks", task) / "evidence"

    def ledger(self, task: str) -> Path:
        """Append-only chain of looks: which rows decided what."""
        return self._task("looks", task) / "ledger"

    def arm_looks(self, task: str) -> Path:
        """Append-only chain of looks at the arms of canaries and holdbacks."""
        return self._task("looks", task) / "arms"

    def runs(self, task: str) -> Path:
        return self._task("runs", task)

    def data_docs(self, task: str) -> Path:
        return self._task("data_docs", task)

    def served(self, task: str) -> Path:
        """Interactions that `act` decided, ready to be ingested."""
        return self._task("served", task)

    def task_file(self, task: str) -> Path:
        """Record of where a task's file lies."""
        return self.root / "tasks" / f"{check_name(task, what='task name')}.json"

    @property
    def alerts(self) -> Path:
        return self.root / "alerts"

    @contextmanager
    def lock(self, task: str) -> Iterator[None]:
        """Hold the task for one run; Busy when another process has it. Released by the kernel when it dies."""
        path = self._task("locks", task)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(
                    f"task {task} is busy: expected no other run, got one that holds {path}. "
                    "Wait for it to end, or see `sluice status`.",
                    task=task,
                ) from error
            yield

    def _task(self, kind: str, task: str) -> Path:
        return self.root / kind / check_name(task, what="task name")


def find_home(environment: Mapping[str, str] = os.environ, start: Path | None = None) -> Home | None:
    """The store in force, or None when there is none yet."""
    if environment.get("SLUICE_HOME"):
        root = Path(environment["SLUICE_HOME"]).absolute()
        return _checked(Home(root)) if root.is_dir() else None
    folder = (start or Path.cwd()).absolute()
    for candidate in (folder, *folder.parents):
        if (candidate / ".sluice").is_dir():
            return _checked(Home(candidate / ".sluice"))
    return None


def require_home(environment: Mapping[str, str] = os.environ, start: Path | None = None) -> Home:
    """The store in force; raises StoreError that says how to make one."""
    home = find_home(environment, start)
    if home is None:
        raise StoreError(
            "no store here: expected $SLUICE_HOME or a .sluice folder in this folder or above. "
            "`sluice demo` or `sluice ingest TASK --from PATH` makes one."
        )
    return home


def create_home(environment: Mapping[str, str] = os.environ, start: Path | None = None) -> Home:
    """The store in force, made if there is none (`init`, `demo` and `ingest` only)."""
    home = find_home(environment, start)
    if home is None:
        configured = environment.get("SLUICE_HOME")
        root = Path(configured).absolute() if configured else (start or Path.cwd()).absolute() / ".sluice"
        root.mkdir(parents=True, exist_ok=True)
        home = Home(root)
    create_exclusive(home.root / MARKER, canonical_json({"format": FORMAT}))
    return _checked(home)


def mark_format(home: Home) -> None:
    """Say that this release has written what older ones cannot read; call it before the first such record.

    A store of format 1 is read as it is, and becomes one of format 2 by its first batch, slot, use or stage.
    """
    path = home.root / MARKER
    if not path.exists() or read_json(path)["format"] < FORMAT:
        write_atomic(path, canonical_json({"format": FORMAT}))


def _checked(home: Home) -> Home:
    marker = home.root / MARKER
    found = read_json(marker)["format"] if marker.exists() else FORMAT
    if found > FORMAT:
        raise StoreError(
            f"newer store in {home.root}: expected format {FORMAT} or older, got {found}. "
            "Use the Sluice release that wrote it."
        )
    return home
