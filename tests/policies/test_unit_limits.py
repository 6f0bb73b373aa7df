"""Limits of one unit: in training, in validation, and over all looks of the gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Column
from data_contracts.splits import TRAIN, VALIDATION
from data_contracts.units.influence_settings import InfluenceSettings
from policies.algorithms import AlgorithmName, AlgorithmSettings, TrainingSettings, create
from policies.logged_interactions import LoggedInteractions
from policies.replay import build_replay, draw, in_order, weights_in_order
from policies.ridge import RidgeLearner
from policies.training import train_challengers
from policies.unit_limits import limit_gate_rows, limit_units

SETTINGS = AlgorithmSettings(batch_size=256, hidden_units=(8,), learning_rate=1e-2)
X = Column(name="x", source_name="x", logical_type="number", roles=("observation",), required=True)


def _log(unit: np.ndarray, *, seed: int = 0) -> LoggedInteractions:
    """Two actions at random; the first pays .3, the second .5. Four rows in five train."""
    rng = np.random.default_rng(seed)
    n = len(unit)
    action = rng.integers(2, size=n)
    ids = np.array([f"i{i:06d}" for i in range(n)])
    return LoggedInteractions(
        actions=("a", "b"),
        observations=pa.table({"x": rng.normal(size=n)}),
        action=action,
        reward=(rng.random(n) < np.array([0.3, 0.5])[action]) * 1.0,
        propensity=np.full(n, 0.5),
        policy_version=np.full(n, "1"),
        interaction_id=ids,
        unit_id=np.array([f"u{u}" for u in unit]),
        occurred_at=np.arange(n).astype("datetime64[us]"),
        split=np.where(np.arange(n) % 5 < 4, TRAIN, VALIDATION).astype(np.uint8),
        episode_id=ids,
        step=np.zeros(n, np.int64),
        terminated=np.ones(n, np.bool_),
        truncated=np.zeros(n, np.bool_),
    )


def test_a_log_within_the_limits_comes_back_as_it_is() -> None:
    rows = _log(np.arange(500))
    found = limit_units(rows, settings=InfluenceSettings(max_rows_per_unit=1))
    assert found.rows is rows
    assert found.n_over_limit == 0


def test_the_earliest_rows_stay_and_the_others_are_counted() -> None:
    rows = _log(np.tile([0, 1, 2, 3], 25))
    late_first = rows.select(np.arange(rows.n)[::-1])
    found = limit_units(late_first, settings=InfluenceSettings(max_rows_per_unit=3))
    assert sorted(found.rows.interaction_id) == [f"i{i:06d}" for i in range(12)]
    assert found.n_over_limit == 88


def test_no_unit_carries_more_than_its_share_of_the_weight() -> None:
    rows = _log(np.concatenate([np.arange(1000), np.zeros(4000, np.int64)]))
    found = limit_units(rows, settings=InfluenceSettings(max_weight_share_per_unit=0.02)).rows
    mine = found.weight[found.unit_id == "u0"].sum() / found.weight.sum()
    assert mine == pytest.approx(0.02)
    assert (found.weight[found.unit_id != "u0"] == 1).all()


def test_the_gate_reads_the_earliest_rows_of_a_unit_over_all_looks() -> None:
    """1,000 units of one row and one of 500, at 2 %: c = .02 (1000 + c), 20 rows."""
    rows = _log(np.concatenate([np.zeros(500, np.int64), np.arange(1, 1001)]))
    settings = InfluenceSettings(max_weight_share_per_unit=0.02)
    first = limit_gate_rows(rows, np.array([], np.str_), settings=settings)
    assert first.rows_per_unit == 20
    assert np.flatnonzero(first.keep[:500]).tolist() == list(range(20))
    assert first.keep[500:].all()
    # a second look: 20 rows of it are read, of 1,020; another 1,000 units of one row come, and its other 480 rows
    more = _log(np.concatenate([np.zeros(480, np.int64), np.arange(2001, 3001)]))
    second = limit_gate_rows(more, rows.unit_id[first.keep], settings=settings)
    assert second.rows_per_unit == 40  # c = .02 (2000 + c)
    assert int(second.keep[:480].sum()) == 20


def test_the_gates_limit_depends_on_units_alone() -> None:
    """Another action, another reward: the same rows are read, or the bets would be on chosen rows."""
    rows = _log(np.concatenate([np.zeros(500, np.int64), np.arange(1, 1001)]))
    settings = InfluenceSettings()
    keep = limit_gate_rows(rows, np.array([], np.str_), settings=settings).keep
    flipped = replace(rows, reward=1 - rows.reward, action=1 - rows.action, propensity=np.full(rows.n, 0.1))
    assert (limit_gate_rows(flipped, np.array([], np.str_), settings=settings).keep == keep).all()


@pytest.mark.parametrize(("limit", "kept"), [(None, 60), (4, 4), (70, 60)])
def test_a_declared_number_of_rows_holds_at_the_gate(limit: int | None, kept: int) -> None:
    rows = _log(np.concatenate([np.zeros(60, np.int64), np.arange(1, 6)]))  # six units: ten even shares are all
    found = limit_gate_rows(rows, np.array([], np.str_), settings=InfluenceSettings(max_rows_per_unit=limit))
    assert int(found.keep[:60].sum()) == kept
    assert found.rows_per_unit == (4 if kept == 4 else None)


def test_no_rows_have_no_limit() -> None:
    rows = _log(np.zeros(0, np.int64))
    assert limit_gate_rows(rows, np.array([], np.str_), settings=InfluenceSettings()).keep.shape == (0,)


def _prefers_b(rows: LoggedInteractions, name: AlgorithmName) -> bool:
    """Does a policy trained on `rows`, each by its weight, mostly choose `b`?"""
    import torch

    torch.set_num_threads(1)
    replay = build_replay(rows, np.asarray(rows.observations["x"].to_numpy(), np.float32)[:, None])
    learner = create(name, SETTINGS, n_features=1, n_actions=2, seed=0)
    if isinstance(learner, RidgeLearner):
        for batch, weight in zip(
            in_order(replay, batch_size=999), weights_in_order(replay, batch_size=999), strict=True
        ):
            learner.update(batch, weight)
    else:
        rng = np.random.default_rng(0)
        for _ in range(200):
            learner.update(draw(replay, batch_size=256, rng=rng))
    with torch.no_grad():
        scores = learner.scores_module()(torch.linspace(-1, 1, 21)[:, None])
    better = scores[:, 1] > scores[:, 0]
    return bool(better.float().mean() > 0.5)


@pytest.mark.parametrize("name", ["cql", "linear"])
def test_one_loud_unit_turns_a_policy_without_limits_and_not_with_them(name: AlgorithmName) -> None:
    """`b` pays more; one unit, half of all rows, rewards `a` every time and `b` never."""
    rows = _log(np.concatenate([np.arange(3000), np.zeros(3000, np.int64)]), seed=1)
    loud = rows.unit_id == "u0"
    rows = replace(rows, reward=np.where(loud, 1.0 - rows.action, rows.reward))
    assert not _prefers_b(rows, name)
    by_weight, by_rows = InfluenceSettings(), InfluenceSettings(max_rows_per_unit=50, max_weight_share_per_unit=1.0)
    assert _prefers_b(limit_units(rows, settings=by_weight).rows, name)
    assert _prefers_b(limit_units(rows, settings=by_rows).rows, name)


@pytest.mark.parametrize("name", ["cql", "linear"])
def test_sampling_weights_reach_every_learner(name: AlgorithmName) -> None:
    """Negatives of `b` are all kept, of `a` one in ten: unweighted, `a` looks better than `b`."""
    rows = _log(np.arange(8000), seed=2)
    rate = np.where((rows.action == 0) & (rows.reward == 0), 0.1, 1.0)
    kept = np.random.default_rng(3).random(8000) < rate
    sampled = rows.select(kept)
    assert not _prefers_b(sampled, name)
    assert _prefers_b(replace(sampled, weight=1 / rate[kept]), name)


def test_a_challenger_is_trained_and_valued_within_the_limits(tmp_path: Path) -> None:
    """One process, a closed form: without limits the loud unit's rows decide it, within them they are left out."""
    rows = _log(np.concatenate([np.arange(1000), np.zeros(1000, np.int64)]), seed=4)
    rows = replace(rows, split=np.where(np.arange(2000) % 5 < 4, TRAIN, VALIDATION).astype(np.uint8))
    (trained,) = train_challengers(
        rows,
        columns=(X,),
        settings=TrainingSettings(algorithms={"linear": SETTINGS}, seeds=(0,), workers=1),
        folder=tmp_path,
        influence=InfluenceSettings(max_rows_per_unit=10),
    )
    assert trained.n_train == 800 + 9  # of the loud unit ten, and its first row is one of the 800
    # some hundred of 200 units and the loud one's ten rows; with all its 200 rows it would be about 4
    assert trained.effective_sample_size is not None
    assert trained.effective_sample_size > 50
