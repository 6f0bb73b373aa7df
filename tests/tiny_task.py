"""A whole task small enough to go through the loop in seconds: two features, three actions, a uniform logger."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

ACTIONS = ("left", "stay", "right")
START = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = 10
BORDER = 0.4

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: tiny
name: tiny
version: 1.0.0
status: active
description: {purpose: a task for tests}
servers:
  - {server: sample, type: local, path: log.jsonl, format: json}
team: {name: testers}
support:
  - {channel: testers, url: "https://example.org"}
slaProperties:
  - {property: freshness, value: 48, unit: h}
customProperties:
  - {property: runbook, value: infra/RUNBOOK.md}
schema:
  - name: interactions
    logicalType: object
    quality:
      - {name: row_count, type: library, metric: rowCount, mustBeGreaterThan: 0, severity: block, description: rows}
      - name: known_policy_version
        type: custom
        engine: sluice
        severity: block
        implementation: {rule: known_policy_version}
        description: every row names a declared behavior policy
      - name: expected_weight
        type: custom
        engine: sluice
        severity: block
        implementation: {rule: expected_weight}
        description: importance weights average to 1
    properties:
      - {name: interaction_id, logicalType: string, required: true, unique: true, primaryKey: true}
      - {name: unit_id, logicalType: string, required: true}
      - {name: occurred_at, logicalType: timestamp, required: true}
      - {name: action, logicalType: string, required: true}
      - {name: policy_version, logicalType: string, required: true}
      - {name: propensity, logicalType: number, required: true}
      - {name: reward, logicalType: number, REWARD, logicalTypeOptions: {minimum: 0, maximum: 1}}
      - {name: x, logicalType: number, required: true, tags: [observation]}
      - {name: y, logicalType: number, required: true, tags: [observation]}
"""

TASK = """\
task: tiny
description: Follow the sign of x.
source: {interactions: [SOURCE]}
actions: {names: [left, stay, right]}
champion: {uniform: true}
behavior_policies:
  uniform: {uniform: true}
split: {holdout: 0.4, validation: 0.15}
training:
  algorithms:
    cql: {steps: STEPS, batch_size: 64, hidden_units: [16]}
    linear: {}
  seeds: [0]
  workers: 1
  curve_points: 2
gate: {looks: 3, min_rows_per_look: 200, close_on_days: null, holdback: 0, fragility: {least_seeds: 1}}
cadence: {cron: "CRON", after_new_rows: 300, stale_after_hours: 1000000}
alerts: {webhooks: [WEBHOOKS]}
"""


def write_task(
    folder: Path,
    *,
    source: str = "logs/*.jsonl",
    steps: int = 400,
    cron: str = "0 3 * * *",
    webhook: str = "",
    reward_required: bool = True,
) -> Path:
    """The two files of the task; returns the task file."""
    folder.mkdir(parents=True, exist_ok=True)
    reward = "required: true" if reward_required else "required: false"
    (folder / "tiny.odcs.yaml").write_text(CONTRACT.replace("REWARD", reward))
    text = TASK.replace("SOURCE", f'"{source}"').replace("STEPS", str(steps)).replace("CRON", cron)
    (folder / "tiny.yaml").write_text(text.replace("WEBHOOKS", f'"{webhook}"' if webhook else ""))
    return folder / "tiny.yaml"


def right_action(x: float) -> str:
    """The action that pays 0.8; the others pay 0.2."""
    return "left" if x < -BORDER else "right" if x > BORDER else "stay"


def rows(
    n: int = 3000, *, seed: int = 0, day: int = 0, days: float = DAYS, shift: float = 0.0
) -> list[dict[str, object]]:
    """n uniformly logged rows from `day` on; the right action for x pays 0.8, the others 0.2."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(shift, 1, n), rng.normal(0, 1, n)
    action = rng.integers(3, size=n)
    right = np.array([ACTIONS.index(right_action(value)) for value in x])
    reward = (rng.random(n) < np.where(action == right, 0.8, 0.2)).astype(float)
    seconds = day * 86_400 + np.sort(rng.random(n)) * days * 86_400
    return [
        {
            "interaction_id": f"s{seed}-{i}",
            "unit_id": f"u{seed}-{i}",
            "occurred_at": (START + timedelta(seconds=float(seconds[i]))).isoformat(),
            "action": ACTIONS[action[i]],
            "policy_version": "uniform",
            "propensity": 1 / 3,
            "reward": reward[i],
            "x": x[i],
            "y": y[i],
        }
        for i in range(n)
    ]


def write_jsonl(path: Path, lines: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
