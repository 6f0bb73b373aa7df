"""The chain of looks at the arms of stages: each planned look is taken once, and what it found stays.

Entries hold counts and statistics, no unit. The rows are those of the snapshot, from which anybody computes them again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from data_contracts.home import Home
from data_contracts.storage import append_chain, read_chain
from policies.gate.arms.after_promotion import Conclusion, HorizonFound


class ArmLook(BaseModel):
    """One look at all horizons of a stage; `index`, `previous` and `seal` are the chain's, `seal` its evidence id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int  # the stage
    kind: str
    champion: int
    challenger: int
    snapshot_id: str
    looks_taken: tuple[int, ...]  # at each horizon
    found: tuple[HorizonFound, ...]
    conclusion: Conclusion
    words: str
    numbers: dict[str, Any]  # by horizon in days: everything the judge computed
    actor: str
    at: datetime
    index: int = 0
    previous: str = ""
    seal: str = ""


def record_arm_look(home: Home, task: str, look: ArmLook) -> ArmLook:
    """Enter a look; where this stage has one with the same looks taken, that one is returned (a rerun, or a day on
    which no planned look was due)."""
    known = known_arm_look(home, task, look.version, look.looks_taken)
    if known is not None:
        return known
    entry = look.model_dump(mode="json", exclude={"index", "previous", "seal"})
    return ArmLook.model_validate(append_chain(home.arm_looks(task), lambda _: entry))


def known_arm_look(home: Home, task: str, version: int, looks_taken: tuple[int, ...]) -> ArmLook | None:
    return next((e for e in reversed(arm_looks_of(home, task, version)) if e.looks_taken == looks_taken), None)


def arm_looks_of(home: Home, task: str, version: int) -> list[ArmLook]:
    """Looks at the arms of one stage, oldest first; raises IntegrityError when the chain is broken."""
    entries = [ArmLook.model_validate(entry) for entry in read_chain(home.arm_looks(task))]
    return [entry for entry in entries if entry.version == version]
