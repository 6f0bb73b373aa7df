"""Rows that an alert shows: looked up by id, masked before anything else sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.errors import SluiceError
from data_contracts.store import read_chunks
from flows.alerts.masking import MOST_ROWS, mask_rows
from flows.context import Context

COLUMNS = ("interaction_id", "unit_id", "occurred_at", "action", "policy_version", "propensity")


def example_rows(context: Context, ids: Sequence[str]) -> tuple[dict[str, str], ...]:
    """At most five stored rows with these interaction ids, masked; empty when they cannot be read."""
    wanted = list(dict.fromkeys(ids))[:MOST_ROWS]
    try:
        found = _find(context, wanted)
    except SluiceError:  # the alert goes out without them
        return ()
    return mask_rows(found, words={*context.actions, *context.task.behavior_policies})


def _find(context: Context, ids: Sequence[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for chunk in read_chunks(context.home, context.name, columns=COLUMNS):
        is_wanted = pc.is_in(chunk["interaction_id"], value_set=pa.array(ids, pa.string()))
        found += chunk.filter(is_wanted).to_pylist()
        if len(found) >= len(ids):
            break
    return found
