import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from data_contracts.errors import UsageError
from policies.algorithms import AlgorithmName, AlgorithmSettings, Learner, create
from policies.logged_interactions import LoggedInteractions
from policies.replay import Replay, build_replay, draw, gather
from policies.ridge import RidgeLearner
from policies.training_job import weights_sha256

D, K = 5, 4
SETTINGS = AlgorithmSettings(batch_size=32, hidden_units=(8, 8), target_update_interval=7)
ALGORITHMS: tuple[AlgorithmName, ...] = ("cql", "bcq", "bc", "linear")
GRADIENT: tuple[AlgorithmName, ...] = ("cql", "bcq", "bc")


def replay_of(*, episode_length: int, n: int = 400, seed: int = 0) -> Replay:
    rng = np.random.default_rng(seed)
    ids = np.array([f"i{i}" for i in range(n)])
    step = np.arange(n) % episode_length
    features = rng.normal(size=(n, D)).astype(np.float32)
    action = rng.integers(K, size=n)
    return build_replay(
        LoggedInteractions(
            actions=tuple("abcd"),
            observations=pa.table({"x": np.zeros(n)}),
            action=action,
            reward=features[np.arange(n), action] + rng.normal(size=n) * 0.1,
            propensity=np.full(n, 1 / K),
            policy_version=np.full(n, "1"),
            interaction_id=ids,
            unit_id=ids,
            occurred_at=np.arange(n).astype("datetime64[us]"),
            split=np.zeros(n, np.uint8),
            episode_id=np.array([f"e{i // episode_length:04d}" for i in range(n)]),
            step=step,
            terminated=step == episode_length - 1,
            truncated=np.zeros(n, np.bool_),
        ),
        features,
    )


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # as in training; more of them make these small steps slower


ONE_STEP, EPISODIC = replay_of(episode_length=1), replay_of(episode_length=4)


def make(name: AlgorithmName, settings: AlgorithmSettings = SETTINGS, seed: int = 0) -> Learner:
    return create(name, settings, n_features=D, n_actions=K, seed=seed)


def train(learner: Learner, replay: Replay, n_steps: int = 25, seed: int = 0) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    return [learner.update(draw(replay, batch_size=32, rng=rng)) for _ in range(n_steps)]


def stock(name: AlgorithmName, settings: AlgorithmSettings = SETTINGS, seed: int = 0):
    """d3rlpy's own algorithm with the same settings and starting weights, its own Adam and its own step."""
    from d3rlpy.algos import DiscreteBCConfig, DiscreteBCQConfig, DiscreteCQLConfig
    from d3rlpy.models import VectorEncoderFactory

    common = {
        "learning_rate": settings.learning_rate,
        "batch_size": settings.batch_size,
        "encoder_factory": VectorEncoderFactory(list(settings.hidden_units)),
    }
    bootstrap = {"gamma": settings.gamma, "target_update_interval": settings.target_update_interval}
    algorithm = {
        "cql": lambda: DiscreteCQLConfig(**common, **bootstrap, alpha=settings.conservatism),
        "bcq": lambda: DiscreteBCQConfig(
            **common, **bootstrap, beta=0.01, share_encoder=False, action_flexibility=settings.action_flexibility
        ),
        "bc": lambda: DiscreteBCConfig(**common, beta=0.01),
    }[name]().create(device=False)
    torch.manual_seed(seed)
    algorithm.create_impl((D,), K)
    return algorithm


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("replay", [ONE_STEP, EPISODIC], ids=["one_step", "episodic"])
def test_every_algorithm_learns_finite_scores_for_every_action(name: AlgorithmName, replay: Replay) -> None:
    learner = make(name)
    for losses in train(learner, replay):
        assert all(map(math.isfinite, losses.values()))
    with torch.no_grad():
        scores = learner.scores_module()(torch.from_numpy(replay.features[:7]))
    assert scores.shape == (7, K)
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_equal_seeds_give_bit_equal_weights_and_other_seeds_others(name: AlgorithmName) -> None:
    def weights(seed: int) -> str:
        learner = make(name, seed=seed)
        train(learner, EPISODIC)
        return weights_sha256(learner.scores_module())

    torch.manual_seed(12345)  # the state of the process must not matter
    assert weights(3) == weights(3)
    assert (weights(3) == weights(4)) == (name == "linear")


def test_creating_a_learner_leaves_the_random_state_of_the_process_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    make("bcq")
    assert torch.rand(1) == expected


@pytest.mark.parametrize("name", GRADIENT)
@pytest.mark.parametrize("replay", [ONE_STEP, EPISODIC], ids=["one_step", "episodic"])
def test_two_hundred_steps_have_the_losses_of_d3rlpys_own_step(name: AlgorithmName, replay: Replay) -> None:
    ours, theirs = make(name), stock(name)
    rng = np.random.default_rng(0)
    for step in range(200):
        batch = draw(replay, batch_size=32, rng=rng)
        mine, expected = ours.update(batch), theirs.update(batch)
        assert mine == pytest.approx(expected, abs=2e-6), step


@pytest.mark.parametrize("name", GRADIENT)
def test_scores_choose_the_action_that_d3rlpy_predicts(name: AlgorithmName) -> None:
    learner = make(name, SETTINGS.model_copy(update={"action_flexibility": 0.9}))  # BCQ rules most actions out
    train(learner, EPISODIC, n_steps=100)
    with torch.no_grad():
        best = learner.scores_module()(torch.from_numpy(EPISODIC.features)).argmax(dim=1).numpy()
    np.testing.assert_array_equal(best, learner.algorithm.predict(EPISODIC.features))  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["cql", "bcq"])
