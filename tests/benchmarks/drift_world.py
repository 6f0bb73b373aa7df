"""A log whose world is known: 20 numbers (5 lognormal), 10 categories, a reward and an action, one batch a day."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from data_contracts.contract import Column, Contract
from data_contracts.drift.source import TableChunks, read_keys
from data_contracts.drift.timeline import lay_out
from data_contracts.drift.walk import Walk, walk_cells

NUMBERS: Final = tuple(f"x{i:02d}" for i in range(20))
LOGNORMAL: Final = slice(15, 20)
CATEGORIES: Final = {f"c{i}": 2 + i % 5 for i in range(10)}
ACTIONS: Final = ("a", "b", "c", "d", "e")
PROPENSITY: Final = np.array([0.4, 0.2, 0.15, 0.15, 0.1])
CONVERSION: Final = 0.03
CORRELATION: Final = 0.7  # of the first two numbers; all others are independent
WEEKEND: Final = 0.3  # sd by which half of the numbers differ on weekends; categories and rewards tilt as much
REFERENCE_DAYS: Final = 30
DAYS: Final = 30
ONSET: Final = 10  # clean days before a shift
AFTER: Final = 10  # days with it

Shift = Literal["none", "mean", "rotation", "action"]

_RESERVED: Final = ("reserved",)
CONTRACT: Final = Contract(
    "world",
    "1.0.0",
    "world.odcs.yaml",
    "0",
    (
        *(Column(name, name, "number", ("observation",), required=True) for name in NUMBERS),
        *(Column(name, name, "string", ("observation",), required=True) for name in CATEGORIES),
        Column("reward", "reward", "number", _RESERVED, required=True, minimum=0, maximum=1),
    ),
    (),
    (),
    "owner",
    "support",
    "runbook",
    None,
)


def make_days(
    rng: np.random.Generator,
    *,
    first_day: int,
    n_days: int,
    n: int,
    tau: float = 0.0,
    weekly: bool = False,
    shift: Shift = "none",
) -> pa.Table:
    """`n` rows on each of `n_days` days; `tau` is the deviation of benign effects that a day's rows share."""
    day = np.arange(first_day, first_day + n_days)
    weekend = WEEKEND * weekly * (day % 7 >= 5)
    x = rng.normal(size=(n_days, n, len(NUMBERS))) + tau * rng.normal(size=(n_days, 1, len(NUMBERS)))
    x[:, :, 1] = CORRELATION * x[:, :, 0] + np.sqrt(1 - CORRELATION**2) * x[:, :, 1]
    if shift == "rotation":
        x[:, :, 1] *= -1  # each number alone looks as before
    x[:, :, ::2] += weekend[:, None, None]
    if shift == "mean":
        x[:, :, 0] += 0.2
    x[:, :, LOGNORMAL] = np.exp(x[:, :, LOGNORMAL])
    probabilities = PROPENSITY * np.where(np.arange(5) == 1, 1.25 if shift == "action" else 1.0, 1.0)
    action = _draw(rng, _tilted(rng, probabilities, n_days, tau), n)
    conversion = CONVERSION * np.exp(tau * rng.normal(size=(n_days, 1)) - weekend[:, None])
    columns = {name: pa.array(np.ascontiguousarray(x[:, :, i]).ravel()) for i, name in enumerate(NUMBERS)}
    for name, k in CATEGORIES.items():
        tilt = np.exp(weekend[:, None] * (np.arange(k) == 0))
        columns[name] = _text(_draw(rng, _tilted(rng, np.full(k, 1 / k), n_days, tau) * tilt, n))
    seconds = (day[:, None] * 86_400 + np.linspace(0, 86_399, n).astype(np.int64)).ravel()
    return pa.table(
        {
            "interaction_id": pa.array(np.arange(n_days * n) + first_day * n).cast(pa.string()),
            "occurred_at": pa.array(seconds * 1_000_000 + 4 * 86_400_000_000).cast(pa.timestamp("us", tz="UTC")),
            "policy_version": _constant("1", n_days * n),
            "batch_id": _text(np.repeat(day - first_day, n), [batch_name(d) for d in day]),
            "action": _text(action, list(ACTIONS)),
            "propensity": pa.array(PROPENSITY[action]),
            "reward": pa.array((rng.random((n_days, n)) < conversion).astype(np.float64).ravel()),
            **columns,
        }
    )


def batch_name(day: int) -> str:
    return f"day {day:04d}"


def walk(reference: pa.Table, new: pa.Table) -> Walk:
    """The true path of the detector: keys, cells, monitors, baseline, both detectors."""
    before, after = TableChunks(reference), TableChunks(new)
    known = read_keys(before, batch_order=())
    order = tuple(batch_name(d) for d in range(REFERENCE_DAYS + 2 * DAYS))
    fresh = read_keys(after, batch_order=order)
    timeline = lay_out(known, fresh, attribution_window=timedelta(0))
    return walk_cells(before, after, timeline, known=known, fresh=fresh, contract=CONTRACT, actions=ACTIONS)


def month(
    seed: int,
    *,
    n: int,
    tau: float,
    weekly: bool = False,
    shift: Shift = "none",
    reference_days: int = REFERENCE_DAYS,
) -> tuple[pa.Table, pa.Table]:
    """Reference days and 30 new ones, or, with a shift, 10 clean ones and 10 after its onset."""
    rng = np.random.default_rng(seed)
    days = partial(make_days, rng, n=n, tau=tau, weekly=weekly)
    reference = days(first_day=0, n_days=reference_days)
    if shift == "none":
        return reference, days(first_day=reference_days, n_days=DAYS)
    clean = days(first_day=reference_days, n_days=ONSET)
    return reference, pa.concat_tables([clean, days(first_day=reference_days + ONSET, n_days=AFTER, shift=shift)])


def _tilted(rng: np.random.Generator, probabilities: np.ndarray, n_days: int, tau: float) -> np.ndarray:
    """(days, k) not normalised."""
    return probabilities * np.exp(tau * rng.normal(size=(n_days, len(probabilities))))


def _draw(rng: np.random.Generator, weights: np.ndarray, n: int) -> np.ndarray:
    """(days * n,) codes."""
    borders = (weights / weights.sum(axis=1, keepdims=True)).cumsum(axis=1)[:, None, :-1]
    codes: np.ndarray = (rng.random((len(weights), n, 1)) > borders).sum(axis=2).ravel()
    return codes


def _text(codes: np.ndarray, values: list[str] | None = None) -> pa.Array:
    names = pa.array(values or ["p", "q", "r", "s", "t", "u", "v"])
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names).cast(pa.string())


def _constant(value: str, n: int) -> pa.Array:
    return pa.array([value]).take(pa.array(np.zeros(n, np.int64)))
