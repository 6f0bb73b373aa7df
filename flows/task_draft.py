"""The text of a first task file, from a sample of a log; `DECIDE` marks what only a person can know."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from data_contracts.inference.roles import Roles
from data_contracts.inference.sample import Sample

EQUAL: Final = 1e-9  # propensities closer than this to 1 / K are uniform

TASK: Final = """\
# When and how `{name}` is retrained. Drafted from {n:,} rows of {file}; DECIDE marks what only you can know.
task: {name}
description: {description}
{report_only}source:
  interactions: [{source}] # paths or globs, relative to this file
actions:
  names: [{actions}]
reward: {reward}
champion: {{uniform: true}} # DECIDE: what serves until a trained policy is promoted
behavior_policies: # who logged: its rows train; they gate where the whole distribution is known
{behavior}training:
  algorithms:
    cql: {{}}
    bcq: {{}}
    bc: {{}} # a reference: never deployed
    linear: {{}}
  seeds: [0, 1, 2, 3, 4]
  head: {{kind: greedy, exploration: 0.1}} # DECIDE: the share of traffic that keeps exploring
gate: # looks close on whole weeks (close_on_days); a promotion is provisional while a holdback stays (holdback: 0.05)
  segments: [] # DECIDE: whom a better average may not hurt: {{name: loyal, column: tenure, values: [loyal]}}
cadence: {{cron: "0 3 * * *", after_new_rows: 1000}} # UTC; trains only after so many new matured rows
alerts: {{}} # DECIDE: whom to tell beside the log, e.g. webhooks: [https://…]
"""


def draft_task(name: str, sample: Sample, roles: Roles, *, folder: Path) -> str:
    """The YAML text of a first task file, whose paths are relative to `folder`."""
    reward = sample.column(roles.found.get("reward", ""))
    return TASK.format(
        name=name,
        n=sample.n,
        file=json.dumps(sample.path.name, ensure_ascii=False),
        description=json.dumps(f"Which {roles.found['action']} to choose.", ensure_ascii=False),
        source=json.dumps(_relative(sample.path, folder), ensure_ascii=False),
        actions=", ".join(json.dumps(a, ensure_ascii=False) for a in _actions(sample, roles)),
        reward=_reward(has_missing=reward is None or reward.n_missing > 0),
        behavior="".join(f"  {line}\n" for line in _behavior(sample, roles)),
        report_only=""
        if "propensity" in roles.found
        else "report_only: true # nothing can gate without propensities; remove it when the log has them\n",
    )


def _actions(sample: Sample, roles: Roles) -> list[str]:
    column = sample.column(roles.found["action"])
    values = list(column.values) if column is not None else []
    return sorted(values, key=lambda v: (0, int(v), "") if v.lstrip("-").isdigit() else (1, 0, v))


def _reward(*, has_missing: bool) -> str:
    if has_missing:
        return "{attribution_window: P1D, default: 0.0} # DECIDE: how long a reward may take; silence counts as default"
    return "{} # in the row, final at once; DECIDE: attribution_window: P7D, say, if it may still change"


def _behavior(sample: Sample, roles: Roles) -> list[str]:
    version = sample.column(roles.found.get("policy_version", ""))
    names = list(version.values) if version is not None else ["logged"]
    known, note = "{logged: propensity}", "DECIDE: {uniform: true}, {probabilities: {…}} or a version, if it is known"
    if "action_probabilities" in roles.found:
        known, note = "{logged: distribution}", ""
    elif _is_uniform(sample, roles):
        known, note = "{uniform: true}", "every propensity of the sample is 1 / actions"
    return [f"{json.dumps(name, ensure_ascii=False)}: {known}" + (f" # {note}" if note else "") for name in names]


def _is_uniform(sample: Sample, roles: Roles) -> bool:
    propensity = sample.column(roles.found.get("propensity", ""))
    if propensity is None or propensity.minimum is None or propensity.maximum is None:
        return False
    each = 1 / len(_actions(sample, roles))
    return abs(propensity.minimum - each) < EQUAL and abs(propensity.maximum - each) < EQUAL


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())
