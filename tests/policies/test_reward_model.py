"""The reward model: recovers what is linear, stays in bounds, is deterministic, and refuses what is broken."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.reward_model import RewardModel, _decompose, _leave_one_out, fit_reward_model, load_reward_model

Array = NDArray[np.float64]


def _world(n: int, seed: int) -> tuple[Array, NDArray[np.int64], Array, Array]:
    """Features, action, noisy reward, and exact q (n, 3): linear with slopes that differ by action."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 4)) * [1, 10, 0.1, 0] + [0, 5, 0, 3]  # the last column is constant
    slopes = np.array([[0.1, 0.0, -0.1], [0.005, 0.01, 0.0], [0.0, 0.5, -0.5], [0, 0, 0]])
    exact = 0.5 + (features - [0, 5, 0, 3]) @ slopes
    action = rng.choice(3, size=n, p=[0.7, 0.25, 0.05])
    return features, action, exact[np.arange(n), action] + rng.normal(size=n) * 0.1, exact


def _fit(features: Array, action: NDArray[np.int64], reward: Array, **changes: object) -> RewardModel:
    options = {"n_actions": 3, "reward_minimum": -5.0, "reward_maximum": 5.0, **changes}
    return fit_reward_model(features, action, reward, **options)  # type: ignore[arg-type]


def test_recovers_a_linear_truth_for_every_action() -> None:
    features, action, reward, exact = _world(4000, 1)
    error = np.sqrt(((_fit(features, action, reward).predict(features) - exact) ** 2).mean(axis=0))
    assert (error < [0.01, 0.02, 0.04]).all()  # noise .1 over 2800, 1000 and 200 rows with 4 coefficients


def test_an_action_without_rows_is_predicted_by_the_pool() -> None:
    features, action, reward, _ = _world(2000, 2)
    known = action != 2
    model = _fit(features[known], action[known], reward[known])
    assert np.isfinite(model.predict(features)).all()
    assert model.predict(features)[:, 2].mean() == pytest.approx(reward[known].mean(), abs=0.05)


def test_action_features_carry_over_to_an_action_without_rows() -> None:
    rng = np.random.default_rng(3)
    quality = np.array([[0.0], [1.0], [2.0], [3.0]])
    action = rng.integers(3, size=3000)
    reward = 0.2 * quality[action, 0] + rng.normal(size=3000) * 0.05
    features = np.zeros((3000, 1))
    with_features = _fit(features, action, reward, n_actions=4, action_features=quality).predict(features[:1])
    without = _fit(features, action, reward, n_actions=4).predict(features[:1])
    assert abs(with_features[0, 3] - 0.6) < abs(without[0, 3] - 0.6) - 0.1


def test_predictions_stay_inside_the_rewards_bounds() -> None:
    features, action, reward, _ = _world(2000, 4)
    model = _fit(features, action, np.clip(reward, 0, 1), reward_minimum=0.0, reward_maximum=1.0)
    far = model.predict(features * 1000)
    assert far.min() == 0
    assert far.max() == 1


def test_leave_one_out_is_what_leaving_one_out_gives() -> None:
    rng = np.random.default_rng(5)
    x, y, penalty = rng.normal(size=(12, 3)), rng.normal(size=12), 2.0
    errors = []
    for i in range(12):
        rest = np.arange(12) != i
        beta = np.linalg.solve(x[rest].T @ x[rest] + penalty * np.eye(3), x[rest].T @ y[rest])
        errors.append((y[i] - x[i] @ beta) ** 2)
    assert _leave_one_out(*_decompose(x, y), penalty=penalty) == pytest.approx(sum(errors))


def test_equal_weights_change_nothing_to_the_bit() -> None:
    features, action, reward, _ = _world(600, 9)
    plain = _fit(features, action, reward)
    for weight in (1.0, 10.0, 1 / 3):
        assert _fit(features, action, reward, weight=np.full(600, weight)).sha256 == plain.sha256


