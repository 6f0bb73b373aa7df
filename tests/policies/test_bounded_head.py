"""The head that no ratio to the champion escapes: the formula, the graph, and the way through a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from data_contracts.contract import Column
from data_contracts.errors import ConfigurationError, UsageError
from data_contracts.splits import TRAIN, VALIDATION
from policies.action_probabilities import HeadSettings, action_probabilities, bounded_probabilities
from policies.algorithms import AlgorithmSettings, TrainingSettings
from policies.declared import build_declared
from policies.encoding import Encoding, NumberFeature
from policies.export import export_policy, load_policy
from policies.logged_interactions import LoggedInteractions
from policies.starting_point import read_starting_point
from policies.training import train_challengers

K, D = 3, 2
ENCODING = Encoding(features=tuple(NumberFeature(kind="number", column=c) for c in ("x", "y")))
BOUND = HeadSettings(bound=1.5)


def _linear(seed: int) -> Any:
    import torch

    module = torch.nn.Linear(D, K)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.random.default_rng(seed).normal(size=(K, D)).astype(np.float32)))
        module.bias.zero_()
    return module


def _export(folder: Path, *, seed: int, head: HeadSettings, champion: Path | None = None) -> Path:
    folder.mkdir()
    export_policy(
        _linear(seed),
        encoding=ENCODING,
        mean=np.zeros(D, np.float32),
        scale=np.ones(D, np.float32),
        head=head,
        n_actions=K,
        folder=folder,
        champion=champion,
    )
    return folder


def _rows(n: int = 200) -> pa.Table:
    rng = np.random.default_rng(1)
    return pa.table({"x": rng.normal(size=n), "y": rng.normal(size=n)})


def _worked() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array([[0.0, 2.0, 1.0]]), np.array([[0.5, 0.3, 0.2]])


def test_worked_by_hand() -> None:
    scores, champion = _worked()
    # least .25, .15, .1, so .5 is left; up to .6 for action 1 takes .45, the rest .05 of room .3 goes to action 2
    assert bounded_probabilities(scores, champion, bound=2.0)[0] == pytest.approx([0.25, 0.6, 0.15])
    # equal scores: the first of equals first: action 0 takes .5 of room .75
    assert bounded_probabilities(np.zeros((1, 3)), champion, bound=2.0)[0] == pytest.approx([0.75, 0.15, 0.1])


@pytest.mark.parametrize("bound", [1.001, 1.3, 4.0, 1e6])
def test_no_ratio_leaves_the_bound_and_no_such_policy_scores_higher(bound: float) -> None:
    from scipy.optimize import linprog

    rng = np.random.default_rng(2)
    champion, scores = rng.dirichlet(np.ones(5), size=40) * 0.9 + 0.02, rng.normal(size=(40, 5))
    found = bounded_probabilities(scores, champion, bound=bound)
    assert found.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-12)
    assert (found <= champion * bound * (1 + 1e-12)).all()
    assert (found >= champion / bound * (1 - 1e-12)).all()
    for i in range(5):
        limits = list(zip(champion[i] / bound, np.minimum(champion[i] * bound, 1.0), strict=True))
        best = linprog(-scores[i], A_eq=np.ones((1, 5)), b_eq=[1.0], bounds=limits)
        assert found[i] @ scores[i] == pytest.approx(-best.fun)


def test_a_bound_stands_alone_and_keeps_older_settings_as_they_were() -> None:
    assert BOUND.exploration == 0.0
    assert HeadSettings.model_validate(BOUND.model_dump()) == BOUND
    assert "bound" not in HeadSettings().model_dump()
    for wrong in ({"bound": 1.3, "exploration": 0.1}, {"bound": 1.3, "kind": "softmax"}, {"bound": 1.0}):
        with pytest.raises(ValidationError):
            HeadSettings.model_validate(wrong)
    with pytest.raises(UsageError, match="without a champion"):
        action_probabilities(np.zeros((1, 2)), head=BOUND)


def test_what_is_served_is_the_formula_over_the_champion_that_is_inside(tmp_path: Path) -> None:
    champion = _export(tmp_path / "champion", seed=1, head=HeadSettings(kind="softmax", exploration=0.1))
    challenger = _export(tmp_path / "challenger", seed=2, head=BOUND, champion=champion)
    plain = _export(tmp_path / "plain", seed=2, head=HeadSettings())
    rows = _rows()
    features = np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], axis=1).astype(np.float32)
    scores = load_policy(plain).session.run(["scores"], {"features": features})[0]
    of_champion = load_policy(champion).action_probabilities(rows)
    served = load_policy(challenger)
    found = served.action_probabilities(rows)
    assert found == pytest.approx(bounded_probabilities(scores.astype(np.float64), of_champion, bound=1.5), abs=1e-12)
    ratio = found / of_champion
    assert ratio.max() == pytest.approx(1.5)
    assert ratio.min() >= 1 / 1.5 - 1e-12
    alone = np.concatenate([served.action_probabilities(rows.slice(i, 1)) for i in range(20)])
    assert alone == pytest.approx(found[:20], abs=1e-12)
    assert {p.name for p in challenger.iterdir()} == {"policy.onnx", "encoding.json"}


def test_equal_inputs_give_equal_bytes_and_another_champion_others(tmp_path: Path) -> None:
    champion = _export(tmp_path / "champion", seed=1, head=HeadSettings())
    other = _export(tmp_path / "other", seed=5, head=HeadSettings())
    folders = [
        _export(tmp_path / name, seed=2, head=BOUND, champion=by)
        for name, by in (("a", champion), ("b", champion), ("c", other))
    ]
    a, b, c = ((folder / "policy.onnx").read_bytes() for folder in folders)
    assert a == b
    assert a != c


def test_a_bounded_policy_can_bound_the_next_and_be_trained_on_from(tmp_path: Path) -> None:
    champion = _export(tmp_path / "champion", seed=1, head=HeadSettings(kind="softmax"))
    first = _export(tmp_path / "first", seed=2, head=BOUND, champion=champion)
    second = _export(tmp_path / "second", seed=3, head=BOUND, champion=first)
    rows = _rows(50)
    ratio = load_policy(second).action_probabilities(rows) / load_policy(first).action_probabilities(rows)
    assert ratio.max() <= 1.5 + 1e-9
    start = read_starting_point(second)
    assert start.encoding == ENCODING
    assert start.weights["weight"] == pytest.approx(_linear(3).weight.detach().numpy())


def test_a_champion_that_ignores_its_observation_bounds_too(tmp_path: Path) -> None:
    class Uniform:
        uniform, constant, probabilities, onnx, head = True, None, None, None, HeadSettings()

    folder = tmp_path / "uniform"
    folder.mkdir()
    build_declared(Uniform(), actions=("a", "b", "c"), columns=(), onnx_path=None, folder=folder)
    found = load_policy(_export(tmp_path / "challenger", seed=2, head=BOUND, champion=folder))
    probabilities = found.action_probabilities(_rows(30))
    assert np.unique(probabilities.round(12)).tolist() == pytest.approx([2 / 9, 5 / 18, 0.5])


def test_what_cannot_be_bounded_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without a champion"):
        _export(tmp_path / "alone", seed=1, head=BOUND)

    class Declared:
        uniform, constant, probabilities, onnx, head = True, None, None, None, BOUND

    with pytest.raises(ConfigurationError, match=r"training\.head"):
        build_declared(Declared(), actions=("a", "b"), columns=(), onnx_path=None, folder=tmp_path)


def _log(n: int = 900) -> LoggedInteractions:
    """Two observations; action 1 earns in the first, action 2 in the second; logged uniformly."""
    rng = np.random.default_rng(4)
    x, action = rng.integers(2, size=n), rng.integers(K, size=n)
    ids = np.array([f"i{i:04d}" for i in range(n)])
    return LoggedInteractions(
        actions=("a", "b", "c"),
        observations=pa.table({"x": x.astype(np.float64), "y": np.zeros(n)}),
        action=action,
        reward=(action == x + 1).astype(np.float64),
        propensity=np.full(n, 1 / K),
        policy_version=np.full(n, "1"),
        interaction_id=ids,
        unit_id=ids,
        occurred_at=np.arange(n).astype("datetime64[us]"),
        split=np.repeat([TRAIN, VALIDATION], [600, 300]).astype(np.uint8),
        episode_id=ids,
        step=np.zeros(n, np.int64),
        terminated=np.ones(n, np.bool_),
        truncated=np.zeros(n, np.bool_),
    )


def test_training_exports_the_bounded_policy_and_values_it(tmp_path: Path) -> None:
    champion = _export(tmp_path / "champion", seed=1, head=HeadSettings(kind="softmax", exploration=0.1))
    settings = TrainingSettings(algorithms={"tabular": AlgorithmSettings()}, seeds=(0,), head=BOUND, workers=1)
    columns = tuple(Column(name=c, source_name=c, logical_type="number", roles=("observation",)) for c in ("x", "y"))
    log = _log()
    (trained,) = train_challengers(log, columns=columns, settings=settings, folder=tmp_path / "t", champion=champion)
    both = pa.table({"x": [0.0, 1.0], "y": [0.0, 0.0]})
    found, before = (load_policy(f).action_probabilities(both) for f in (trained.folder, champion))
    best = np.array([1, 2])
    rows = np.arange(2)
    assert found[rows, best] == pytest.approx(np.minimum(1.5 * before[rows, best], 1 - (1 - before[rows, best]) / 1.5))
    assert trained.validation_value == pytest.approx(float(found[rows, best].mean()), abs=0.08)  # reward 1 when best
