"""Every hash and link of a task's state, and every verdict recomputed from its evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from data_contracts.amendments.erasure import erased_snapshots, erasure_problems
from data_contracts.errors import SluiceError
from data_contracts.snapshot import list_snapshots, verify_snapshots
from data_contracts.store import verify_tables
from flows.alerts.events import read_events
from flows.arm_comparison import verify_arm_looks
from flows.context import Context
from policies.gate.evidence import not_recomputable, verify_evidence
from policies.gate.looks.ledger import all_looks
from policies.gate.looks.slots import ledger_problems
from policies.registry import list_versions, verify_registry


@dataclass(frozen=True, slots=True)
class Verification:
    """Problems in words, each naming its file; `checked` counts what was looked at.

    `erased` says what cannot be computed again since rows were erased: no damage, and not ok either.
    """

    problems: tuple[str, ...]
    checked: dict[str, int]
    erased: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems and not self.erased

    @property
    def verdict(self) -> str:
        return "BROKEN" if self.problems else "not recomputable: erased" if self.erased else "ok"

    @property
    def summary(self) -> str:
        return ", ".join(f"{n} {name}" for name, n in self.checked.items()) + " checked"


def verify_task(context: Context) -> Verification:
    """Check tables, snapshots, policies, the ledger and its evidence; one broken part does not hide another."""
    home, name = context.home, context.name
    problems: list[str] = []
    checked = {"snapshots": 0, "versions": 0, "verdicts": 0}
    for check in (verify_tables, verify_snapshots, verify_registry, erasure_problems, ledger_problems):
        problems += _guarded(partial(check, home, name))
    problems += _guarded(lambda: _count(checked, "snapshots", len(list_snapshots(home, name))))
    problems += _guarded(lambda: _count(checked, "versions", len(list_versions(home, name))))
    problems += _guarded(lambda: _verify_looks(context, checked))
    problems += _guarded(lambda: verify_arm_looks(context))
    problems += _guarded(lambda: _count(checked, "alert events", len(read_events(home))))
    erased: list[str] = []
    problems += _guarded(lambda: _note(erased, _erased(context)))
    return Verification(problems=tuple(dict.fromkeys(problems)), checked=checked, erased=tuple(erased))


def _verify_looks(context: Context, checked: dict[str, int]) -> list[str]:
    problems: list[str] = []
    for look in all_looks(context.home, context.name):
        checked["verdicts"] += 1
        problems += _guarded(partial(verify_evidence, context.home, context.name, look.evidence_id))
    return problems


def _erased(context: Context) -> list[str]:
    looks = all_looks(context.home, context.name)
    verdicts = [not_recomputable(context.home, context.name, look.challenger, look.look) for look in looks]
    return [*erased_snapshots(context.home, context.name), *(verdict for verdict in verdicts if verdict is not None)]


def _count(checked: dict[str, int], what: str, n: int) -> list[str]:
    checked[what] = n
    return []


def _note(notes: list[str], found: list[str]) -> list[str]:
    notes += found
    return []


def _guarded(check: Callable[[], list[str]]) -> list[str]:
    try:
        return check()
    except SluiceError as error:
        return [str(error)]
