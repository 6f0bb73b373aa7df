"""Decide, and write each decision down in the words of the interaction record, so that the log is the next input."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import UsageError
from data_contracts.interactions import TAKEN
from policies.stage import UNIT
from policies.staged import Policy, StagedPolicy

# Columns that the decision fills, or that only later observation can.
DECIDED = (
    "occurred_at",
    "action",
    "policy_version",
    "arm",
    "propensity",
    "action_probabilities",
    "reward",
    "contract_version",
)


def act(
    policy: Policy,
    observations: pa.Table,
    *,
    version: int,
    actions: tuple[str, ...],
    rng: np.random.Generator,
    now: datetime,
    ids: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """One JSON-ready interaction per row of `observations`, without its reward: that is observed later.

    The action is drawn from the policy's probabilities; `propensity` is the one it was drawn with, bit for bit.
    `interaction_id` is from `ids`, else from a column of that name, else a UUID from `rng`; `unit_id` is from a
    column of that name, else the interaction's own id. A version that draws units into arms logs each row's `arm`, and
    its propensity is the one given that arm. Columns that the decision itself fills are not read.
    Raises UsageError when `ids` or `actions` do not fit, `now` has no zone, or ids repeat; what
    `action_probabilities` of the policy raises.
    """
    _require(policy, observations, actions=actions, now=now, ids=ids)
    names = _ids(observations, ids, rng)
    asked = _with_units(observations, names) if isinstance(policy, StagedPolicy) else observations
    probabilities = policy.action_probabilities(asked)
    chosen = draw_actions(probabilities, rng=rng)
    arms = _arms(policy, asked)
    kept = [c for c in observations.column_names if c not in (*DECIDED, *TAKEN)]
    rows = observations.select(kept).to_pylist() if kept else [{} for _ in names]
    return [
        {
            **{column: _plain(value) for column, value in row.items()},
            "interaction_id": name,
            "unit_id": str(row.get("unit_id") or name),
            "occurred_at": now.isoformat(),
            "action": actions[action],
            "propensity": float(shares[action]),
            "action_probabilities": shares.tolist(),
            "policy_version": str(version),
            **arm,
        }
        for row, name, action, shares, arm in zip(rows, names, chosen.tolist(), probabilities, arms, strict=True)
    ]


def _with_units(observations: pa.Table, names: list[str]) -> pa.Table:
    """The observations with the `unit_id` that will be logged: whoever says none is a unit of one decision, so that a
    stage never stops serving."""
    given = _column(observations, UNIT)
    units = pa.array([str(unit or name) for unit, name in zip(given, names, strict=True)], pa.string())
    kept = observations.drop_columns([UNIT]) if UNIT in observations.column_names else observations
    return kept.append_column(UNIT, units)


def _arms(policy: Policy, observations: pa.Table) -> list[dict[str, str]]:
    """Column `arm` of each row where units are drawn, else nothing."""
    names = policy.arms(observations) if isinstance(policy, StagedPolicy) else None
    return [{}] * observations.num_rows if names is None else [{"arm": name} for name in names]


def draw_actions(probabilities: NDArray[np.float64], *, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) one action per row of `probabilities` (n, K), never one of probability 0; one uniform draw per row."""
    cumulative = probabilities.cumsum(axis=1)
    # A draw is below 1, so a target is below the last sum (no rounding reaches it), and the first sum above the
    # target exceeds the one before it: its action has a probability above 0.
    targets = rng.random(len(probabilities))[:, None] * cumulative[:, -1:]
    return np.asarray((cumulative <= targets).sum(axis=1), dtype=np.int64)


def _require(
    policy: Policy, observations: pa.Table, *, actions: tuple[str, ...], now: datetime, ids: Sequence[str] | None
) -> None:
    if len(actions) != policy.n_actions:
        raise UsageError(
            f"wrong actions for {policy!r}: expected {policy.n_actions}, got {len(actions)}. Name its own."
        )
    if now.tzinfo is None:
        raise UsageError(f"naive moment of serving: expected one with a zone, got {now.isoformat()}. Pass UTC.")
    if ids is not None and len(ids) != observations.num_rows:
        raise UsageError(f"wrong interaction ids: expected {observations.num_rows}, got {len(ids)}. Pass one a row.")


def _ids(observations: pa.Table, ids: Sequence[str] | None, rng: np.random.Generator) -> list[str]:
    given = list(ids) if ids is not None else _column(observations, "interaction_id")
    names = [name or str(uuid.UUID(bytes=rng.bytes(16), version=4)) for name in given]
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise UsageError(
            f"repeated interaction ids: expected each once, got {len(repeated)} repeated ({', '.join(repeated[:5])}). "
            "Every decision needs its own."
        )
    return names


def _column(observations: pa.Table, name: str) -> list[str | None]:
    if name not in observations.column_names:
        return [None] * observations.num_rows
    values: list[str | None] = observations[name].cast(pa.string()).to_pylist()
    return values


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
