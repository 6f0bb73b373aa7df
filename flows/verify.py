"""Every hash and link of a task's state, and every verdict recomputed from its evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from data_contracts.errors import SluiceError
from data_contracts.snapshot import list_snapshots, verify_snapshots
from data_contracts.store import verify_tables
from flows.alerts.events import read_events
from flows.context import Context
from policies.gate.evidence import verify_evidence
from policies.gate.ledger import all_looks
from policies.registry import list_versions, verify_registry


@dataclass(frozen=True, slots=True)
class Verification:
    """Problems in words, each naming its file; `checked` counts what was looked at."""

    problems: tuple[str, ...]
    checked: dict[str, int]

    @property
    def summary(self) -> str:
        return ", ".join(f"{n} {name}" for name, n in self.checked.items()) + " checked"


def verify_task(context: Context) -> Verification:
    """Check tables, snapshots, policies, the ledger and its evidence; one broken part does not hide another."""
    home, name = context.home, context.name
    problems: list[str] = []
    checked = {"snapshots": 0, "versions": 0, "verdicts": 0}
    for check in (verify_tables, verify_snapshots, verify_registry):
        problems += _guarded(partial(check, home, name))
    problems += _guarded(lambda: _count(checked, "snapshots", len(list_snapshots(home, name))))
    problems += _guarded(lambda: _count(checked, "versions", len(list_versions(home, name))))
    problems += _guarded(lambda: _verify_looks(context, checked))
    problems += _guarded(lambda: _count(checked, "alert events", len(read_events(home))))
    return Verification(problems=tuple(dict.fromkeys(problems)), checked=checked)


def _verify_looks(context: Context, checked: dict[str, int]) -> list[str]:
    problems: list[str] = []
    for look in all_looks(context.home, context.name):
        checked["verdicts"] += 1
        problems += _guarded(partial(verify_evidence, context.home, context.name, look.evidence_id))
    return problems


def _count(checked: dict[str, int], what: str, n: int) -> list[str]:
    checked[what] = n
    return []


def _guarded(check: Callable[[], list[str]]) -> list[str]:
    try:
        return check()
    except SluiceError as error:
        return [str(error)]
