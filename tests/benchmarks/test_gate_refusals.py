"""Nothing is promoted that the log cannot judge: a thousand fresh worlds of each kind, each with a large true lift.

SLUICE_GATE_REFUSALS sets their number, SLUICE_GATE_SEED repeats a run.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policies.gate.judging.planning import make_plan
from policies.gate.records import GateRows
from policies.gate.settings import GateSettings
from tests.gate_looks import decide_look

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
N = int(os.environ.get("SLUICE_GATE_REFUSALS", "1000"))
N_ROWS = 600


def _world(rng: np.random.Generator) -> GateRows:
    """A log by an exploring champion; the challenger takes the best action, which earns .8 against .1."""
    n_actions, exploration = int(rng.integers(2, 8)), rng.uniform(0.1, 0.5)
    usual, best = rng.choice(n_actions, size=2, replace=False)
    champion, challenger = np.full(n_actions, exploration / n_actions), np.full(n_actions, 0.1 / n_actions)
    champion[usual] += 1 - exploration
    challenger[best] += 0.9
    action = rng.choice(n_actions, size=N_ROWS, p=champion)
    ids = np.arange(N_ROWS).astype(np.str_)
    tiled = np.tile(champion, (N_ROWS, 1))
    return GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=np.full(N_ROWS, "1"),
        action=action,
        reward=(rng.random(N_ROWS) < np.where(action == best, 0.8, 0.1)) * 1.0,
        propensity=champion[action],
        behavior=tiled,
        champion=tiled,
        challenger=np.tile(challenger, (N_ROWS, 1)),
        reward_model=np.full((N_ROWS, n_actions), 0.2),
    )


def _unsupported(rows: GateRows, rng: np.random.Generator) -> tuple[GateRows, dict[str, Any]]:
    """On 2 to 50 % of the rows the logger hardly ever takes what the challenger prefers."""
    rare = rng.random(rows.n) < rng.uniform(0.03, 0.5)
    best, usual = int(rows.challenger[0].argmax()), int(rows.champion[0].argmax())
    behavior = rows.behavior.copy()
    behavior[rare, usual] += behavior[rare, best] - 0.001
    behavior[rare, best] = 0.001
    action = np.where(rare & (rows.action == best), usual, rows.action)
    return replace(rows, behavior=behavior, action=action, propensity=behavior[np.arange(rows.n), action]), {}


def _deterministic(rows: GateRows, rng: np.random.Generator) -> tuple[GateRows, dict[str, Any]]:
    behavior = np.eye(rows.behavior.shape[1])[rows.action]
    return replace(rows, behavior=behavior, propensity=np.ones(rows.n)), {}


def _overlapping(rows: GateRows, rng: np.random.Generator) -> tuple[GateRows, dict[str, Any]]:
    return rows, {"overlap": int(rng.integers(1, rows.n))}


def _no_propensities(rows: GateRows, rng: np.random.Generator) -> tuple[GateRows, dict[str, Any]]:
    """No row has a distribution: the look reads none, and says how many it left out."""
    empty = rows.select(np.zeros(rows.n, np.bool_))
    return empty, {"look_ends": (0,), "n_without_distribution": rows.n}


def _as_it_is(rows: GateRows, rng: np.random.Generator) -> tuple[GateRows, dict[str, Any]]:
    return rows, {}


Spoil = Callable[[GateRows, np.random.Generator], tuple[GateRows, dict[str, Any]]]
KINDS: dict[str, Spoil] = {
    "unsupported mass above 1 %": _unsupported,
    "deterministic log": _deterministic,
    "train and gate rows overlap": _overlapping,
    "no propensities": _no_propensities,
    "sound, for comparison": _as_it_is,
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_promoted_that_the_log_cannot_judge(kind: str) -> None:
    seed = int(os.environ.get("SLUICE_GATE_SEED") or np.random.SeedSequence().generate_state(1)[0])
    verdicts = Counter[str]()
    for i in range(N):
        rng = np.random.default_rng([seed, i])
        rows, told = KINDS[kind](_world(rng), rng)
        plan = make_plan(_world(rng), n_planned=N_ROWS, reward_minimum=0, reward_maximum=1)
        verdicts[decide_look(rows, GateSettings(looks=1), plan, **told).verdict] += 1
    print(f"\n{kind}: {dict(verdicts)} (seed {seed})")
    if kind == "sound, for comparison":
        assert verdicts["promote"] > 0.9 * N  # else the rest would show nothing
    else:
        assert verdicts == {"refuse": N}
