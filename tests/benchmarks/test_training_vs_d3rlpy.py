"""Training steps per CPU-second against stock d3rlpy `fit`, and memory per transition against its MDPDataset.

Same rows, seed, batch size and networks; one thread; runs alternate (A B A B) and ratios are taken pair by pair.
"""

from __future__ import annotations

import logging
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from policies.algorithms import AlgorithmName, AlgorithmSettings, create
from policies.logged_interactions import LoggedInteractions
from policies.replay import Replay, build_replay, draw, open_columns, write_columns

pytestmark = pytest.mark.benchmark
N_ROWS, D, K = 20_000, 64, 10
N_STEPS, N_PAIRS, BATCH = 400, 5, 256
SETTINGS = AlgorithmSettings(batch_size=BATCH, action_flexibility=0.02)


def _log(*, episode_length: int) -> tuple[LoggedInteractions, np.ndarray]:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(N_ROWS, D)).astype(np.float32)
    action, step = rng.integers(K, size=N_ROWS), np.arange(N_ROWS) % episode_length
    ids = np.arange(N_ROWS).astype(str)
    rows = LoggedInteractions(
        actions=tuple(map(str, range(K))),
        observations=pa.table({"x": np.zeros(N_ROWS)}),
        action=action,
        reward=(features[:, :K].argmax(axis=1) == action).astype(float),
        propensity=np.full(N_ROWS, 1 / K),
        policy_version=np.full(N_ROWS, "1"),
        interaction_id=ids,
        unit_id=ids,
        occurred_at=np.arange(N_ROWS).astype("datetime64[us]"),
        split=np.zeros(N_ROWS, np.uint8),
        episode_id=np.char.zfill((np.arange(N_ROWS) // episode_length).astype(str), 6),
        step=step,
        terminated=step == episode_length - 1,
        truncated=np.zeros(N_ROWS, np.bool_),
    )
    return rows, features


def _dataset(rows: LoggedInteractions, features: np.ndarray) -> Any:
    import d3rlpy

    return d3rlpy.dataset.MDPDataset(
        features,
        rows.action[:, None],
        rows.reward.astype(np.float32)[:, None],
        rows.terminated.astype(np.float32),
        action_space=d3rlpy.ActionSpace.DISCRETE,
        action_size=K,
    )


def _mapped(rows: LoggedInteractions, features: np.ndarray, folder: Path) -> Replay:
    folder.mkdir()
    write_columns(build_replay(rows, features), folder)
    return open_columns(Replay, folder)


def _stock(name: AlgorithmName, dataset: Any) -> Callable[[], None]:
    """d3rlpy's own algorithm and `fit`, without files, progress bar or log lines."""
    import d3rlpy
    from d3rlpy.algos import DiscreteBCConfig, DiscreteBCQConfig, DiscreteCQLConfig
    from d3rlpy.logging import NoopAdapterFactory
    from d3rlpy.models import VectorEncoderFactory

    common = {
        "learning_rate": SETTINGS.learning_rate,
        "batch_size": BATCH,
        "encoder_factory": VectorEncoderFactory(list(SETTINGS.hidden_units)),
    }
    bootstrap = {"gamma": SETTINGS.gamma, "target_update_interval": SETTINGS.target_update_interval}
    config = {
        "cql": lambda: DiscreteCQLConfig(**common, **bootstrap, alpha=SETTINGS.conservatism),
        "bcq": lambda: DiscreteBCQConfig(
            **common, **bootstrap, beta=0.01, share_encoder=False, action_flexibility=SETTINGS.action_flexibility
        ),
        "bc": lambda: DiscreteBCConfig(**common, beta=0.01),
    }[name]()
    d3rlpy.seed(0)
    algorithm = config.create(device=False)
    algorithm.create_impl((D,), K)
    return lambda: algorithm.fit(
        dataset,
        n_steps=N_STEPS,
        n_steps_per_epoch=N_STEPS,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        save_interval=N_STEPS,
    )


def _ours(name: AlgorithmName, replay: Replay) -> Callable[[], None]:
    learner = create(name, SETTINGS, n_features=D, n_actions=K, seed=0)
    rng = np.random.default_rng(0)

    def run() -> None:
        for _ in range(N_STEPS):
            learner.update(draw(replay, batch_size=BATCH, rng=rng))

    return run


def _cpu_seconds(run: Callable[[], None]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


@pytest.fixture
def one_quiet_thread() -> None:
    import structlog
    import torch

    torch.set_num_threads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


@pytest.mark.parametrize("episode_length", [1, 10])
@pytest.mark.parametrize("name", ["cql", "bcq", "bc"])
@pytest.mark.usefixtures("one_quiet_thread")
def test_steps_per_cpu_second(name: AlgorithmName, episode_length: int, tmp_path: Path) -> None:
    rows, features = _log(episode_length=episode_length)
    replay, dataset = _mapped(rows, features, tmp_path / "replay"), _dataset(rows, features)
    stock, ours = _stock(name, dataset), _ours(name, replay)
    ratios = [_cpu_seconds(stock) / _cpu_seconds(ours) for _ in range(N_PAIRS)]
    median = statistics.median(ratios)
    print(
        f"\n{name}, episodes of {episode_length}: {median:.2f}x the steps per CPU-second of d3rlpy fit "
        f"({min(ratios):.2f}-{max(ratios):.2f} in {N_PAIRS} pairs)"
    )
    assert median >= 1.5


def test_memory_per_transition(tmp_path: Path) -> None:
    rows, features = _log(episode_length=1)
    build_replay(rows, features)  # imports are not memory of a transition
    _dataset(*_log(episode_length=10))
    arrays = ("features", "action", "reward")
    tracemalloc.start()
    dataset = _dataset(rows, features)
    theirs = tracemalloc.get_traced_memory()[0] / N_ROWS
    tracemalloc.clear_traces()
    replay = _mapped(rows, features, tmp_path / "replay")
    heap = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    mapped = sum(getattr(replay, name).nbytes for name in Replay.__slots__ if name not in arrays)
    ours = (heap + mapped) / N_ROWS
    assert dataset.transition_count == len(replay.drawable) == N_ROWS
    print(f"\nmemory beside the arrays: {ours / theirs:.4f} of MDPDataset's ({ours:.1f} against {theirs:.0f} bytes)")
    assert ours <= theirs / 10
