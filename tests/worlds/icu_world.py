"""ICU-Sepsis as a world to draw logs from: the shipped dynamics, whose policy values are linear solves."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from policies.ope.exact import Dynamics, read_dynamics
from tests.worlds.episodic_worlds import EpisodicWorld

SAMPLE = Path(__file__).parents[2] / "infra" / "samples" / "icu_sepsis"
N_ACTIONS = 25


@cache
def icu_dynamics() -> Dynamics:
    return read_dynamics(pq.read_table(SAMPLE / "truth.parquet"))


def icu_world(*, observed: str = "state") -> EpisodicWorld:
    """The world as seen through one of the shipped observation columns: `state`, or the coarse `severity`."""
    dynamics = icu_dynamics()
    n = len(dynamics.start)
    cell = dynamics.state * N_ACTIONS + dynamics.action
    goes_on = dynamics.follows >= 0
    pair = cell[goes_on] * n + dynamics.follows[goes_on]
    moves = np.bincount(pair, weights=dynamics.probability[goes_on], minlength=n * N_ACTIONS * n)
    earned = np.bincount(cell, weights=dynamics.probability * dynamics.reward, minlength=n * N_ACTIONS)
    return EpisodicWorld(
        start=dynamics.start,
        moves=moves.reshape(n, N_ACTIONS, n),
        reward=earned.reshape(n, N_ACTIONS),
        gamma=1.0,
        observed=dynamics.observations[observed].to_numpy().astype(np.int64),
        at_end=True,
    )
