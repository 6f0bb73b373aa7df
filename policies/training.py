"""Train challengers: every algorithm and seed in its own process, each result committed as one folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.contract import Column
from data_contracts.errors import DegenerateData, IntegrityError, UsageError
from data_contracts.splits import TRAIN, VALIDATION
from data_contracts.storage import build_folder, read_json
from data_contracts.units.influence_settings import InfluenceSettings
from policies.algorithms import ONE_PASS, REFERENCES, AlgorithmName, TrainingSettings
from policies.encoding import Encoding, FeatureScale, encode, feature_scale, fit_encoding
from policies.export import artifact_sha256, load_policy
from policies.learning_curves import CurvePoint, validation_rows
from policies.logged_interactions import LoggedInteractions
from policies.processes import Progress, run_jobs
from policies.replay import build_replay, write_columns
from policies.starting_point import read_starting_point
from policies.training_job import RESULT, TrainingJob, train_one
from policies.unit_limits import limit_units

NO_UNIT_ABOVE = InfluenceSettings()  # the limits of a task file that names none
CHOOSING_SEEDS = 3  # the first of the seeds; they choose the algorithm, and only it is trained with the others


@dataclass(frozen=True, slots=True)
class TrainedPolicy:
    """One finished training; `folder` holds policy.onnx, encoding.json and result.json."""

    algorithm: AlgorithmName
    seed: int
    folder: Path
    artifact_sha256: str
    weights_sha256: str
    n_steps: int
    n_train: int  # rows of the train part, within the limits of a unit
    n_dropped: int  # of them without a known next step: never drawn
    curve: tuple[CurvePoint, ...]
    validation_value: float | None  # SNIPS of the served policy on the validation rows; None without propensities
    effective_sample_size: float | None  # of that value, in units
    seconds: float  # wall clock; part of no hash


def train_challengers(
    data: LoggedInteractions,
    *,
    columns: Sequence[Column],
    settings: TrainingSettings,
    folder: Path,
    influence: InfluenceSettings = NO_UNIT_ABOVE,
    progress: Progress | None = None,
    initial: Path | None = None,
    champion: Path | None = None,
) -> tuple[TrainedPolicy, ...]:
    """Train every algorithm with the first three seeds on the TRAIN rows, value each on the VALIDATION rows, and train
    the best deployable algorithm with the other seeds too; GATE rows are not read.

    `columns` are the observation columns, in order. Rows count by their weight, and no unit beyond the limits of
    `influence`: a batch holds a row with probability in proportion to its weight, a closed form sums by it.
    Results are committed to `folder`/ALGORITHM-SEED; what is there already is not trained again, so `folder` must be
    named by all the inputs. `initial` is the artifact of an earlier version: its encoding and scaler stay, and
    networks of the same kind (`q`: cql, bcq; `imitator`: bcq, bc) start from its weights. A closed form is
    trained once, under the first seed. `champion` is the artifact that a bounded head (`head.bound`) is bounded by, and
    is read for nothing else.
    Raises DegenerateData when no policy can come of the rows, TrainingDiverged, UsageError when `initial` does
    not fit, SluiceError when a process dies.
    """
    train = limit_units(data.select(data.split == TRAIN), settings=influence).rows
    validation = limit_units(data.select(data.split == VALIDATION), settings=influence).rows
    _require_learnable(train)
    encoding, scale = _features_of(train, columns) if initial is None else _features_from(initial, columns)
    champion = champion if settings.head.bound is not None else None
    jobs = _jobs(settings, encoding, scale, n_actions=data.n_actions, folder=folder, initial=initial, champion=champion)

    def run(wanted: list[TrainingJob]) -> tuple[TrainedPolicy, ...]:
        missing = [job for job in wanted if not job.target.exists()]
        if missing:
            if not missing[0].columns.exists():
                _write_columns(missing[0].columns, train, validation, encoding, scale, champion)
            run_jobs(sorted(missing, key=_cheapness), train_one, workers=settings.workers, progress=progress)
        return tuple(read_trained(job.target) for job in wanted)

    _delete_leftovers(folder)
    try:
        best = _best_algorithm(run(_choosing(jobs, settings)), deployable_of(settings))
        return run([job for job in jobs if job.algorithm == best or job.seed in settings.seeds[:CHOOSING_SEEDS]])
    finally:
        _delete_leftovers(folder)


def read_trained(folder: Path) -> TrainedPolicy:
    """A committed training; raises IntegrityError when the policy is not the one that was trained."""
    stored: dict[str, Any] = read_json(folder / RESULT)
    if artifact_sha256(folder) != stored["artifact_sha256"]:
        raise IntegrityError(
            f"changed policy in {folder}: expected the bytes that {RESULT} names, got others. "
            "Delete the folder and train again.",
            path=str(folder),
        )
    curve = tuple(CurvePoint(**point) for point in stored.pop("curve"))
    return TrainedPolicy(**stored, curve=curve, folder=folder)


def choose_challenger(trained: Sequence[TrainedPolicy], *, candidates: Sequence[str]) -> TrainedPolicy:
    """The pre-declared rule: the algorithm whose median over the seeds that all candidates were trained with is best,
    and of all its seeds the one of median value, never the best.

    References are never chosen. With an even number of seeds the lower of the two in the middle stands; equal
    values go to the smaller name or seed; an unknown value (no propensity was logged) counts as the lowest.
    Raises UsageError when no candidate was trained.
    """
    names = sorted(set(candidates) - set(REFERENCES))
    by_algorithm = [[t for t in trained if t.algorithm == name] for name in names]
    if not any(by_algorithm):
        raise UsageError(
            f"nothing to choose from: expected a trained policy of {', '.join(names) or 'cql or bcq'}, got "
            f"{', '.join(sorted({t.algorithm for t in trained})) or 'none'}. Add cql or bcq to `training`."
        )
    best = _best_algorithm(trained, names)
    return _median_seed([t for t in trained if t.algorithm == best])


def deployable_of(settings: TrainingSettings) -> tuple[AlgorithmName, ...]:
    """The algorithms whose policies may serve (references never do)."""
    return tuple(name for name in settings.algorithms if name not in REFERENCES)


def _best_algorithm(trained: Sequence[TrainedPolicy], names: Sequence[str]) -> str | None:
    """By the median over the seeds that all of `names` have; the first in the alphabet of equals, None of none."""
    found = [seeds for name in sorted(names) if (seeds := [t for t in trained if t.algorithm == name])]
    common = set.intersection(*({t.seed for t in seeds} for seeds in found)) if found else set()
    medians = [_median_seed([t for t in seeds if t.seed in common]) for seeds in found if common]
    return max(medians, key=_value).algorithm if medians else None


def _choosing(jobs: Sequence[TrainingJob], settings: TrainingSettings) -> list[TrainingJob]:
    """The trainings that choose the algorithm: of the first seeds, or all where there is but one to deploy."""
    single = len(deployable_of(settings)) == 1
    first = settings.seeds[:CHOOSING_SEEDS]
    return [job for job in jobs if job.seed in first or (single and job.algorithm in deployable_of(settings))]


def _median_seed(seeds: Sequence[TrainedPolicy]) -> TrainedPolicy:
    return sorted(seeds, key=lambda t: (_value(t), t.seed))[(len(seeds) - 1) // 2]


def _value(trained: TrainedPolicy) -> float:
    return -np.inf if trained.validation_value is None else trained.validation_value


def _require_learnable(train: LoggedInteractions) -> None:
    n_actions, n_rewards = len(np.unique(train.action)), len(np.unique(train.reward))
    if n_actions < 2:
        raise DegenerateData(
            f"nothing to compare in the train rows: expected at least two logged actions, got {n_actions} in "
            f"{train.n:,} rows. Let the serving policy explore, or move `split`."
        )
    if n_rewards < 2:
        raise DegenerateData(
            f"nothing to learn in the train rows: expected rewards that differ, got {train.reward[0]:g} in all "
            f"{train.n:,} rows. Check the reward channel and the attribution window, or ingest more of the log."
        )


def _features_of(train: LoggedInteractions, columns: Sequence[Column]) -> tuple[Encoding, FeatureScale]:
    encoding = fit_encoding(train.observations, columns=columns)
    return encoding, feature_scale(encode(encoding, train.observations))


def _features_from(initial: Path, columns: Sequence[Column]) -> tuple[Encoding, FeatureScale]:
    start = read_starting_point(initial)
    then = [getattr(feature, "column", feature.kind) for feature in start.encoding.features]
    now = [column.name for column in columns]
    if then != now:
        raise UsageError(
            f"cannot train on from {initial}: expected its observation columns {', '.join(then)}, got "
            f"{', '.join(now)}. Train afresh, or go back to the contract of that version."
        )
    return start.encoding, start.scale


def _jobs(
    settings: TrainingSettings,
    encoding: Encoding,
    scale: FeatureScale,
    *,
    n_actions: int,
    folder: Path,
    initial: Path | None,
    champion: Path | None,
) -> list[TrainingJob]:
    return [
        TrainingJob(
            algorithm=algorithm,
            seed=seed,
            settings=own,
            head=settings.head,
            encoding=encoding,
            scale=scale,
            n_actions=n_actions,
            curve_points=settings.curve_points,
            columns=folder / "columns",
            target=folder / f"{algorithm}-{seed}",
            initial=initial,
            champion=champion,
        )
        for algorithm, own in settings.algorithms.items()
        for seed in (settings.seeds[:1] if algorithm in ONE_PASS else settings.seeds)
    ]


def _cheapness(job: TrainingJob) -> tuple[bool, int]:
    """Long trainings start first, so that the processes end together."""
    return job.algorithm in ONE_PASS, -job.settings.steps


def _write_columns(
    target: Path,
    train: LoggedInteractions,
    validation: LoggedInteractions,
    encoding: Encoding,
    scale: FeatureScale,
    champion: Path | None,
) -> None:
    """The rows as the processes will map them: train features scaled, validation features as they are."""
    scaled = (encode(encoding, train.observations) - scale.mean) / scale.scale
    parts = {
        "replay": build_replay(train, scaled),
        "validation": validation_rows(
            validation, encode(encoding, validation.observations), _champion_features(champion, validation)
        ),
    }
    with build_folder(target) as folder:
        for name, record in parts.items():
            (folder / name).mkdir()
            write_columns(record, folder / name)


def _champion_features(champion: Path | None, rows: LoggedInteractions) -> NDArray[np.float32] | None:
    """(n, d) what the champion reads of the rows."""
    return None if champion is None else encode(load_policy(champion).encoding, rows.observations)


def _delete_leftovers(folder: Path) -> None:
    """The columns, also a killed run's: rows outlive a training in the store alone (erasure)."""
    for path in (folder / "columns", *folder.glob(".tmp-*")):
        shutil.rmtree(path, ignore_errors=True)
