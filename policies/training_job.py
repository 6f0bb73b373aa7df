"""One training: an algorithm and a seed, from memory-mapped columns to a committed policy folder."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import TrainingDiverged
from data_contracts.storage import build_folder, canonical_json
from policies.action_probabilities import HeadSettings, action_probabilities
from policies.algorithms import ONE_PASS, AlgorithmName, AlgorithmSettings, Learner, create
from policies.encoding import Encoding, FeatureScale
from policies.learning_curves import CurvePoint, LossMeans, ValidationRows, validation_estimate
from policies.processes import Report
from policies.replay import Replay, draw, in_order, open_columns, weights_in_order
from policies.ridge import RidgeLearner
from policies.starting_point import read_starting_point
from policies.tabular import TabularLearner

if TYPE_CHECKING:
    import torch

RESULT = "result.json"
PASS_BATCH = 8192  # rows a closed form reads at a time
REPORTS = 50  # of a training's progress


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Everything a process needs; the rows lie in `columns`, the result goes to `target` in one step."""

    algorithm: AlgorithmName
    seed: int
    settings: AlgorithmSettings
    head: HeadSettings
    encoding: Encoding
    scale: FeatureScale
    n_actions: int
    curve_points: int
    columns: Path
    target: Path
    initial: Path | None
    champion: Path | None = None  # artifact that bounds the head, where the task declares a bound

    @property
    def label(self) -> str:
        return f"{self.algorithm} seed {self.seed}"


def train_one(job: TrainingJob, report: Report) -> None:
    """Train, export, value on the validation rows, commit `job.target`; raises TrainingDiverged."""
    import torch

    from policies.export import export_policy, load_policy

    torch.set_num_threads(1)
    started = time.perf_counter()
    replay = open_columns(Replay, job.columns / "replay")
    validation = open_columns(ValidationRows, job.columns / "validation")
    learner = create(job.algorithm, job.settings, n_features=replay.n_features, n_actions=job.n_actions, seed=job.seed)
    if job.initial is not None:
        learner.start_from(read_starting_point(job.initial).weights)
    curve = _fit(job, learner, replay, validation, report)
    with build_folder(job.target) as folder:
        artifact = export_policy(
            learner.scores_module(),
            encoding=job.encoding,
            mean=job.scale.mean,
            scale=job.scale.scale,
            head=job.head,
            n_actions=job.n_actions,
            folder=folder,
            champion=job.champion,
        )
        both = np.hstack([validation.features, validation.champion_features])
        value, size = validation_estimate(load_policy(folder).probabilities_of(both), validation)
        result = {
            "algorithm": job.algorithm,
            "seed": job.seed,
            "artifact_sha256": artifact,
            "weights_sha256": weights_sha256(learner.scores_module()),
            "n_steps": curve[-1].step,
            "n_train": replay.n,
            "n_dropped": replay.n_dropped,
            "validation_value": value,
            "effective_sample_size": size,
            "curve": [asdict(point) for point in curve],
            "seconds": time.perf_counter() - started,
        }
        (folder / RESULT).write_bytes(canonical_json(result))


def weights_sha256(module: torch.nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of a module's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(np.ascontiguousarray(value.numpy()).tobytes())
    return digest.hexdigest()


def _fit(
    job: TrainingJob, learner: Learner, replay: Replay, validation: ValidationRows, report: Report
) -> tuple[CurvePoint, ...]:
    n_steps = _n_steps(job, replay)
    marks = {n_steps} if job.algorithm in ONE_PASS else _marks(n_steps, job.curve_points)
    curve, means = [], LossMeans()
    report(0, n_steps)
    for step, losses in enumerate(_updates(job, learner, replay), start=1):
        if not all(map(math.isfinite, losses.values())):
            raise _diverged(job, step, f"a finite loss, got {losses}")
        means.add(losses)
        if step in marks:
            curve.append(_curve_point(job, learner.scores_module(), validation, step=step, losses=means.take()))
        if step == n_steps or step % max(1, n_steps // REPORTS) == 0:
            report(step, n_steps)
    return tuple(curve)


def _n_steps(job: TrainingJob, replay: Replay) -> int:
    return math.ceil(len(replay.drawable) / PASS_BATCH) if job.algorithm in ONE_PASS else job.settings.steps


def _marks(n_steps: int, n_points: int) -> set[int]:
    return {math.ceil(n_steps * i / n_points) for i in range(1, n_points + 1)}


def _updates(job: TrainingJob, learner: Learner, replay: Replay) -> Iterator[dict[str, float]]:
    """The losses of every step. Rows count by their weight: in the draw, or in the sums of a closed form."""
    if isinstance(learner, RidgeLearner | TabularLearner):
        passes = in_order(replay, batch_size=PASS_BATCH), weights_in_order(replay, batch_size=PASS_BATCH)
        for batch, weight in zip(*passes, strict=True):
            yield learner.update(batch, weight)
        return
    rng = np.random.default_rng(job.seed)
    for _ in range(job.settings.steps):
        yield learner.update(draw(replay, batch_size=job.settings.batch_size, rng=rng))


def _curve_point(
    job: TrainingJob, scores: torch.nn.Module, rows: ValidationRows, *, step: int, losses: dict[str, float]
) -> CurvePoint:
    import torch

    if not all(bool(torch.isfinite(value).all()) for value in scores.state_dict().values()):
        raise _diverged(job, step, "finite weights, got NaN or infinity")
    scaled = (rows.features - job.scale.mean) / job.scale.scale
    with torch.no_grad():
        values = scores(torch.from_numpy(scaled)).numpy()
    served = action_probabilities(values, head=job.head, champion=_champion(job, rows))
    value, size = validation_estimate(served, rows)
    return CurvePoint(step, losses, value, size)


def _champion(job: TrainingJob, rows: ValidationRows) -> NDArray[np.float64] | None:
    """(m, K) probabilities that bound the head on the validation rows."""
    from policies.export import load_policy

    return None if job.champion is None else load_policy(job.champion).probabilities_of(rows.champion_features)


def _diverged(job: TrainingJob, step: int, rule: str) -> TrainingDiverged:
    return TrainingDiverged(
        f"training diverged in {job.label}: expected {rule} at step {step}. "
        "Lower learning_rate, or bound the reward and the observation columns in the contract.",
        algorithm=job.algorithm,
        seed=job.seed,
        step=step,
    )
