"""Gate rows are strictly later than, and episode-disjoint from, everything that trains or chooses."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from data_contracts.splits import EXCLUDED, GATE, TRAIN, VALIDATION, Borders, SplitSettings, assign_splits

HALF = SplitSettings(holdout=0.3, validation=0.2)


def at(*minutes: int) -> NDArray[np.datetime64]:
    return np.datetime64("2026-01-01", "us") + np.asarray(minutes) * np.timedelta64(1, "m")


def moment(minute: int) -> datetime:
    return datetime(2026, 1, 1, 0, minute, tzinfo=UTC)


def everything(n: int) -> NDArray[np.bool_]:
    return np.ones(n, np.bool_)


def test_ten_rows_are_cut_by_time_whatever_their_order() -> None:
    order = [3, 0, 9, 1, 8, 2, 7, 4, 6, 5]
    code, borders = assign_splits(at(*order), None, everything(10), settings=HALF)
    by_time = code[np.argsort(order)]
    assert by_time.tolist() == [TRAIN] * 5 + [VALIDATION] * 2 + [GATE] * 3
    assert (borders.train_until, borders.trained_until) == (moment(4), moment(6))
    assert borders.n_straddling_episodes == 0


def test_rows_of_one_moment_stay_together() -> None:
    times = at(0, 0, 0, 0, 1, 1, 1, 2, 2, 2)  # wanted 3 gate rows, and the tie offers exactly those
    code, _ = assign_splits(times, None, everything(10), settings=HALF)
    assert code.tolist() == [TRAIN] * 4 + [VALIDATION] * 3 + [GATE] * 3
    times = at(0, 1, 2, 3, 4, 5, 5, 5, 5, 5)  # wanted 3: the last moment has 5 rows, and nothing else can be cut off
    code, borders = assign_splits(times, None, everything(10), settings=HALF)
    assert code.tolist() == [TRAIN] * 3 + [VALIDATION] * 2 + [GATE] * 5
    assert borders.trained_until == moment(4)


def test_shares_are_of_what_the_gate_can_read() -> None:
    evaluable = np.array([True] * 10 + [False] * 10)  # the readable policy logged first, then another one
    code, borders = assign_splits(at(*range(20)), None, everything(20), settings=HALF, evaluable=evaluable)
    assert code[:10].tolist() == [TRAIN] * 5 + [VALIDATION] * 2 + [GATE] * 3
    assert (code[10:] == GATE).all()
    assert borders.trained_until == moment(6)
    early = np.array([False] * 10 + [True] * 10)
    code, _ = assign_splits(at(*range(20)), None, everything(20), settings=HALF, evaluable=early)
    assert [(code == part).sum() for part in (TRAIN, VALIDATION, GATE)] == [15, 2, 3]


def test_rows_the_gate_cannot_read_train_up_to_the_first_one_it_can() -> None:
    every_second = np.arange(20) % 2 == 0  # readable: 0, 2, … 18; the last three are 14, 16, 18
    code, borders = assign_splits(at(*range(20)), None, everything(20), settings=HALF, evaluable=every_second)
    assert (borders.train_until, borders.trained_until) == (moment(9), moment(13))
    assert np.bincount(code).tolist() == [10, 4, 6]


def test_without_any_readable_row_the_shares_are_of_all_rows() -> None:
    code, _ = assign_splits(at(*range(10)), None, everything(10), settings=HALF, evaluable=np.zeros(10, np.bool_))
    assert np.bincount(code).tolist() == [5, 2, 3]


def test_rows_that_have_not_matured_are_left_out() -> None:
    matured = np.arange(20) < 10
    code, borders = assign_splits(at(*range(20)), None, matured, settings=HALF)
    assert code.tolist() == [TRAIN] * 5 + [VALIDATION] * 2 + [GATE] * 3 + [EXCLUDED] * 10
    assert borders.trained_until == moment(6)


def test_episodes_across_a_border_are_left_out_and_counted() -> None:
    # 20 minutes: train <= 9, validation <= 13; the episode ids are given minute by minute
    episodes = np.array(list("aaaaaaaaasssvvttgggg"))
    episodes[10] = "s"
    code, borders = assign_splits(at(*range(20)), episodes, everything(20), settings=HALF)
    part = {name: set(code[episodes == name].tolist()) for name in "asvtg"}
    assert part == {"a": {TRAIN}, "s": {EXCLUDED}, "v": {VALIDATION}, "t": {GATE}, "g": {GATE}}
    assert borders.n_straddling_episodes == 1
    assert borders.trained_until == moment(13)


def test_an_episode_with_a_step_that_has_not_matured_is_left_out_whole() -> None:
    episodes = np.array(list("aaaaaaaaaavvvvggghhhh"))
    matured = np.arange(21) < 20
    code, borders = assign_splits(at(*range(21)), episodes, matured, settings=HALF)
    assert set(code[episodes == "h"].tolist()) == {EXCLUDED}
    assert set(code[episodes == "g"].tolist()) == {GATE}
    assert borders.n_straddling_episodes == 1


@pytest.mark.parametrize("minutes", [[], [0], [0, 1], [0, 0, 1, 1, 1]])
def test_too_few_moments_are_refused(minutes: list[int]) -> None:
    with pytest.raises(DegenerateData, match="expected at least 3 moments"):
        assign_splits(at(*minutes), None, everything(len(minutes)), settings=HALF)


def test_one_long_episode_is_refused() -> None:
    with pytest.raises(DegenerateData, match=r"got 0, 0 and 0 \(1 episodes lie across a border\)"):
        assign_splits(at(*range(10)), np.zeros(10, np.int64), everything(10), settings=HALF)


rows = st.lists(
    st.tuples(st.integers(0, 15), st.integers(0, 12), st.sampled_from([True, True, True, False]), st.booleans()),
    min_size=3,
    max_size=40,
)


@settings(max_examples=300, deadline=None, database=None)
@given(rows=rows, episodic=st.booleans(), data=st.data())
def test_no_gate_row_or_episode_touches_what_was_trained_or_chosen_on(
    rows: list[tuple[int, int, bool, bool]], episodic: bool, data: st.DataObject
) -> None:
    def split(rows: list[tuple[int, int, bool, bool]]) -> tuple[NDArray[np.uint8], Borders]:
        minute, episode, matured, evaluable = (np.array(column) for column in zip(*rows, strict=True))
        return assign_splits(at(*minute), episode if episodic else None, matured, settings=HALF, evaluable=evaluable)

    try:
        code, borders = split(rows)
    except DegenerateData:
        return
    minute, episode, matured, _ = (np.array(column) for column in zip(*rows, strict=True))
    assert (code[~matured] == EXCLUDED).all()
    if not episodic:
        assert (code[matured] != EXCLUDED).all()
    assert minute[code == TRAIN].max() < minute[code == VALIDATION].min()
    assert minute[code == VALIDATION].max() < minute[code == GATE].min()
    assert at(minute[code == VALIDATION].max())[0] <= np.datetime64(borders.trained_until.replace(tzinfo=None), "us")
    assert at(minute[code == GATE].min())[0] > np.datetime64(borders.trained_until.replace(tzinfo=None), "us")
    if episodic:
        assert all(len(set(code[episode == e].tolist())) == 1 for e in set(episode.tolist()))
    order = data.draw(st.permutations(range(len(rows))))
    again, same = split([rows[i] for i in order])
    assert again.tolist() == code[order].tolist()
    assert same == borders
