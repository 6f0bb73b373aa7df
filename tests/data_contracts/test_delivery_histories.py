"""However a log is delivered: the accepted rows and the rewards are a short model's, a snapshot's id is the same."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data_contracts.batches import count_accounting
from data_contracts.errors import DegenerateData
from data_contracts.home import Home
from data_contracts.rewards.outcomes import attach_rewards
from data_contracts.rewards.reward_settings import ChannelSettings, RewardSettings
from data_contracts.snapshot import build_snapshot
from data_contracts.splits import SplitSettings
from data_contracts.store import read_interactions, read_outcomes
from tests.data_contracts.delivery_histories import (
    AS_OF,
    CONTRACT,
    NOW,
    WINDOW,
    accepted_rows,
    deliver,
    final_rewards,
    history,
    identities,
    log,
)
from tests.data_contracts.small_log import TASK

SEED, N_HISTORIES = 20261105, 20
SETTINGS = (
    RewardSettings(attribution_window=WINDOW, default=0.0),
    RewardSettings(attribution_window=WINDOW),
    RewardSettings(
        attribution_window=WINDOW,
        default=0.0,
        combine="sum",
        bounds=(0.0, 10.0),
        channels={
            "click": ChannelSettings(kind="interaction"),
            "visit": ChannelSettings(kind="second_order", window=timedelta(days=2)),
        },
    ),
)


def check_history(folder: Path, number: int) -> str:
    """Deliver history `number` and compare it with the model; what came of the snapshot."""
    rng = random.Random(SEED + number)
    reward = SETTINGS[number % len(SETTINGS)]
    rows = log(rng, reward.channel_names)
    conflicts = 0.1 if rng.random() < 0.5 else 0.0
    batches = history(rng, rows, conflicts=conflicts)
    home = Home(folder / "one")
    for result in deliver(home, folder, batches, reward=reward):
        assert result.n_read == result.n_accepted + result.n_quarantined + result.n_duplicate, number
    assert count_accounting(home, TASK).balanced, number

    found = accepted_rows(batches)
    interactions, outcomes = read_interactions(home, TASK), read_outcomes(home, TASK)
    stored = {"interactions": interactions.to_pylist(), "outcomes": outcomes.to_pylist()}
    for kind, expected in found.items():
        assert len(stored[kind]) == len(expected), number
        assert identities(stored[kind], kind) == identities(expected.values(), kind), number

    visible = interactions.filter(pc.less_equal(interactions["occurred_at"], pa.scalar(AS_OF)))
    rewarded = attach_rewards(visible, outcomes, reward=reward, as_of=AS_OF).table
    rewards = dict(zip(rewarded["interaction_id"].to_pylist(), rewarded["reward"].to_pylist(), strict=True))
    assert rewards == final_rewards(found, reward), number

    named = _snapshot(home, reward)
    if not conflicts:
        other, again = Home(folder / "other"), folder / "again"
        again.mkdir()
        deliver(other, again, history(rng, rows), reward=reward)
        assert _snapshot(other, reward) == named, number
    return named


def _snapshot(home: Home, reward: RewardSettings) -> str:
    """Its id, or why there is none."""
    try:
        return build_snapshot(
            home,
            task=TASK,
            contract=CONTRACT,
            reward=reward,
            split=SplitSettings(),
            evaluable_versions=None,
            as_of=AS_OF,
            now=NOW,
        ).snapshot_id
    except DegenerateData as error:
        return str(error)


@pytest.mark.parametrize("number", range(N_HISTORIES))
def test_a_history_ends_where_the_model_does(tmp_path: Path, number: int) -> None:
    check_history(tmp_path, number)
