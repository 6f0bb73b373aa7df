"""What the gate reads and stores of episodes: columns beside its rows, from which the streams are built again."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.gate.records import GateRows
from policies.ope.episodes import EpisodicTarget, LoggedEpisodes


@dataclass(frozen=True, slots=True, repr=False)
class EpisodeColumns:
    """One entry for each of n gate rows; F versions of the models, fitted on rows before the window."""

    episode_id: NDArray[np.str_]  # (n,)
    step: NDArray[np.int64]  # (n,)
    terminated: NDArray[np.bool_]  # (n,)
    truncated: NDArray[np.bool_]  # (n,)
    state: NDArray[np.int64]  # (n,) code of the models' state
    champion_q: NDArray[np.float64]  # (n, F) value of the logged action, and of the champion after it
    champion_v: NDArray[np.float64]  # (n, F) value of the state under the champion
    champion_ratio: NDArray[np.float64]  # (n, F) visits of the state under the champion / under the log
    challenger_q: NDArray[np.float64]  # (n, F)
    challenger_v: NDArray[np.float64]  # (n, F)
    challenger_ratio: NDArray[np.float64]  # (n, F)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> EpisodeColumns:
        """The rows of a mask (n,) or of indices."""
        return EpisodeColumns(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def __repr__(self) -> str:
        return f"EpisodeColumns(n={len(self.step)}, n_models={self.champion_q.shape[1]})"


@dataclass(frozen=True, slots=True, repr=False)
class GateEpisodes:
    """m episodes in the order in which they were read, n steps, and both policies along them."""

    logged: LoggedEpisodes
    behavior: NDArray[np.float64]  # (n, K)
    champion: EpisodicTarget
    challenger: EpisodicTarget
    state: NDArray[np.int64]  # (n,)
    look: NDArray[np.int64]  # (m,) from 1, never decreasing
    share: NDArray[np.float64]  # (m,) weight of the episode / largest weight

    def __repr__(self) -> str:
        return f"GateEpisodes(n={self.logged.n}, n_episodes={self.logged.n_episodes})"


def complete_episodes(
    episode_id: NDArray[np.str_],
    step: NDArray[np.int64],
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """(n,) mask of the rows, in any order, of episodes with steps 0, 1, 2, ... of which the last, alone, is an end.

    A look reads these alone: half an episode would enter with half its return, and which half is no chance.
    """
    _, code = np.unique(episode_id, return_inverse=True)
    counts = np.bincount(code)
    largest, ends = np.full(len(counts), -1), np.zeros(len(counts), np.int64)
    np.maximum.at(largest, code, step)
    end = terminated | truncated
    np.add.at(ends, code, end)
    ended_last = np.zeros(len(counts), np.bool_)
    np.logical_or.at(ended_last, code, end & (step == largest[code]))
    order = np.lexsort((step, code))
    repeated = np.zeros(len(counts), np.bool_)
    same = (code[order][1:] == code[order][:-1]) & (step[order][1:] == step[order][:-1])
    repeated[code[order][1:][same]] = True
    whole = (largest + 1 == counts) & ~repeated & (ends == 1) & ended_last
    kept: NDArray[np.bool_] = whole[code]
    return kept


def stack_episodes(
    rows: GateRows,
    columns: EpisodeColumns,
    *,
    look: NDArray[np.int64],
    gamma: float,
    weight_maximum: float = 1.0,
) -> GateEpisodes:
    """Gate rows (n,) in any order within a look, and their columns, as episodes in the order of looks, then of ids.

    `look` (n,) says which look read each row; `weight_maximum` is the plan's. Raises DegenerateData when an episode is
    incomplete, spreads over looks or units, or its rows differ in weight.
    """
    whole = complete_episodes(columns.episode_id, columns.step, columns.terminated, columns.truncated)
    _require(bool(whole.all()), "complete episodes", f"{int((~whole).sum())} rows of others")
    names, code = np.unique(columns.episode_id, return_inverse=True)
    read = np.zeros(len(names), np.int64)
    np.maximum.at(read, code, look)
    order = np.lexsort((columns.step, code, read[code]))
    starts = np.diff(code[order], prepend=-1) != 0
    episode = np.cumsum(starts) - 1
    same = ~starts[1:]
    for name, values in (("unit_id", rows.unit_id), ("weight", rows.weight), ("look", look)):
        ordered = values[order]
        _require(bool((ordered[1:] == ordered[:-1])[same].all()), f"one {name} in each episode", "several")
    picked = columns.select(order)
    unit = np.unique(rows.unit_id[order][starts], return_inverse=True)[1].astype(np.int64)
    logged = LoggedEpisodes(
        episode=episode,
        step=picked.step,
        action=rows.action[order],
        reward=rows.reward[order],
        propensity=rows.propensity[order],
        terminated=picked.terminated,
        truncated=picked.truncated,
        gamma=gamma,
        unit=unit,
    )
    return GateEpisodes(
        logged=logged,
        behavior=rows.behavior[order],
        champion=EpisodicTarget(rows.champion[order], picked.champion_q, picked.champion_v, picked.champion_ratio),
        challenger=EpisodicTarget(
            rows.challenger[order], picked.challenger_q, picked.challenger_v, picked.challenger_ratio
        ),
        state=picked.state,
        look=look[order][starts],
        share=rows.weight[order][starts] / weight_maximum,
    )


def _require(good: bool, rule: str, got: str) -> None:
    if not good:
        raise DegenerateData(
            f"bad episodes among the gate rows: expected {rule}, got {got}. Read only rows of `complete_episodes`."
        )
