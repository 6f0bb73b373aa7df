"""The champion always exists: version 1 is the policy that the task file declares."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from data_contracts.home import Home
from data_contracts.storage import canonical_json, read_json, write_atomic
from flows.context import Context
from flows.settings import code_version
from flows.tasks import resolve
from policies.declared import build_declared
from policies.registry import VersionFacts, aliases, declare_champion, register_version


def ensure_champion(context: Context, *, now: datetime) -> int:
    """The champion's version; registers the declared one first where the registry is empty."""
    remember_task(context)
    champion = aliases(context.home, context.name)["champion"]
    if champion is not None:
        return champion
    declared = context.task.champion
    with tempfile.TemporaryDirectory() as folder:
        sha256 = build_declared(
            declared,
            actions=context.actions,
            columns=context.contract.observation,
            onnx_path=resolve(context.task, declared.onnx) if declared.onnx else None,
            folder=Path(folder),
        )
        version = register_version(
            context.home,
            context.name,
            artifact=Path(folder),
            facts=VersionFacts(
                origin="declared",
                description=describe_declared(context),
                actions=context.actions,
                head=declared.head,
                contract_version=context.contract.version,
                contract_sha256=context.contract.sha256,
                code_version=code_version(),
            ),
            key=f"declared-{sha256}",
            now=now,
        )
    declare_champion(context.home, context.name, version=version, actor=context.actor, now=now)
    return version


def remember_task(context: Context) -> None:
    """Note where the task file lies, so that `status`, `alerts` and the monitor know tasks that are not shipped."""
    path, content = context.home.task_file(context.name), canonical_json({"file": str(context.task.file)})
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)


def known_tasks(home: Home) -> list[Path]:
    """Task files of the tasks that have state in this store."""
    return [Path(read_json(path)["file"]) for path in sorted((home.root / "tasks").glob("*.json"))]


def describe_declared(context: Context) -> str:
    """One phrase for people, e.g. `uniform over 34 actions`."""
    declared = context.task.champion
    if declared.uniform:
        return f"uniform over {len(context.actions)} actions"
    if declared.constant is not None:
        return f"always {declared.constant}, exploring {declared.head.exploration:g}"
    if declared.probabilities is not None:
        return "a fixed table of probabilities"
    return f"{Path(declared.onnx or '').name}, {declared.head.kind}, exploring {declared.head.exploration:g}"
