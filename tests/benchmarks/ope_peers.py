"""The two sides of the estimator benchmark, each in a process of its own: `ope_peers.py SIDE FOLDER` prints JSON.

SIDE is `ours`, `obp` (Open Bandit Pipeline's own estimators, in an environment that has it) or `formulas` (the same
lines of arithmetic as obp's, without its input checks, where obp cannot be installed).
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Log = dict[str, Any]
NAMES = ("action", "reward", "propensity", "target", "reward_model")
REPEATS = 5


def write_log(folder: Path, n: int, *, n_actions: int, seed: int) -> None:
    """A log of `n` decisions and a target policy, as .npy files."""
    rng = np.random.default_rng(seed)
    behavior, target = (0.02 + (1 - 0.02 * n_actions) * rng.dirichlet(np.ones(n_actions), n) for _ in range(2))
    action = (rng.random(n)[:, None] > behavior.cumsum(axis=1)).sum(axis=1).clip(max=n_actions - 1)
    reward = (rng.random(n) < 0.2).astype(float)
    columns = (action, reward, behavior[np.arange(n), action], target, rng.uniform(0, 1, (n, n_actions)))
    for name, values in zip(NAMES, columns, strict=True):
        np.save(folder / name, values)


def ours() -> Callable[[Log], dict[str, float]]:
    from policies.ope import dm, dr, ips, snips
    from policies.ope.records import LoggedRewards, check_target, target_terms

    def run(log: Log) -> dict[str, float]:
        unit = np.arange(len(log["action"]))
        logged = LoggedRewards(log["action"], log["reward"], log["propensity"], log["reward_model"], unit)
        terms = target_terms(logged, check_target(log["target"], logged, name="challenger"))
        estimators = {"ips": ips, "snips": snips, "dm": dm, "dr": dr}
        return {name: module.evaluate(terms).value for name, module in estimators.items()}

    return run


def obp() -> Callable[[Log], dict[str, float]]:
    _open_package("obp")
    _open_package("obp.ope")  # their __init__ files load plotting and bandit simulators, which no estimator uses
    from obp.ope import estimators as peer  # type: ignore[import-not-found]

    found = {
        "ips": peer.InverseProbabilityWeighting(),
        "snips": peer.SelfNormalizedInverseProbabilityWeighting(),
        "dm": peer.DirectMethod(),
        "dr": peer.DoublyRobust(),
    }

    def run(log: Log) -> dict[str, float]:
        given = {
            "reward": log["reward"],
            "action": log["action"],
            "pscore": log["propensity"],
            "action_dist": log["target"][:, :, None],
            "estimated_rewards_by_reg_model": log["reward_model"][:, :, None],
        }
        return {name: float(estimator.estimate_policy_value(**given)) for name, estimator in found.items()}

    return run


def formulas() -> Callable[[Log], dict[str, float]]:
    """`_estimate_round_rewards` of obp 0.5.7's four estimators, line by line, and their means."""

    def run(log: Log) -> dict[str, float]:
        reward, action, pscore = log["reward"], log["action"], log["propensity"]
        action_dist, q_hat = log["target"][:, :, None], log["reward_model"][:, :, None]
        n = action_dist.shape[0]

        def weights() -> np.ndarray:
            position = np.zeros(n, dtype=int)
            return np.asarray(action_dist[np.arange(n), action, position] / pscore)

        def average() -> np.ndarray:
            position = np.zeros(n, dtype=int)
            at_position = action_dist[np.arange(n), :, position]
            return np.asarray(np.average(q_hat[np.arange(n), :, position], weights=at_position, axis=1))

        iw = weights()
        residual = reward - q_hat[np.arange(n), action, np.zeros(n, dtype=int)]
        rounds = {
            "ips": reward * np.minimum(weights(), np.inf),
            "snips": reward * iw / iw.mean(),
            "dm": average(),
            "dr": average() + np.minimum(weights(), np.inf) * residual,
        }
        return {name: float(values.mean()) for name, values in rounds.items()}

    return run


def _open_package(name: str) -> None:
    """Make the package importable without running its __init__."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(name)
    package = types.ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package


def _peak_kilobytes() -> int:
    """Of this program alone; `ru_maxrss` would remember the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main(side: str, folder: Path) -> None:
    run = {"ours": ours, "obp": obp, "formulas": formulas}[side]()
    log = {name: np.load(folder / f"{name}.npy") for name in NAMES}
    before = _peak_kilobytes()
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        values = run(log)
        seconds.append(time.process_time() - started)
    peak = _peak_kilobytes() - before
    print(json.dumps({"values": values, "seconds": sorted(seconds), "megabytes": peak / 1024}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
