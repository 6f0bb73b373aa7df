"""Rewards of 1M interactions from 1M outcomes beside DuckDB's window query, and the alarms of many outcome feeds."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray

from data_contracts.interactions import TIMESTAMP, interaction_schema, outcome_schema
from data_contracts.rewards.guardrails import guardrails
from data_contracts.rewards.outcome_checks import outcome_section
from data_contracts.rewards.outcomes import attach_rewards
from data_contracts.rewards.reward_settings import RewardSettings

pytestmark = pytest.mark.benchmark
AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
DAY = 86_400_000_000  # microseconds
N, N_PAIRS = 1_000_000, 3
ONE = RewardSettings.model_validate({"channel": "click", "attribution_window": "P7D", "default": 0.0})
MANY = RewardSettings.model_validate(
    {
        "attribution_window": "P7D",
        "default": 0.0,
        "combine": "weighted",
        "bounds": [-1, 2],
        "channels": {
            "click": {"kind": "interaction", "window": "P1D"},
            "rating": {"kind": "feedback", "weight": 0.5, "within": "sum"},
        },
        "guardrails": {"unsubscribe": {"window": "P14D", "limit": 0.5}},
    }
)


def _filled(schema: pa.Schema, n: int, cells: dict[str, pa.Array]) -> pa.Table:
    return pa.table([cells.get(field.name, pa.nulls(n, field.type)) for field in schema], schema=schema)


def _log(rng: np.random.Generator, *, n: int, arms: NDArray[np.str_]) -> tuple[pa.Table, NDArray[np.int64]]:
    now = int(AS_OF.timestamp() * 1e6)
    occurred = now - rng.integers(0, 30 * DAY, n)
    cells = {
        "interaction_id": pc.binary_join_element_wise("interaction-", pa.array(np.arange(n)).cast(pa.string()), ""),
        "unit_id": pa.array(rng.integers(0, n // 5, n)).cast(pa.string()),
        "occurred_at": pa.array(occurred).cast(TIMESTAMP),
        "policy_version": pa.repeat("1", n),
        "arm": pa.array(arms),
    }
    return _filled(interaction_schema({}), n, cells), occurred


def _outcomes(
    log: pa.Table, rows: NDArray[np.int64], observed: NDArray[np.int64], *, channel: pa.Array, value: pa.Array
) -> pa.Table:
    ids = log["interaction_id"].combine_chunks().take(pa.array(rows))
    cells = {
        "interaction_id": ids, "channel": channel, "value": value, "observed_at": pa.array(observed).cast(TIMESTAMP)
    }  # fmt: skip
    return _filled(outcome_schema(), len(rows), cells)


@pytest.fixture(scope="module")
def large() -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(1)
    log, occurred = _log(rng, n=N, arms=np.array(["a", "b"])[rng.integers(0, 2, N)])
    rows, channels = rng.integers(0, N, N), np.array(["click", "rating", "unsubscribe"])[rng.integers(0, 3, N)]
    observed = occurred[rows] + rng.exponential(2 * DAY, N).astype(np.int64)
    return log, _outcomes(log, rows, observed, channel=pa.array(channels), value=pa.array(rng.random(N)))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def test_rewards_against_a_window_query(large: tuple[pa.Table, pa.Table]) -> None:
    log, late = large
    query = Path(__file__).with_name("outcome_peer.sql").read_text()

    def peer() -> pa.Table:
        with duckdb.connect(config={"threads": 1}) as database:
            database.execute("set TimeZone = 'UTC'")
            database.register("interactions", log)
            database.register("outcomes", late)
            return database.sql(query, params={"as_of": AS_OF.isoformat()}).to_arrow_table()

    ours = attach_rewards(log, late, reward=ONE, as_of=AS_OF).table
    matured = ours.filter(ours["matured"])
    theirs = peer().join(matured.select(["interaction_id", "reward"]), "interaction_id", right_suffix="_ours")
    both = theirs.filter(pc.is_valid(theirs["reward_ours"]))
    assert both.num_rows == matured.num_rows
    assert pc.all(pc.equal(both["reward"], both["reward_ours"])).as_py()

    pairs = [
        (_seconds(peer), _seconds(lambda: attach_rewards(log, late, reward=ONE, as_of=AS_OF))) for _ in range(N_PAIRS)
    ]
    ratio = statistics.median(peer / own for peer, own in pairs)
    many = statistics.median(_seconds(lambda: attach_rewards(log, late, reward=MANY, as_of=AS_OF)) for _ in range(3))
    watched = _seconds(lambda: guardrails(log, late, reward=MANY, as_of=AS_OF))
    section = _seconds(lambda: outcome_section(log, late, reward=MANY, as_of=AS_OF))
    print(f"\nCPU s for 1M x 1M (window query, attach_rewards): {[(round(a, 2), round(b, 2)) for a, b in pairs]}")
    print(f"ratio {ratio:.2f}; two weighted channels {many:.2f} s; guardrails {watched:.2f} s; section {section:.2f} s")
    assert ratio > 0.5


def test_memory_stays_within_a_few_columns(large: tuple[pa.Table, pa.Table]) -> None:
    log, late = large
    pool = pa.default_memory_pool()
    tracemalloc.start()
    before = pool.bytes_allocated()
    result = attach_rewards(log, late, reward=MANY, as_of=AS_OF)
    numpy_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"\nNumPy peak {numpy_peak / 1e6:.0f} MB, Arrow kept {(pool.bytes_allocated() - before) / 1e6:.0f} MB")
    assert result.table.num_rows == N
    assert numpy_peak < 200 * N, "bytes per pair of interaction and outcome"


CHECKED = RewardSettings.model_validate(
    {
        "attribution_window": "P3D",
        "default": 0.0,
        "channels": {"click": {"kind": "interaction", "delay": "P2D"}},
        "guardrails": {"unsubscribe": {"window": "P5D", "limit": 0.02}},
    }
)


def _alarms(seed: int, *, n: int, delay: float = 0.6, harm: float = 0.01, silent: float = 0.0) -> set[str]:
    """Rules that a feed of `n` interactions in 30 days breaks: units of five, day noise of a fifth, 20 % clicks."""
    rng = np.random.default_rng(seed)
    log, occurred = _log(rng, n=n, arms=np.array(["a", "b"])[rng.integers(0, 2, n)])
    now = int(AS_OF.timestamp() * 1e6)
    unit = log["unit_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    taste = rng.beta(4, 16, unit.max() + 1)[unit] * rng.lognormal(0, 0.2, 31)[(now - occurred) // DAY]
    tables = []
    for channel, chance, mean in (("click", taste, delay), ("unsubscribe", np.full(n, harm), 1.0)):
        rows = np.flatnonzero(rng.random(n) < chance)
        observed = occurred[rows] + rng.exponential(mean * DAY, len(rows)).astype(np.int64)
        there = observed <= now - silent * DAY
        word = pa.repeat(channel, int(there.sum()))
        tables.append(
            _outcomes(log, rows[there], observed[there], channel=word, value=pc.cast(pc.is_valid(word), pa.float64()))
        )
    section = outcome_section(log, pa.concat_tables(tables), reward=CHECKED, as_of=AS_OF)
    return {check.rule for check in section.checks if not check.passed}


def test_alarms_of_sound_and_broken_feeds() -> None:
    worlds = {
        "sound": {},
        "two days silent": {"silent": 2.0},
        "delay of 3 d": {"delay": 3.0},
        "harm x 4": {"harm": 0.04},
    }
    found: dict[tuple[int, str], dict[str, int]] = {}
    for n in (3_000, 15_000):
        for name, words in worlds.items():
            alarms = [_alarms(seed, n=n, **words) for seed in range(200 if name == "sound" else 50)]
            rules = ("outcome_delay", "outcome_completeness", "guardrail")
            found[n, name] = {rule: sum(rule in broken for broken in alarms) for rule in rules}
            print(f"{n:>6} rows, {name:<16} alarms in {len(alarms)} feeds: {found[n, name]} (seeds 0 …)")
    assert all(sum(found[n, "sound"].values()) <= 1 for n in (3_000, 15_000))
    assert found[15_000, "two days silent"]["outcome_completeness"] == 50
    assert found[15_000, "delay of 3 d"]["outcome_delay"] == 50
    assert found[15_000, "harm x 4"]["guardrail"] == 50
