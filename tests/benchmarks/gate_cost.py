"""One decision's numbers on a million real rows, in a process of its own: CPU seconds and peak memory as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np

from policies.gate.judging.planning import make_plan
from policies.gate.records import GateDecision, GateRows
from policies.gate.settings import GateSettings
from tests.gate_looks import decide_look
from tests.worlds.gate_worlds import head

N_LOOKS, N_ACTIONS = 50, 5


def draw_rows(n: int, rng: np.random.Generator) -> GateRows:
    """3 % conversion, exploration .2, about three rows a unit; the policies differ on every row."""
    choice = rng.integers(N_ACTIONS, size=n)
    champion = head(choice, N_ACTIONS, 0.2)
    challenger = head(np.where(rng.random(n) < 0.3, (choice + 1) % N_ACTIONS, choice), N_ACTIONS, 0.1)
    action = np.where(rng.random(n) < 0.2, rng.integers(N_ACTIONS, size=n), choice)
    return GateRows(
        interaction_id=np.char.add("i", np.arange(n).astype(str)),
        unit_id=np.char.add("u", rng.integers(n // 3, size=n).astype(str)),
        policy_version=np.full(n, "1"),
        action=action,
        reward=(rng.random(n) < 0.03).astype(np.float64),
        propensity=champion[np.arange(n), action],
        behavior=champion.copy(),
        champion=champion,
        challenger=challenger,
        reward_model=rng.uniform(0.02, 0.04, (n, N_ACTIONS)),
    )


def decide_once(rows: GateRows) -> GateDecision:
    """The whole decision at the last look."""
    settings = GateSettings(looks=N_LOOKS, min_rows_per_look=500)
    plan = make_plan(rows.select(np.arange(4000)), n_planned=rows.n, reward_minimum=0.0, reward_maximum=1.0)
    ends = tuple((np.arange(1, N_LOOKS + 1) * rows.n // N_LOOKS).tolist())
    return decide_look(rows, settings, plan, look=N_LOOKS, look_ends=ends)


def main(n: int) -> None:
    rows = draw_rows(n, np.random.default_rng(7))
    start = time.process_time()
    verdict = decide_once(rows).verdict
    found = {
        "verdict": verdict,
        "cpu_seconds": time.process_time() - start,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "rows_gb": sum(
            column.nbytes
            for name in GateRows.__dataclass_fields__
            if isinstance(column := getattr(rows, name), np.ndarray)
        )
        / 1e9,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
