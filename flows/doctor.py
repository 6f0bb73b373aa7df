"""Boot every part of the stack once, in a temporary folder, and name what is wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import SluiceError


@dataclass(frozen=True, slots=True)
class Part:
    part: str
    ok: bool
    detail: str


def examine() -> list[Part]:
    """Each part does a small piece of its real work; a failure names the exception and does not stop the others."""
    return [_try(name, check) for name, check in CHECKS.items()]


def _try(name: str, check: Callable[[], str]) -> Part:
    try:
        return Part(part=name, ok=True, detail=check())
    except SluiceError as error:
        return Part(part=name, ok=False, detail=str(error))
    except Exception as error:  # a broken library may raise anything; the doctor's job is to say so
        return Part(part=name, ok=False, detail=f"{type(error).__name__}: {error}")


def _store() -> str:
    from data_contracts.doctor import boot_store

    with tempfile.TemporaryDirectory() as folder:
        return boot_store(Path(folder))


def _expectations() -> str:
    from data_contracts.doctor import boot_expectations

    return boot_expectations()


def _contracts() -> str:
    from flows.tasks import shipped_tasks, task_problems

    names = shipped_tasks()
    problems = [f"{p.file}:{p.line}: {p.message}" for name in names for p in task_problems(name)]
    if problems:
        raise ValueError("; ".join(problems[:3]))
    return f"{len(names)} shipped tasks parse"


def _training() -> str:
    from policies.doctor import boot_training

    with tempfile.TemporaryDirectory() as folder:
        return boot_training(Path(folder))


def _alerts() -> str:
    from data_contracts.home import find_home
    from flows.alerts.doctor import boot_routes

    return boot_routes(find_home())


def _prefect() -> str:
    from prefect import __version__
    from prefect.server.api.server import create_app

    create_app(ephemeral=True)
    return f"prefect {__version__}, the server's application builds"


CHECKS: dict[str, Callable[[], str]] = {
    "store": _store,
    "great expectations": _expectations,
    "contracts": _contracts,
    "training and serving": _training,
    "prefect": _prefect,
    "alert routes": _alerts,
}
