from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.errors import DegenerateData
from policies.logged_interactions import LoggedInteractions
from policies.replay import (
    NO_ROW,
    Replay,
    build_replay,
    draw,
    gather,
    in_order,
    open_columns,
    weights_in_order,
    write_columns,
)


def log(*, episode, step, terminated, truncated, action=None, reward=None) -> LoggedInteractions:
    n = len(episode)
    ids = np.array([f"i{i}" for i in range(n)])
    return LoggedInteractions(
        actions=("a", "b", "c"),
        observations=pa.table({"x": np.arange(n, dtype=float)}),
        action=np.asarray(action if action is not None else np.arange(n) % 3, dtype=np.int64),
        reward=np.asarray(reward if reward is not None else np.arange(n) / 10, dtype=float),
        propensity=np.full(n, 0.5),
        policy_version=np.full(n, "1"),
        interaction_id=ids,
        unit_id=ids,
        occurred_at=np.arange(n).astype("datetime64[us]"),
        split=np.zeros(n, np.uint8),
        episode_id=np.asarray(episode, dtype=np.str_),
        step=np.asarray(step, dtype=np.int64),
        terminated=np.asarray(terminated, dtype=bool),
        truncated=np.asarray(truncated, dtype=bool),
    )


def features_of(data: LoggedInteractions, d: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(data.n, d)).astype(np.float32)


@pytest.fixture
def episodes() -> LoggedInteractions:
    """Forty episodes of one to five steps, every third one truncated, rows in a shuffled order."""
    rng = np.random.default_rng(7)
    lengths = rng.integers(1, 6, size=40)
    episode = np.repeat(np.arange(40), lengths)
    step = np.concatenate([np.arange(k) for k in lengths])
    last = np.r_[episode[1:] != episode[:-1], True]
    order = rng.permutation(len(episode))
    return log(
        episode=[f"e{k:02d}" for k in episode[order]],
        step=step[order],
        terminated=(last & (episode % 3 != 0))[order],
        truncated=(last & (episode % 3 == 0))[order],
        action=rng.integers(3, size=len(episode)),
        reward=rng.normal(size=len(episode)),
    )


def test_batches_equal_those_of_d3rlpys_buffer(episodes: LoggedInteractions) -> None:
    from d3rlpy.dataset import Episode, create_infinite_replay_buffer

    features = features_of(episodes)
    replay = build_replay(episodes, features)
    theirs = []
    for name in np.unique(episodes.episode_id):
        rows = np.flatnonzero(episodes.episode_id == name)
        rows = rows[np.argsort(episodes.step[rows])]
        theirs.append(
            Episode(
                features[rows],
                episodes.action[rows][:, None],
                episodes.reward[rows].astype(np.float32)[:, None],
                bool(episodes.terminated[rows[-1]]),
            )
        )
    buffer = create_infinite_replay_buffer(theirs)
    assert buffer.transition_count == len(replay.drawable)
    in_their_order = replay.drawable[np.lexsort((episodes.step[replay.drawable], episodes.episode_id[replay.drawable]))]
    np.random.seed(3)
    batch = buffer.sample_transition_batch(64)
    np.random.seed(3)
    ours = gather(replay, in_their_order[[np.random.randint(buffer.transition_count) for _ in range(64)]])
    for name in ("observations", "actions", "rewards", "next_observations", "next_actions", "terminals", "intervals"):
        mine, expected = getattr(ours, name), getattr(batch, name)
        assert mine.dtype == expected.dtype == np.float32
        np.testing.assert_array_equal(mine, expected, err_msg=name)


def test_truncated_steps_bootstrap_and_ends_without_a_successor_are_dropped() -> None:
    data = log(
        episode=["t", "t", "t", "o", "o"],  # t: truncated after three steps; o: the log ends before the episode does
        step=[0, 1, 2, 0, 1],
        terminated=[False] * 5,
        truncated=[False, False, True, False, False],
    )
    replay = build_replay(data, features_of(data))
    assert replay.next_row.tolist() == [1, 2, NO_ROW, 4, NO_ROW]
    assert replay.drawable.tolist() == [0, 1, 3]
    assert replay.n_dropped == 2
    batch = gather(replay, np.array([1]))
    assert batch.terminals.tolist() == [[0.0]]
    np.testing.assert_array_equal(batch.next_observations[0], replay.features[2])


def test_a_truncated_step_with_a_logged_successor_keeps_it_and_is_not_terminal() -> None:
    data = log(episode=["t", "t"], step=[0, 1], terminated=[False, True], truncated=[True, False])
    replay = build_replay(data, features_of(data))
    batch = gather(replay, np.array([0]))
    assert batch.terminals.tolist() == [[0.0]]
    np.testing.assert_array_equal(batch.next_observations[0], replay.features[1])


def test_a_gap_in_the_steps_links_nothing() -> None:
    data = log(episode=["g"] * 3, step=[0, 2, 3], terminated=[False, False, True], truncated=[False] * 3)
    replay = build_replay(data, features_of(data))
    assert replay.next_row.tolist() == [NO_ROW, 2, NO_ROW]
    assert replay.n_dropped == 1


def test_one_step_rows_are_terminal_and_all_drawable() -> None:
    data = log(episode=list("abcd"), step=[0] * 4, terminated=[True] * 4, truncated=[False] * 4)
    replay = build_replay(data, features_of(data))
    batch = gather(replay, np.arange(4))
    assert replay.n_dropped == 0
    assert batch.terminals.tolist() == [[1.0]] * 4
    assert not batch.next_observations.any()


