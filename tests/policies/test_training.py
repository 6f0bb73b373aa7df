import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Column
from data_contracts.errors import DegenerateData, IntegrityError, SluiceError, TrainingDiverged, UsageError
from data_contracts.splits import GATE, TRAIN, VALIDATION
from data_contracts.storage import canonical_json
from policies.action_probabilities import HeadSettings
from policies.algorithms import AlgorithmSettings, TrainingSettings
from policies.export import artifact_sha256, load_policy
from policies.learning_curves import LossMeans, ValidationRows, validation_estimate
from policies.logged_interactions import LoggedInteractions
from policies.starting_point import read_starting_point
from policies.training import TrainedPolicy, choose_challenger, train_challengers
from policies.training_job import TrainingJob

N, K = 8000, 10
EXPLORATION = 0.1
SETTINGS = TrainingSettings(
    algorithms={
        "cql": AlgorithmSettings(steps=500),
        "bcq": AlgorithmSettings(steps=500, action_flexibility=0.02),
        "bc": AlgorithmSettings(steps=300),
        "linear": AlgorithmSettings(),
    },
    seeds=(0, 1),
    head=HeadSettings(exploration=EXPLORATION),
    curve_points=4,
)


def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images, labels


def columns() -> tuple[Column, ...]:
    return tuple(
        Column(name=f"p{i:02d}", source_name=f"p{i:02d}", logical_type="number", roles=("observation",))
        for i in range(64)
    )


def table(images: np.ndarray) -> pa.Table:
    return pa.table({column.name: images[:, i] for i, column in enumerate(columns())})


@pytest.fixture(scope="module")
def log() -> LoggedInteractions:
    """Digits as a bandit, logged by a policy that names the digit's neighbour or the digit, and explores 40 %."""
    images, labels = digits()
    rng = np.random.default_rng(0)
    row = rng.integers(len(images), size=N)
    favourite = (labels[row] + (images[row, 20] > 8)) % 10  # right on about half of the images
    probabilities = np.full((N, K), 0.4 / K)
    probabilities[np.arange(N), favourite] += 0.6
    action = (probabilities.cumsum(axis=1) > rng.random((N, 1))).argmax(axis=1)
    ids = np.array([f"i{i:05d}" for i in range(N)])
    return LoggedInteractions(
        actions=tuple(map(str, range(K))),
        observations=table(images[row]),
        action=action,
        reward=(action == labels[row]).astype(float),
        propensity=probabilities[np.arange(N), action],
        policy_version=np.full(N, "1"),
        interaction_id=ids,
        unit_id=ids,
        occurred_at=np.arange(N).astype("datetime64[us]"),
        split=np.repeat([TRAIN, VALIDATION, GATE], [5500, 1500, 1000]).astype(np.uint8),
        episode_id=ids,
        step=np.zeros(N, np.int64),
        terminated=np.ones(N, np.bool_),
        truncated=np.zeros(N, np.bool_),
    )


@pytest.fixture(scope="module")
def trained(log: LoggedInteractions, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedPolicy, ...]:
    folder = tmp_path_factory.mktemp("training")
    return train_challengers(log, columns=columns(), settings=SETTINGS, folder=folder)


def exact_value(trained: TrainedPolicy) -> float:
    images, labels = digits()
    probabilities = load_policy(trained.folder).action_probabilities(table(images))
    return float(probabilities[np.arange(len(labels)), labels].mean())


def only(settings: TrainingSettings, name: str, **changes: object) -> TrainingSettings:
    own = settings.algorithms[name].model_copy(update=changes)  # type: ignore[index]
    return settings.model_copy(update={"algorithms": {name: own}, "seeds": (0,)})


def test_cql_and_bcq_beat_behavior_cloning_on_the_exact_value_of_digits(trained: tuple[TrainedPolicy, ...]) -> None:
    values = {(t.algorithm, t.seed): exact_value(t) for t in trained}
    cloned = max(values["bc", 0], values["bc", 1])
    for algorithm in ("cql", "bcq"):
        for seed in SETTINGS.seeds:
            assert values[algorithm, seed] > cloned + 0.1, values


def test_every_algorithm_and_seed_is_trained_and_the_closed_form_once(trained: tuple[TrainedPolicy, ...]) -> None:
    assert [(t.algorithm, t.seed) for t in trained] == [
        ("cql", 0),
        ("cql", 1),
        ("bcq", 0),
        ("bcq", 1),
        ("bc", 0),
        ("bc", 1),
        ("linear", 0),
    ]
    assert {t.n_train for t in trained} == {5500}
    assert {t.n_dropped for t in trained} == {0}
    assert len({t.weights_sha256 for t in trained}) == 7


