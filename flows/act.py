"""Serve the champion: decide, and log each decision with its exact propensity as the next log."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.observations import read_observations
from data_contracts.storage import write_atomic
from flows.champion import ensure_champion
from flows.context import Context
from flows.versions import policy_of
from policies.serving import act


@dataclass(frozen=True, slots=True)
class Served:
    rows: list[dict[str, Any]]  # in the words of the interaction record
    policy_version: str
    log: Path  # the same rows as JSONL: `sluice ingest` reads it without a change


def act_on_file(context: Context, observations: Path, *, seed: int | None, now: datetime) -> Served:
    """One decision per row of `observations`; raises InputError naming file, line and expectation."""
    champion = ensure_champion(context, now=now)
    table = read_observations(observations, context.contract)
    rng = np.random.default_rng(seed)
    rows = act(
        policy_of(context, champion),
        table,
        version=champion,
        actions=context.actions,
        rng=rng,
        now=now,
    )
    log = context.home.served(context.name) / f"{now:%Y%m%dT%H%M%S}-{uuid.UUID(bytes=rng.bytes(16))}.jsonl"
    write_atomic(log, b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return Served(rows=rows, policy_version=str(champion), log=log)