def test_the_target_network_is_refreshed_at_the_interval_only(name: AlgorithmName) -> None:
    learner = make(name)
    modules = learner.algorithm.impl.modules  # type: ignore[attr-defined]

    def in_step() -> bool:
        pairs = zip(modules.q_funcs.parameters(), modules.targ_q_funcs.parameters(), strict=True)
        return all(torch.equal(p, t) for p, t in pairs)

    rng = np.random.default_rng(0)
    refreshed = []
    for step in range(16):  # d3rlpy counts from 0 and refreshes after steps 0, 7, 14
        learner.update(draw(EPISODIC, batch_size=32, rng=rng))
        if in_step():
            refreshed.append(step)
    assert refreshed == [0, 7, 14]


def test_bcq_keeps_imitator_and_values_apart() -> None:
    modules = make("bcq").algorithm.impl.modules  # type: ignore[attr-defined]
    q, imitator = (set(map(id, m.parameters())) for m in (modules.q_funcs, modules.imitator))
    assert not q & imitator


@pytest.mark.parametrize(("flexibility", "best"), [(0.0, 2), (0.2, 2), (0.3, 1), (1.0, 0)])
def test_bcq_masks_by_the_imitators_probability_ratio(flexibility: float, best: int) -> None:
    from policies.learners import ConstrainedScores

    class Constant(torch.nn.Module):
        def __init__(self, values: list[float]) -> None:
            super().__init__()
            self.values = torch.tensor([values])

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.values

    q = Constant([0.1, 0.5, 0.9])
    imitator = Constant([math.log(0.8), math.log(0.24), math.log(0.16)])  # ratios 1, .3, .2
    scores = ConstrainedScores(q, imitator, flexibility - 1e-6 if 0 < flexibility < 1 else flexibility)
    found = scores(torch.zeros(1, D))[0]
    assert int(found.argmax()) == best
    assert torch.isfinite(found).all()
    assert all(float(value) < -500 for value in found if value < 0)


def test_ridge_solves_the_normal_equations() -> None:
    """x = -1, 1 and reward 0, 1 for action 0: weight 1 / (2 + penalty 1), intercept the mean; action 1 unlogged."""
    learner = RidgeLearner(n_features=1, n_actions=2)
    batch = gather(ONE_STEP, np.arange(2))
    fields = {
        "observations": np.array([[-1.0], [1.0]], np.float32),
        "actions": np.zeros((2, 1), np.float32),
        "rewards": np.array([[0.0], [1.0]], np.float32),
    }
    learner.update(type(batch)(**{**{n: getattr(batch, n) for n in batch.__dataclass_fields__}, **fields}))
    module = learner.scores_module()
    assert module.weight.tolist() == [[pytest.approx(1 / 3)], [0.0]]
    assert module.bias.tolist() == [pytest.approx(0.5), 0.0]


def test_ridge_does_not_depend_on_the_batches() -> None:
    whole, halves = (RidgeLearner(n_features=D, n_actions=K) for _ in range(2))
    whole.update(gather(ONE_STEP, np.arange(400)))
    halves.update(gather(ONE_STEP, np.arange(0, 150)))
    halves.update(gather(ONE_STEP, np.arange(150, 400)))
    for one, other in zip(whole.scores_module().parameters(), halves.scores_module().parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_ridge_counts_a_row_of_weight_three_as_three_rows() -> None:
    rng = np.random.default_rng(5)
    times = rng.integers(1, 4, size=200)
    weighted, repeated, plain, ones = (RidgeLearner(n_features=D, n_actions=K) for _ in range(4))
    weighted.update(gather(ONE_STEP, np.arange(200)), times * 1.0)
    repeated.update(gather(ONE_STEP, np.repeat(np.arange(200), times)))
    plain.update(gather(ONE_STEP, np.arange(200)))
    ones.update(gather(ONE_STEP, np.arange(200)), np.ones(200))
    for one, other in zip(weighted.scores_module().parameters(), repeated.scores_module().parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert weights_sha256(ones.scores_module()) == weights_sha256(plain.scores_module())
    assert weights_sha256(weighted.scores_module()) != weights_sha256(plain.scores_module())


def weights_of(learner: Learner) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in learner.scores_module().state_dict().items()}


def test_a_learner_starts_from_networks_of_the_same_kind_only() -> None:
    parent = make("cql", seed=1)
    train(parent, EPISODIC)
    same, other_kind, both = make("cql", seed=2), make("bc", seed=2), make("bcq", seed=2)
    fresh = weights_of(other_kind)
    assert same.start_from(weights_of(parent)) == 6  # weight and bias of three layers
    assert other_kind.start_from(weights_of(parent)) == 0
    assert both.start_from(weights_of(parent)) == 6
    for name, value in weights_of(parent).items():
        np.testing.assert_array_equal(weights_of(same)[name], value)
        np.testing.assert_array_equal(weights_of(both)[name], value)
    for name, value in fresh.items():
        np.testing.assert_array_equal(weights_of(other_kind)[name], value)
    modules = same.algorithm.impl.modules  # type: ignore[attr-defined]
    for p, t in zip(modules.q_funcs.parameters(), modules.targ_q_funcs.parameters(), strict=True):
        assert torch.equal(p, t)


@pytest.mark.parametrize("hidden_units", [(8,), (8, 9), (8, 8, 8)])
def test_a_network_of_another_shape_is_no_starting_point(hidden_units: tuple[int, ...]) -> None:
    parent = weights_of(make("cql"))
    learner = make("cql", SETTINGS.model_copy(update={"hidden_units": hidden_units}))
    with pytest.raises(UsageError, match="hidden_units"):
        learner.start_from(parent)
