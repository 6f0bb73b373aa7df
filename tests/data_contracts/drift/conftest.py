"""A world of daily rows: seven numbers (correlated, one lognormal), three categories, actions, rewards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Column, Contract

NUMBERS = tuple(f"x{i}" for i in range(7))
CATEGORIES = {"c0": 2, "c1": 3, "c2": 4}
ACTIONS = ("a", "b", "c", "d", "e")
PROPENSITY = np.array([0.4, 0.2, 0.15, 0.15, 0.1])

World = Callable[..., pa.Table]


@pytest.fixture(scope="session")
def actions() -> tuple[str, ...]:
    return ACTIONS


@pytest.fixture(scope="session")
def contract() -> Contract:
    names = [(n, "number") for n in NUMBERS] + [(c, "string") for c in CATEGORIES]
    observed = [Column(n, n, kind, ("observation",), required=n != "x6") for n, kind in names]  # type: ignore[arg-type]
    reward = Column("reward", "reward", "number", ("reserved",), required=True, minimum=0, maximum=1)
    return Contract("world", "1", "world.odcs.yaml", "0", (*observed, reward), (), (), "o", "s", "r", None)


@pytest.fixture(scope="session")
def world() -> World:
    return make_world


def make_world(
    rng: np.random.Generator,
    *,
    first_day: int,
    n_days: int,
    n: int = 2000,
    tau: float = 0.0,
    shift: str = "none",
    batch: str | None = None,
    version: str = "1",
) -> pa.Table:
    """`n` rows a day; `tau` is the deviation of benign day-to-day effects; one batch a day unless named."""
    days = [_day(rng, first_day + d, n, tau, shift) for d in range(n_days)]
    joined = {name: np.concatenate([day[name] for day in days]) for name in days[0]}
    size = n * n_days
    day = joined.pop("day")
    start = np.datetime64("2026-01-01", "us") + day.astype("timedelta64[D]")
    seconds = np.tile(np.linspace(0, 86_399, n).astype(np.int64), n_days).astype("timedelta64[s]")
    return pa.table(
        {
            "interaction_id": pa.array([f"{first_day}-{batch}-{i}" for i in range(size)]),
            "occurred_at": pa.array(start + seconds).cast(pa.timestamp("us", tz="UTC")),
            "policy_version": pa.array([version] * size),
            "batch_id": pa.array([batch or f"day {d:03d}" for d in day]),
            **{name: pa.array(values) for name, values in joined.items()},
        }
    )


def _day(rng: np.random.Generator, day: int, n: int, tau: float, shift: str) -> dict[str, np.ndarray]:
    common = rng.normal(size=(n, 1))
    x = np.sqrt(0.5) * (common + rng.normal(size=(n, 7))) + tau * rng.normal(size=7)  # correlation 1/2, variance 1
    if shift == "rotation":
        x[:, 1] = -x[:, 1]
    x[:, 5] = np.exp(x[:, 5])
    if shift == "mean":
        x[:, 0] += 0.2
    probabilities = _tilted(rng, PROPENSITY, tau)
    if shift == "action":  # one share times 1.25
        probabilities = np.where(np.arange(5) == 1, 1.25 * probabilities[1], probabilities)
        probabilities /= probabilities.sum()
    action = rng.choice(5, n, p=probabilities)
    return {
        "day": np.full(n, day),
        **{name: x[:, i] for i, name in enumerate(NUMBERS)},
        **{
            name: np.array(["p", "q", "r", "s"])[rng.choice(k, n, p=_tilted(rng, np.full(k, 1 / k), tau))]
            for name, k in CATEGORIES.items()
        },
        "action": np.array(ACTIONS)[action],
        "propensity": PROPENSITY[action],
        "reward": (rng.random(n) < 0.05 * np.exp(tau * rng.normal())).astype(np.float64),
    }


def _tilted(rng: np.random.Generator, probabilities: np.ndarray, tau: float) -> np.ndarray:
    tilted = probabilities * np.exp(tau * rng.normal(size=len(probabilities)))
    return tilted / tilted.sum()
