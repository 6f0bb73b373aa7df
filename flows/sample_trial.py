"""A sample of a log judged by the files drafted for it, and what it tells on the first day. Nothing is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.acceptance import judge, standard_of
from data_contracts.inference.sample import ROWS
from data_contracts.quarantine import count_reasons
from data_contracts.readers.log_file import read_blocks
from data_contracts.rewards.reward_settings import reward_bounds
from flows.tasks import load_task
from policies.first_day import FirstDay, first_day, reward_facts

MICROSECONDS_A_DAY: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Trial:
    """The sample judged by the drafted contract."""

    n_read: int
    n_accepted: int
    reasons: dict[str, int]  # of the lines that would be quarantined
    actions: dict[str, int]  # accepted rows by action, most frequent first
    n_days: float  # between the first and the last of them
    rewards: tuple[int, float, float]  # how many are known, their sum, and the sum of their squares


def try_out(task: Path, sample: Path) -> Trial:
    """Judge the first rows of `sample` as an ingest would; nothing is stored."""
    settings, contract = load_task(task)
    names = settings.actions.names
    standard = standard_of(contract, "interactions", actions=names, channels=settings.reward.channel_names, batch_id="")
    n_read, reasons, actions = 0, Counter[str](), Counter[str]()
    moments, rewards = list[pa.ChunkedArray](), list[pa.ChunkedArray]()
    for block in read_blocks(sample, standard.columns):
        accepted, _, rejected = judge(block, standard)
        n_read += block.n_lines
        reasons.update(count_reasons(line.reason for line in rejected))
        actions.update(accepted["action"].to_pylist())
        moments.append(accepted["occurred_at"])
        rewards.append(accepted["reward"].drop_null())
        if n_read >= ROWS:
            break
    return Trial(
        n_read=n_read,
        n_accepted=actions.total(),
        reasons=dict(reasons.most_common()),
        actions=dict(actions.most_common()),
        n_days=_days(np.concatenate([column.to_numpy() for column in moments])),
        rewards=_sums(np.concatenate([column.to_numpy() for column in rewards])),
    )


def _days(moments: NDArray[np.datetime64]) -> float:
    microseconds = moments.astype("datetime64[us]").astype(np.int64)
    return float(np.ptp(microseconds)) / MICROSECONDS_A_DAY if len(moments) else 0.0


def _sums(rewards: NDArray[np.float64]) -> tuple[int, float, float]:
    return len(rewards), float(rewards.sum()), float((rewards**2).sum())


def sample_first_day(task: Path, trial: Trial, *, present: Collection[str]) -> FirstDay:
    """What the sample tells about the time to a verdict."""
    settings, contract = load_task(task)
    low, high = reward_bounds(contract, settings.reward)
    n, total, squares = trial.rewards
    return first_day(
        rows_per_action=trial.actions,
        actions=settings.actions.names,
        n_days=trial.n_days,
        reward=reward_facts(n=n, total=total, squares=squares, minimum=low, maximum=high),
        present=present,
        settings=settings.gate,
    )
