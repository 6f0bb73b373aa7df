"""Which column of a log plays which reserved role: by its name first, and only if its values allow it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from data_contracts.inference.sample import Sample, SampleColumn
from data_contracts.interactions import REQUIRED

# Role -> names that logs give it, the surest first.
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "interaction_id": ("interaction_id", "decision_id", "impression_id", "event_id", "request_id", "log_id", "uuid",
                       "id"),
    "unit_id": ("unit_id", "user_id", "userid", "customer_id", "client_id", "visitor_id", "account_id", "patient_id",
                "member_id", "subject_id", "device_id", "user", "customer", "visitor", "patient", "session_id"),
    "occurred_at": ("occurred_at", "timestamp", "event_time", "decided_at", "logged_at", "created_at", "datetime", "ts",
                    "time", "date"),
    "action": ("action", "action_id", "chosen_action", "item_id", "variant", "decision", "choice", "treatment", "offer",
               "template", "item", "arm_id"),
    "policy_version": ("policy_version", "behavior_policy", "policy_id", "policy_name", "policy", "model_version",
                       "model", "logger"),
    "propensity": ("propensity", "propensity_score", "pscore", "action_probability", "action_prob", "probability",
                   "prob"),
    "action_probabilities": ("action_probabilities", "action_probs", "action_distribution", "probabilities", "probs"),
    "reward": ("reward", "click", "clicked", "conversion", "converted", "purchase", "purchased", "label", "outcome",
               "rating", "revenue", "response"),
    "sampling_rate": ("sampling_rate", "sample_rate", "sampling_probability"),
    "arm": ("arm", "experiment_arm", "canary"),
    "episode_id": ("episode_id", "episode", "trajectory_id", "trajectory"),
    "step": ("step", "step_index", "step_id", "turn"),
    "terminated": ("terminated", "terminal", "done"),
    "truncated": ("truncated", "timeout"),
    "contract_version": ("contract_version",),
}  # fmt: skip

_FITS: Final[dict[str, Callable[[SampleColumn], bool]]] = {
    "interaction_id": lambda c: c.kind in ("string", "integer") and c.is_unique,
    "unit_id": lambda c: c.kind in ("string", "integer") and c.n_missing == 0,
    "occurred_at": lambda c: c.kind == "timestamp" and c.n_missing == 0,
    "action": lambda c: c.kind in ("string", "integer") and c.n_missing == 0 and c.n_distinct >= 2,
    "policy_version": lambda c: c.kind in ("string", "integer") and c.n_missing == 0,
    "propensity": lambda c: _between(c, 0, 1) and (c.minimum or 0) > 0,
    "action_probabilities": lambda c: c.kind == "array" and c.length is not None,
    "reward": lambda c: c.kind in ("number", "integer", "boolean"),
    "sampling_rate": lambda c: _between(c, 0, 1) and (c.minimum or 0) > 0,
    "arm": lambda c: c.kind == "string",
    "episode_id": lambda c: c.kind == "string",
    "step": lambda c: c.kind == "integer" and (c.minimum or 0) >= 0,
    "terminated": lambda c: c.kind == "boolean",
    "truncated": lambda c: c.kind == "boolean",
    "contract_version": lambda c: c.kind == "string",
}


@dataclass(frozen=True, slots=True)
class Roles:
    """`found` maps a reserved name to the log's column; `missing` are required ones that no column can play."""

    found: dict[str, str]
    missing: tuple[str, ...]

    def role_of(self, column: str) -> str | None:
        return next((role for role, name in self.found.items() if name == column), None)


def guess_roles(sample: Sample) -> Roles:
    """Each role goes to the first name of its list that the log has and whose values fit; each column plays one."""
    found: dict[str, str] = {}
    for role, names in NAMES.items():
        free = [c for c in sample.columns if c.name not in found.values() and _FITS[role](c)]
        column = _named(free, names)
        if column is None and role == "occurred_at":  # the only time in a log is when it happened
            column = free[0] if len(free) == 1 else None
        if column is not None:
            found[role] = column.name
    return Roles(found, tuple(role for role in REQUIRED if role not in found))


def _named(columns: list[SampleColumn], names: tuple[str, ...]) -> SampleColumn | None:
    words = {_plain(c.name): c for c in reversed(columns)}
    return next((words[name] for name in names if name in words), None)


def _plain(name: str) -> str:
    """lower_snake_case: `userId` and `User-ID` are `user_id`."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def _between(column: SampleColumn, low: float, high: float) -> bool:
    if column.kind not in ("number", "integer") or column.minimum is None or column.maximum is None:
        return False
    return low <= column.minimum and column.maximum <= high