def test_the_validation_value_is_snips_of_the_served_policy(
    log: LoggedInteractions, trained: tuple[TrainedPolicy, ...]
) -> None:
    rows = log.select(log.split == VALIDATION)
    for t in trained:
        served = load_policy(t.folder).action_probabilities(rows.observations)
        w = served[np.arange(rows.n), rows.action] / rows.propensity
        assert t.validation_value == pytest.approx((w * rows.reward).sum() / w.sum())
        assert t.effective_sample_size == pytest.approx(w.sum() ** 2 / (w**2).sum())


def test_curves_hold_the_points_asked_for_and_end_at_the_served_policy(trained: tuple[TrainedPolicy, ...]) -> None:
    by_name = {(t.algorithm, t.seed): t for t in trained}
    assert [p.step for p in by_name["cql", 0].curve] == [125, 250, 375, 500]
    assert [p.step for p in by_name["linear", 0].curve] == [1]
    assert by_name["cql", 0].curve[0].losses.keys() == {"loss", "td_loss", "conservative_loss"}
    for t in trained:
        assert t.curve[-1].step == t.n_steps
        assert t.curve[-1].validation_value == pytest.approx(t.validation_value, abs=1e-4)


def test_rows_do_not_outlive_the_training(trained: tuple[TrainedPolicy, ...]) -> None:
    folder = trained[0].folder.parent
    assert sorted(p.name for p in folder.iterdir()) == sorted(t.folder.name for t in trained)
    assert {p.name for p in trained[0].folder.iterdir()} == {"policy.onnx", "encoding.json", "result.json"}


def test_a_rerun_repeats_nothing_and_a_repeat_has_the_same_weights(
    log: LoggedInteractions, trained: tuple[TrainedPolicy, ...], tmp_path: Path
) -> None:
    """P7 and P4; the gate rows change meanwhile, which no training may notice."""
    folder = tmp_path / "training"
    shutil.copytree(trained[0].folder.parent, folder)
    kept = {t.folder.name: (folder / t.folder.name / "result.json").stat().st_mtime_ns for t in trained}
    shutil.rmtree(folder / "bcq-1")
    (folder / ".tmp-of-a-killed-process").mkdir()
    gate = log.split == GATE
    changed = dataclasses.replace(log, reward=np.where(gate, 1.0 - log.reward, log.reward))
    seen: list[tuple[str, int, int]] = []
    again = train_challengers(
        changed, columns=columns(), settings=SETTINGS, folder=folder, progress=lambda *a: seen.append(a)
    )
    assert {label for label, _, _ in seen} == {"bcq seed 1"}
    assert seen[-1] == ("bcq seed 1", 500, 500)
    assert [t.weights_sha256 for t in again] == [t.weights_sha256 for t in trained]
    assert [t.artifact_sha256 for t in again] == [t.artifact_sha256 for t in trained]
    after = {name: (folder / name / "result.json").stat().st_mtime_ns for name in kept}
    assert {name for name in kept if kept[name] != after[name]} == {"bcq-1"}
    assert not list(folder.glob(".tmp-*"))


