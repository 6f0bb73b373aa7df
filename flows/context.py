"""One task in one store: what every step of a run needs to know, and nothing that changes while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data_contracts.contract import Contract
from data_contracts.home import Home
from data_contracts.storage import canonical_json, sha256_bytes
from flows.tasks import Task, load_task

SHAPING: Final = {"max_rows_per_unit", "max_weight_share_per_unit"}  # of the influence settings; the rest only alarms


@dataclass(frozen=True, slots=True)
class Context:
    """A task's settings and contract, and the store they apply to."""

    home: Home
    task: Task
    contract: Contract
    actor: str

    @property
    def name(self) -> str:
        return self.task.task

    @property
    def actions(self) -> tuple[str, ...]:
        return self.task.actions.names

    @property
    def settings_sha256(self) -> str:
        """Of everything in the task file that shapes a policy: training, split, reward, actions, contract, influence.

        Limits of influence enter only where they are not the defaults, so that earlier policies keep their keys.
        """
        shaping = self.task.model_dump(mode="json", include={"training", "split", "reward", "actions"})
        shaping["training"].pop("workers")  # how many processes train changes nothing they compute
        limits = self.task.influence.model_dump(mode="json", include=SHAPING, exclude_defaults=True)
        shaping |= {"influence": limits} if limits else {}
        return sha256_bytes(canonical_json({**shaping, "contract": self.contract.sha256}))


def open_context(task: str | Path, *, home: Home, actor: str) -> Context:
    """Read a shipped task by name or any task by path; raises ConfigurationError with every mistake."""
    settings, contract = load_task(task, home=home)
    return Context(home=home, task=settings, contract=contract, actor=actor)
