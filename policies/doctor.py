"""A small piece of real work that proves the training and serving stack boots on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from data_contracts.contract import Column


def boot_training(folder: Path) -> str:
    """Train a few steps, export, serve; raises what the libraries raise."""
    from importlib.metadata import version

    from data_contracts.splits import TRAIN, VALIDATION
    from policies.algorithms import AlgorithmSettings, TrainingSettings
    from policies.export import load_policy
    from policies.logged_interactions import LoggedInteractions
    from policies.training import train_challengers

    n, rng = 64, np.random.default_rng(0)
    ids = np.array([str(i) for i in range(n)])
    rows = LoggedInteractions(
        actions=("a", "b"),
        observations=pa.table({"x": rng.normal(size=n)}),
        action=rng.integers(2, size=n),
        reward=rng.random(n),
        propensity=np.full(n, 0.5),
        policy_version=np.full(n, "1"),
        interaction_id=ids,
        unit_id=ids,
        occurred_at=np.arange(n).astype("datetime64[us]"),
        split=np.where(np.arange(n) < n // 2, TRAIN, VALIDATION).astype(np.uint8),
        episode_id=ids,
        step=np.zeros(n, np.int64),
        terminated=np.ones(n, np.bool_),
        truncated=np.zeros(n, np.bool_),
    )
    settings = TrainingSettings(
        algorithms={"cql": AlgorithmSettings(steps=4, batch_size=8, hidden_units=(4,))}, seeds=(0,), curve_points=2
    )
    column = Column(name="x", source_name="x", logical_type="number", roles=("observation",))
    (trained,) = train_challengers(rows, columns=(column,), settings=settings, folder=folder, progress=None)
    total = load_policy(trained.folder).action_probabilities(rows.observations).sum(axis=1)
    if not np.allclose(total, 1.0, atol=1e-9):
        raise ValueError(f"served probabilities sum to {total.min()}..{total.max()}: expected 1")
    return ", ".join(f"{name} {version(name)}" for name in ("d3rlpy", "torch", "onnxruntime"))