def test_a_changed_artifact_is_noticed(trained: tuple[TrainedPolicy, ...], log: LoggedInteractions, tmp_path: Path):
    shutil.copytree(trained[0].folder, tmp_path / "cql-0")
    policy = tmp_path / "cql-0" / "policy.onnx"
    data = bytearray(policy.read_bytes())
    data[len(data) // 2] ^= 1
    policy.write_bytes(data)
    with pytest.raises(IntegrityError, match="cql-0"):
        train_challengers(log, columns=columns(), settings=only(SETTINGS, "cql"), folder=tmp_path)


def test_a_process_that_dies_is_named_and_finished_ones_stay(log: LoggedInteractions, tmp_path: Path) -> None:
    settings = only(SETTINGS, "cql", steps=1_000_000)

    def kill(label: str, done: int, total: int) -> None:
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(SluiceError, match="died in cql seed 0") as caught:
        train_challengers(log, columns=columns(), settings=settings, folder=tmp_path, progress=kill)
    assert caught.value.fields == {"job": "cql seed 0", "exit_code": -9}
    assert not list(tmp_path.iterdir())
    assert not multiprocessing.active_children()


def test_without_logged_propensities_it_trains_but_knows_no_value(log: LoggedInteractions, tmp_path: Path) -> None:
    unknown = dataclasses.replace(log, propensity=np.full(log.n, np.nan))
    settings = only(SETTINGS, "cql", steps=2).model_copy(update={"curve_points": 2})
    (found,) = train_challengers(unknown, columns=columns(), settings=settings, folder=tmp_path)
    assert found.validation_value is None
    assert [(p.step, p.validation_value, p.effective_sample_size) for p in found.curve] == [
        (1, None, None),
        (2, None, None),
    ]
    assert choose_challenger([found], candidates=("cql",)) is found


def test_divergence_is_named_with_algorithm_seed_and_step(log: LoggedInteractions, tmp_path: Path) -> None:
    settings = only(SETTINGS, "cql", learning_rate=1e30)
    with pytest.raises(TrainingDiverged, match="cql seed 0") as caught:
        train_challengers(log, columns=columns(), settings=settings, folder=tmp_path)
    assert caught.value.fields["algorithm"] == "cql"
    assert caught.value.fields["seed"] == 0
    assert 1 <= int(str(caught.value.fields["step"])) <= 20
    assert not (tmp_path / "cql-0").exists()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda d: dataclasses.replace(d, split=np.full(d.n, GATE)), "at least two logged actions, got 0"),
        (lambda d: dataclasses.replace(d, action=np.zeros(d.n, np.int64)), "at least two logged actions, got 1"),
        (lambda d: dataclasses.replace(d, reward=np.ones(d.n)), "rewards that differ, got 1 in all"),
    ],
)
def test_rows_that_no_policy_can_come_of_are_refused(log: LoggedInteractions, tmp_path: Path, change, rule) -> None:
    with pytest.raises(DegenerateData, match=rule):
        train_challengers(change(log), columns=columns(), settings=SETTINGS, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_refork_starts_from_the_earlier_version(
    log: LoggedInteractions, trained: tuple[TrainedPolicy, ...], tmp_path: Path
) -> None:
    parent = trained[0]
    shifted = pa.table({c: pa.compute.add(log.observations[c], 1.0) for c in log.observations.column_names})
    settings = only(SETTINGS, "cql", steps=4, learning_rate=1e-30)  # so small that float32 weights stay as they are
    (child,) = train_challengers(
        dataclasses.replace(log, observations=shifted),  # other means: the earlier scaler must stay
        columns=columns(),
        settings=settings,
        folder=tmp_path,
        initial=parent.folder,
    )
    assert child.weights_sha256 == parent.weights_sha256
    assert child.artifact_sha256 == parent.artifact_sha256


def test_a_refork_needs_the_same_columns_and_a_trained_version(
    log: LoggedInteractions, trained: tuple[TrainedPolicy, ...], tmp_path: Path
) -> None:
    start = read_starting_point(trained[0].folder)
    assert sorted(start.weights) == [f"q.{i}.{kind}" for i in (0, 2, 4) for kind in ("bias", "weight")]
    with pytest.raises(UsageError, match="expected its observation columns p00"):
        train_challengers(log, columns=columns()[:-1], settings=SETTINGS, folder=tmp_path, initial=trained[0].folder)


def test_three_seeds_choose_the_algorithm_and_only_it_is_trained_with_all(
    log: LoggedInteractions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bcq wins by its first three seeds (.6 against .5); its other two make the middle one of five the fourth."""
    values = {
        "cql": (0.5, 0.5, 0.9, 0.1, 0.1),
        "bcq": (0.6, 0.7, 0.6, 0.65, 0.8),
        "bc": (0.1, 0.1, 0.1),
        "linear": (0.95,),
    }
    done: list[list[tuple[str, int]]] = []

    def train_without_processes(jobs: Sequence[TrainingJob], *_: object, **__: object) -> None:
        assert all((job.columns / "replay").is_dir() for job in jobs)
        done.append(sorted((job.algorithm, job.seed) for job in jobs))
        for job in jobs:
            job.target.mkdir()
            for name in ("policy.onnx", "encoding.json"):
                (job.target / name).write_bytes(job.label.encode())
            known = policy(job.algorithm, job.seed, values[job.algorithm][job.seed])
            facts = dataclasses.asdict(known) | {"artifact_sha256": artifact_sha256(job.target)}
            del facts["folder"]
            (job.target / "result.json").write_bytes(canonical_json(facts))

    monkeypatch.setattr("policies.training.run_jobs", train_without_processes)
    settings = TrainingSettings(algorithms=SETTINGS.algorithms, head=SETTINGS.head)
    trained = train_challengers(log, columns=columns(), settings=settings, folder=tmp_path)
    first = [(name, seed) for name in ("bc", "bcq", "cql") for seed in (0, 1, 2)]
    assert done == [[*first, ("linear", 0)], [("bcq", 3), ("bcq", 4)]]
    assert len(trained) == 12
    chosen = choose_challenger(trained, candidates=("cql", "bcq"))
    assert (chosen.algorithm, chosen.seed) == ("bcq", 3)
    assert {p.name for p in tmp_path.iterdir()} == {t.folder.name for t in trained}  # and no rows
    assert train_challengers(log, columns=columns(), settings=settings, folder=tmp_path) == trained
    assert len(done) == 2, "nothing is trained twice"

    shutil.rmtree(tmp_path / "bcq-4")
    train_challengers(log, columns=columns(), settings=settings, folder=tmp_path)
    assert done[2:] == [[("bcq", 4)]]

    alone = {name: own for name, own in SETTINGS.algorithms.items() if name != "bcq"}
    train_challengers(
        log, columns=columns(), settings=settings.model_copy(update={"algorithms": alone}), folder=tmp_path / "alone"
    )
    assert done[3] == [*((n, s) for n in ("bc", "cql") for s in ((0, 1, 2) if n == "bc" else range(5))), ("linear", 0)]
    assert len(done) == 4, "with one algorithm to deploy there is nothing to choose"


def policy(algorithm: str, seed: int, value: float | None) -> TrainedPolicy:
    return TrainedPolicy(algorithm, seed, Path(), "", "", 1, 1, 0, (), value, None, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        # cql: median .5; bcq: median .6, although cql has the best single seed
        (
            [("cql", 0, 0.9), ("cql", 1, 0.5), ("cql", 2, 0.1), ("bcq", 0, 0.7), ("bcq", 1, 0.6), ("bcq", 2, 0.2)],
            ("bcq", 1),
        ),
        # cql has all five seeds; what its later ones found does not help it against bcq, whose median is .6
        (
            [*(("cql", s, v) for s, v in enumerate([0.5, 0.5, 0.9, 0.9, 0.9])), *(("bcq", s, 0.6) for s in range(3))],
            ("bcq", 1),
        ),
        # nor hurt it once it is chosen: the median of its five is deployed
        (
            [*(("cql", s, v) for s, v in enumerate([0.7, 0.8, 0.9, 0.1, 0.2])), *(("bcq", s, 0.6) for s in range(3))],
            ("cql", 0),
        ),
        # references never win
        ([("cql", 0, 0.1), ("bc", 0, 0.9), ("linear", 0, 0.95)], ("cql", 0)),
        # two seeds: the lower one; equal medians: the smaller name
        ([("cql", 0, 0.4), ("cql", 1, 0.8), ("bcq", 0, 0.8), ("bcq", 1, 0.4)], ("bcq", 1)),
        # equal seeds: the smaller number stands in the middle of two
        ([("cql", 1, 0.5), ("cql", 0, 0.5)], ("cql", 0)),
        # no propensities, no values: the smallest name, the middle seed
        ([("cql", 0, None), ("bcq", 0, None), ("bcq", 1, None), ("bcq", 2, None)], ("bcq", 1)),
    ],
)
def test_the_challenger_is_the_median_seed_of_the_best_algorithm(trained, expected) -> None:
    for order in (trained, trained[::-1]):
        chosen = choose_challenger([policy(*t) for t in order], candidates=("cql", "bcq", "bc", "linear"))
        assert (chosen.algorithm, chosen.seed) == expected


def test_without_a_candidate_nothing_is_chosen() -> None:
    with pytest.raises(UsageError, match="got bc"):
        choose_challenger([policy("bc", 0, 0.5)], candidates=("cql",))


def test_validation_estimate_by_hand() -> None:
    """Weights .5/.5 = 1, .8/.4 = 2, .1/.2 = .5: value (1*1 + 2*0 + .5*2) / 3.5, size 3.5^2 / 5.25 with three units."""
    rows = ValidationRows(
        features=np.zeros((3, 1), np.float32),
        action=np.array([0, 1, 0]),
        reward=np.array([1.0, 0.0, 2.0]),
        propensity=np.array([0.5, 0.4, 0.2]),
        unit=np.arange(3),
    )
    probabilities = np.array([[0.5, 0.5], [0.2, 0.8], [0.1, 0.9]])
    assert validation_estimate(probabilities, rows) == (pytest.approx(2 / 3.5), pytest.approx(3.5**2 / 5.25))
    nowhere = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert validation_estimate(nowhere, rows) == (None, None)
    empty = ValidationRows(*(getattr(rows, name)[:0] for name in ValidationRows.__slots__))
    assert validation_estimate(probabilities[:0], empty) == (None, None)


def test_loss_means_are_of_the_steps_since_the_last_point() -> None:
    means = LossMeans()
    means.add({"loss": 1.0})
    means.add({"loss": 3.0})
    assert means.take() == {"loss": 2.0}
    means.add({"loss": 5.0})
    assert means.take() == {"loss": 5.0}


def test_the_result_file_is_plain_json(trained: tuple[TrainedPolicy, ...]) -> None:
    stored = json.loads((trained[0].folder / "result.json").read_bytes())
    assert stored["algorithm"] == "cql"
    assert stored["weights_sha256"] == trained[0].weights_sha256