def test_only_ratios_of_weights_matter() -> None:
    features, action, reward, _ = _world(600, 10)
    weight = np.random.default_rng(1).random(600) + 0.1
    one, other = (_fit(features, action, reward, weight=weight * factor) for factor in (1.0, 8.0))
    assert one.predict(features) == pytest.approx(other.predict(features))


def test_downsampled_negatives_are_weighed_back() -> None:
    """Of 40,000 rows with a reward in a tenth, one negative in ten is kept: the mean is .1, not .53."""
    rng = np.random.default_rng(11)
    features, action = rng.normal(size=(40_000, 3)), rng.integers(3, size=40_000)
    truth = np.array([0.05, 0.1, 0.15])[action]
    reward = (rng.random(40_000) < truth) * 1.0
    rate = np.where(reward > 0, 1.0, 0.1)
    kept = rng.random(40_000) < rate
    weighed = _fit(features[kept], action[kept], reward[kept], weight=1 / rate[kept]).predict(features).mean(axis=0)
    naive = _fit(features[kept], action[kept], reward[kept]).predict(features).mean(axis=0)
    assert weighed == pytest.approx([0.05, 0.1, 0.15], abs=0.015)
    assert (naive > 0.3).all()


@pytest.mark.parametrize("weight", [np.zeros(5), np.full(5, np.nan), np.ones(4), np.array([1, 1, 1, 1, -1.0])])
def test_weights_that_are_none_are_refused(weight: Array) -> None:
    with pytest.raises(DegenerateData, match="finite weights"):
        _fit(np.zeros((5, 2)), np.zeros(5, int), np.zeros(5), weight=weight)


def test_pure_noise_is_shrunk_to_the_mean() -> None:
    rng = np.random.default_rng(6)
    features, action = rng.normal(size=(300, 20)), rng.integers(3, size=300)
    reward = (rng.random(300) < 0.05).astype(float)
    predicted = _fit(features, action, reward, reward_minimum=0.0, reward_maximum=1.0).predict(features)
    assert predicted.std() < 0.25 * reward.std()


def test_same_rows_same_hash_and_round_trip() -> None:
    features, action, reward, _ = _world(500, 7)
    model, again = _fit(features, action, reward), _fit(features, action, reward)
    assert model.sha256 == again.sha256
    assert load_reward_model(model.to_npz()).sha256 == model.sha256
    assert (load_reward_model(model.to_npz()).predict(features) == model.predict(features)).all()
    assert _fit(features, action, reward * 1.001).sha256 != model.sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.full((5, 2), np.nan)}, "finite features"),
        ({"reward": np.array([0, 1, np.inf, 0, 1])}, "finite rewards"),
        ({"action": np.array([0, 1, 2, 3, 0])}, r"actions in \[0, 3\)"),
        ({"action": np.array([0, 1])}, r"action and reward \(5,\)"),
        ({"features": np.zeros((0, 2)), "reward": np.zeros(0), "action": np.zeros(0, int)}, "n > 0"),
        ({"action_features": np.zeros((2, 1))}, r"action features \(3, m\)"),
        ({"reward_minimum": 1.0, "reward_maximum": 1.0}, "minimum < maximum"),
    ],
)
def test_broken_rows_are_refused(changes: dict[str, object], message: str) -> None:
    rows: dict[str, object] = {"features": np.zeros((5, 2)), "action": np.zeros(5, int), "reward": np.zeros(5)}
    arguments = {**rows, **changes}
    with pytest.raises(DegenerateData, match=message):
        _fit(arguments.pop("features"), arguments.pop("action"), arguments.pop("reward"), **arguments)  # type: ignore[arg-type]


def test_features_of_another_width_are_refused() -> None:
    features, action, reward, _ = _world(50, 8)
    with pytest.raises(DegenerateData, match=r"features \(n, 4\)"):
        _fit(features, action, reward).predict(features[:, :3])
