"""How the shipped log of `icu_sepsis` was made; run once, its output is committed.

python infra/samples/make_icu_sepsis.py FOLDER   # icu_sepsis/envs/assets of the icu-sepsis 2.0.1 wheel (MIT License)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent / "icu_sepsis"
N_EPISODES, SEED = 40_000, 20_261_121
N_STATES, SURVIVED, N_ACTIONS = 713, 714, 25  # states that are not an end come first
EXPLORATION = 0.2  # of the uniform policy, beside the clinicians'
NEVER = -30.0  # logarithm that stands for probability 0
START, DAYS, STEP_HOURS = np.datetime64("2026-02-25", "us"), 230, 4
SEVERITY_GROUPS = 12  # of the coarse column that hides most of the state


def make(assets: Path, folder: Path) -> None:
    """40,000 episodes of the clinicians' policy that explores on 20 % of its decisions, and the dynamics themselves."""
    dynamics = np.load(assets / "dynamics.npz", allow_pickle=False)
    moves, first = dynamics["tx_mat"][:N_STATES], dynamics["d_0"][:N_STATES]
    with np.errstate(divide="ignore"):
        scores = np.maximum(np.log(dynamics["expert_policy"][:N_STATES]), NEVER).astype(np.float32)
    severity = _severity(dynamics["sofa_scores"][:N_STATES])
    _write_champion(scores, folder / "champion.onnx")
    _write_truth(moves, first, severity, folder / "truth.parquet")
    _write_log(_simulate(moves, first, _served(scores), np.random.default_rng(SEED)), severity, folder)


def _served(scores: np.ndarray) -> np.ndarray:
    """(S, K) probabilities as the champion's head makes them of its scores."""
    exact = scores.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True) * (1 - EXPLORATION) + EXPLORATION / N_ACTIONS


def _severity(sofa: np.ndarray) -> np.ndarray:
    """(S,) rank of the state's organ-failure score, in equal groups: what a coarser log would hold instead of it."""
    return (np.argsort(np.argsort(sofa, kind="stable")) * SEVERITY_GROUPS) // len(sofa)


def _simulate(
    moves: np.ndarray, first: np.ndarray, policy: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Steps of all episodes, in order of (episode, step)."""
    after, actions = np.cumsum(moves, axis=2).astype(np.float32), np.cumsum(policy, axis=1)
    alive, state, parts = np.arange(N_EPISODES), np.searchsorted(np.cumsum(first), rng.random(N_EPISODES)), []
    step = 0
    while len(alive):
        action = (rng.random(len(alive))[:, None] > actions[state]).sum(axis=1).clip(max=N_ACTIONS - 1)
        drawn = rng.random(len(alive), dtype=np.float32)
        follows = np.array([np.searchsorted(after[s, a], u) for s, a, u in zip(state, action, drawn, strict=True)])
        parts.append((alive, np.full(len(alive), step), state, action, follows))
        goes_on = follows < N_STATES
        alive, state, step = alive[goes_on], follows[goes_on], step + 1
    episode, steps, states, taken, follows = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((steps, episode))
    names = ("episode", "step", "state", "action", "follows")
    log = dict(zip(names, (values[order] for values in (episode, steps, states, taken, follows)), strict=True))
    return log | {"propensity": policy[log["state"], log["action"]]}


def _write_log(log: dict[str, np.ndarray], severity: np.ndarray, folder: Path) -> None:
    admitted = np.sort(np.random.default_rng(SEED + 1).integers(DAYS * 86_400, size=N_EPISODES))
    seconds = admitted[log["episode"]] + log["step"] * STEP_HOURS * 3_600
    patient = pa.array([f"patient-{e:05d}" for e in log["episode"]])
    table = pa.table(
        {
            "interaction_id": [f"{e:05d}-{t:03d}" for e, t in zip(log["episode"], log["step"], strict=True)],
            "unit_id": patient,
            "episode_id": patient,
            "step": pa.array(log["step"], pa.int64()),
            "occurred_at": pa.array(START + seconds.astype("m8[s]"), pa.timestamp("us", "UTC")),
            "state": pa.array(log["state"], pa.int64()),
            "severity": pa.array(severity[log["state"]], pa.int64()),
            "action": pa.array(log["action"].astype(str)),
            "policy_version": pa.array(["1"] * len(log["step"])),
            "propensity": log["propensity"],
            "reward": (log["follows"] == SURVIVED).astype(np.float64),
            "terminated": log["follows"] >= N_STATES,
            "truncated": np.zeros(len(log["step"]), np.bool_),
        }
    )
    encoding = {
        "interaction_id": "DELTA_BYTE_ARRAY",
        "step": "DELTA_BINARY_PACKED",
        "occurred_at": "DELTA_BINARY_PACKED",
    }
    others = [name for name in table.column_names if name not in encoding]
    target = folder / "interactions.parquet"
    pq.write_table(
        table, target, compression="zstd", compression_level=19, use_dictionary=others, column_encoding=encoding
    )


def _write_truth(moves: np.ndarray, first: np.ndarray, severity: np.ndarray, path: Path) -> None:
    """One line per possible move; state -1 and action -1 are before the episode, next_state -1 is after it."""
    state, action, follows = np.nonzero(moves[:, :, :N_STATES])
    ends = 1 - moves[:, :, :N_STATES].sum(axis=2)
    pairs = np.indices(ends.shape).reshape(2, -1)
    here = np.concatenate([np.full(N_STATES, -1), state, pairs[0]])
    table = pa.table(
        {
            "state": pa.array(here, pa.int16()),
            "severity": pa.array(np.where(here < 0, -1, severity[here]), pa.int8()),
            "action": pa.array(np.concatenate([np.full(N_STATES, -1), action, pairs[1]]), pa.int8()),
            "next_state": pa.array(np.concatenate([np.arange(N_STATES), follows, np.full(ends.size, -1)]), pa.int16()),
            "probability": np.concatenate([first, moves[state, action, follows], ends.ravel()]),
            "reward": np.concatenate([np.zeros(N_STATES + len(state)), _survival(moves, ends).ravel()]),
        }
    )
    pq.write_table(table, path, compression="zstd", compression_level=19)


def _survival(moves: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(S, K) expected reward of an ending: the chance that it is survival."""
    return np.divide(moves[:, :, SURVIVED], ends, out=np.zeros_like(ends), where=ends > 1e-12)


def _write_champion(scores: np.ndarray, path: Path) -> None:
    """`features` (batch, 2), state and severity -> `scores` (batch, 25), the state's row of the table."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [
        helper.make_node("Gather", ["features", "first"], ["state"], axis=1),
        helper.make_node("Clip", ["state", "least", "most"], ["inside"]),
        helper.make_node("Cast", ["inside"], ["row"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "row"], ["scores"], axis=0),
    ]
    constants = {"least": np.float32(0), "most": np.float32(len(scores) - 1), "first": np.int64(0), "table": scores}
    graph = helper.make_graph(
        nodes,
        "clinicians",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", N_ACTIONS])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


if __name__ == "__main__":
    make(Path(sys.argv[1]), HERE)
