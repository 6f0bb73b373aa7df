"""The challenger in the slot, and the terms it was frozen under."""

from __future__ import annotations

from datetime import datetime

from flows.context import Context
from policies.gate.looks.alpha import SlotAlpha, allocate_alpha
from policies.gate.looks.slots import require_slot
from policies.gate.settings import GateSettings, stored_settings
from policies.registry import aliases, read_version


def open_challenger(context: Context) -> int | None:
    """The version in the slot, or None when it is free."""
    return aliases(context.home, context.name)["challenger"]


def gate_settings(context: Context, version: int) -> GateSettings:
    """The gate's settings as they were when the challenger was frozen: nobody lowers a threshold under its looks."""
    return stored_settings(read_version(context.home, context.name, version).settings["gate"])


def slot_alpha(context: Context, version: int, *, now: datetime) -> SlotAlpha:
    """What the slot of a challenger may spend; one that was opened before slots were kept spends as a first one.

    Raises what `require_slot` raises: the challenger must be the one that was frozen.
    """
    manifest = read_version(context.home, context.name, version)
    slot = require_slot(context.home, context.name, challenger=version, artifact_sha256=manifest.artifact_sha256)
    settings = gate_settings(context, version)
    if slot is not None:
        return slot.allocated
    return allocate_alpha([], settings=settings.ledger, alpha=settings.alpha, now=now)