def test_every_drawable_row_comes_once_in_order() -> None:
    data = log(episode=list("abcde"), step=[0] * 5, terminated=[True] * 5, truncated=[False] * 5)
    replay = build_replay(data, features_of(data))
    batches = list(in_order(replay, batch_size=2))
    assert [len(b.rewards) for b in batches] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([b.observations for b in batches]), replay.features)


def test_draws_are_uniform_over_drawable_rows_and_repeat_with_the_generator(episodes: LoggedInteractions) -> None:
    features = np.arange(episodes.n, dtype=np.float32)[:, None]  # a row's feature names it
    replay = build_replay(episodes, features)
    m = len(replay.drawable)
    batch = draw(replay, batch_size=200 * m, rng=np.random.default_rng(0))
    again = draw(replay, batch_size=200 * m, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(batch.observations, again.observations)
    counts = np.bincount(batch.observations[:, 0].astype(int), minlength=episodes.n)
    assert counts[np.setdiff1d(np.arange(episodes.n), replay.drawable)].sum() == 0
    statistic = ((counts[replay.drawable] - 200) ** 2 / 200).sum()  # chi-squared, m - 1 degrees of freedom
    assert abs(statistic - (m - 1)) < 5 * np.sqrt(2 * (m - 1))


def test_columns_are_mapped_read_only_and_hold_the_same_bits(episodes: LoggedInteractions, tmp_path) -> None:
    replay = build_replay(episodes, features_of(episodes))
    write_columns(replay, tmp_path)
    stored = open_columns(Replay, tmp_path)
    for name in Replay.__slots__:
        mine, theirs = getattr(replay, name), getattr(stored, name)
        assert isinstance(theirs.base, np.memmap), name
        assert not theirs.flags.writeable, name
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def test_a_stored_pickle_is_refused(episodes: LoggedInteractions, tmp_path) -> None:
    write_columns(build_replay(episodes, features_of(episodes)), tmp_path)
    np.save(tmp_path / "reward.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        open_columns(Replay, tmp_path)


def test_it_costs_18_bytes_a_row_beside_features_action_and_reward(episodes: LoggedInteractions) -> None:
    replay = build_replay(episodes, features_of(episodes))
    extra = replay.next_row.nbytes + replay.terminated.nbytes + replay.truncated.nbytes + replay.drawable.nbytes
    assert extra <= 18 * replay.n


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"terminated": [True, False]}, "no step after `terminated`"),
        ({"reward": [0.0, 1e300]}, "fits float32"),
        ({"episode": ["a", "b"], "step": [0, 0], "terminated": [False, False]}, "nothing to learn from"),
    ],
)
def test_rows_that_cannot_train_are_refused(change: dict, rule: str) -> None:
    rows = {"episode": ["a", "a"], "step": [0, 1], "terminated": [False, True], "truncated": [False, False]}
    data = log(**{**rows, **change})
    with pytest.raises(DegenerateData, match=rule):
        build_replay(data, features_of(data))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_and_named(episodes: LoggedInteractions, bad: float) -> None:
    features = features_of(episodes)
    features[5, 1] = bad
    with pytest.raises(DegenerateData, match=r"1 others \(i5\)"):
        build_replay(episodes, features)


def test_draws_follow_the_weights(episodes: LoggedInteractions) -> None:
    weight = np.random.default_rng(3).integers(1, 6, episodes.n) * 2.5
    data = replace(episodes, weight=weight)
    features = np.arange(episodes.n, dtype=np.float32)[:, None]  # a row's feature names it
    replay = build_replay(data, features)
    m = len(replay.drawable)
    batch = draw(replay, batch_size=300 * m, rng=np.random.default_rng(4))
    counts = np.bincount(batch.observations[:, 0].astype(int), minlength=episodes.n)[replay.drawable]
    expected = 300 * m * weight[replay.drawable] / weight[replay.drawable].sum()
    assert counts.sum() == 300 * m
    statistic = ((counts - expected) ** 2 / expected).sum()  # chi-squared, m - 1 degrees of freedom
    assert abs(statistic - (m - 1)) < 5 * np.sqrt(2 * (m - 1))
    again = draw(replay, batch_size=300 * m, rng=np.random.default_rng(4))
    np.testing.assert_array_equal(batch.observations, again.observations)


@pytest.mark.parametrize("weight", [1.0, 10.0, 1 / 3])
def test_equal_weights_draw_the_rows_that_no_weights_draw(episodes: LoggedInteractions, weight: float) -> None:
    data = replace(episodes, weight=np.full(episodes.n, weight))
    replay = build_replay(data, features_of(episodes))
    batch = draw(replay, batch_size=64, rng=np.random.default_rng(5))
    rows = replay.drawable[np.random.default_rng(5).integers(len(replay.drawable), size=64)]
    np.testing.assert_array_equal(batch.observations, gather(replay, rows).observations)
    assert [w.tolist() for w in weights_in_order(replay, batch_size=10**6)] == [[1.0] * len(replay.drawable)]


def test_weights_come_in_the_order_of_their_rows_with_mean_one(episodes: LoggedInteractions) -> None:
    weight = np.random.default_rng(6).random(episodes.n) + 0.1
    replay = build_replay(replace(episodes, weight=weight), features_of(episodes))
    found = np.concatenate(list(weights_in_order(replay, batch_size=7)))
    assert len(found) == len(np.concatenate([b.rewards for b in in_order(replay, batch_size=7)]))
    np.testing.assert_allclose(found, weight[replay.drawable] / weight[replay.drawable].mean(), rtol=1e-9)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_a_weight_that_is_none_is_refused(episodes: LoggedInteractions, wrong: float) -> None:
    with pytest.raises(DegenerateData, match="finite weight above 0"):
        replace(episodes, weight=np.where(np.arange(episodes.n) == 3, wrong, 1.0))
