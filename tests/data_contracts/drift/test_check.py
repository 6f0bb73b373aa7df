"""The level of a batch, and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from data_contracts.drift.check import check_drift
from data_contracts.drift.records import DriftResult

World = Callable[..., pa.Table]


@pytest.fixture
def check(contract: Contract, actions: tuple[str, ...]) -> Callable[..., DriftResult]:
    def run(rows: pa.Table, reference: pa.Table | None, newest: str | None, *order: str) -> DriftResult:
        return check_drift(
            rows,
            reference,
            reference_name="training snapshot of version 2",
            contract=contract,
            actions=actions,
            batch_order=order,
            newest_batch=newest,
        )

    return run


def test_one_shifted_batch_blocks_and_the_clean_one_after_it_does_not(
    world: World, check: Callable[..., DriftResult]
) -> None:
    rng = np.random.default_rng(11)
    reference = world(rng, first_day=0, n_days=10, batch="old", n=500)
    shifted = world(rng, first_day=10, n_days=2, batch="shifted", n=500, shift="rotation")
    clean = world(rng, first_day=12, n_days=2, batch="clean", n=500)
    rows = pa.concat_tables([clean, reference, shifted])  # a store promises no order
    blocked = check(pa.concat_tables([shifted, reference]), reference, "shifted", "old", "shifted")
    assert blocked.level == "block"
    assert blocked.n_cells == 2  # the reference's own rows are not new
    assert blocked.statistic >= 600
    assert [m.name for m in blocked.top if m.kind == "pair"]
    assert all("x1" in m.name for m in blocked.top)
    assert blocked.relevance_needed
    assert [(a.group, a.since) for a in blocked.alarms] == [("covariates", "2026-01-11")]
    again = check(rows, reference, "clean", "old", "shifted", "clean")
    assert (again.level, again.n_cells) == ("ok", 4)
    assert check(rows, reference, "clean", "old", "shifted", "clean") == again


def test_a_new_policy_version_is_no_shift_of_actions_or_rewards(
    world: World, check: Callable[..., DriftResult]
) -> None:
    rng = np.random.default_rng(12)
    reference = world(rng, first_day=0, n_days=10, batch="old", n=1000)
    new = world(rng, first_day=10, n_days=3, batch="new", n=1000, version="2")
    always_a = new.set_column(new.column_names.index("action"), "action", pa.array(["a"] * new.num_rows))
    rewarded = always_a.set_column(new.column_names.index("reward"), "reward", pa.array(np.ones(new.num_rows)))
    assert check(rewarded, reference, "new", "old", "new").level == "ok"
    same_version = rewarded.set_column(
        new.column_names.index("policy_version"), "policy_version", pa.array(["1"] * new.num_rows)
    )
    found = check(same_version, reference, "new", "old", "new")
    assert found.level == "block"
    assert {m.kind for m in found.top} == {"action"}
    assert [(a.group, a.level) for a in found.alarms] == [("action", "block"), ("reward", "warn")]
    assert not found.relevance_needed


def test_missing_values_are_seen(world: World, check: Callable[..., DriftResult]) -> None:
    rng = np.random.default_rng(13)
    reference = world(rng, first_day=0, n_days=10, batch="old", n=1000)
    new = world(rng, first_day=10, n_days=1, batch="new", n=1000)
    holes = np.where(np.arange(1000) % 10 == 0, np.nan, new["x6"].to_numpy())
    found = check(new.set_column(new.column_names.index("x6"), "x6", pa.array(holes)), reference, "new", "old", "new")
    assert found.level == "block"
    assert found.relevance_needed
    assert found.top[0].name == "share without x6"
    assert found.top[0].observed == pytest.approx(0.1)


def test_rewards_not_known_yet_are_left_out(world: World, check: Callable[..., DriftResult]) -> None:
    rng = np.random.default_rng(14)
    reference = world(rng, first_day=0, n_days=10, batch="old", n=1000)
    new = world(rng, first_day=10, n_days=2, batch="new", n=1000)
    unknown = new.set_column(new.column_names.index("reward"), "reward", pa.nulls(new.num_rows, pa.float64()))
    assert check(unknown, reference, "new", "old", "new").level == "ok"


def test_outcomes_that_never_came_block_once_they_are_due(
    world: World, contract: Contract, actions: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(18)
    delayed = replace(contract, columns=contract.observation)  # outcomes come in files of their own
    reference = world(rng, first_day=0, n_days=10, batch="old", n=1000)
    new = world(rng, first_day=10, n_days=2, batch="new", n=1000)
    unknown = new.set_column(new.column_names.index("reward"), "reward", pa.nulls(new.num_rows, pa.float64()))
    for matured, level in [(False, "ok"), (True, "block")]:
        result = check_drift(
            unknown.append_column("matured", pa.array([matured] * new.num_rows)),
            reference,
            reference_name="reference",
            contract=delayed,
            actions=actions,
            batch_order=("old", "new"),
            newest_batch="new",
        )
        assert result.level == level
    assert result.top[0].name == "share without reward"
    assert [(a.group, a.level, a.relevance_needed) for a in result.alarms] == [("reward", "block", False)]


def test_nothing_to_compare_with_is_said(world: World, check: Callable[..., DriftResult]) -> None:
    new = world(np.random.default_rng(15), first_day=0, n_days=2, batch="new", n=100)
    for reference, said in [(None, "no reference"), (new.slice(0, 0), "no reference"), (new.slice(0, 100), "small")]:
        result = check(new, reference, "new", "new")
        assert (result.level, result.n_cells, result.top) == ("ok", 0, ())
        assert said in result.detail


def test_a_batch_too_small_to_judge_waits(world: World, check: Callable[..., DriftResult]) -> None:
    rng = np.random.default_rng(16)
    reference = world(rng, first_day=0, n_days=10, batch="old", n=200)
    few = world(rng, first_day=10, n_days=1, batch="few", n=49, shift="rotation")
    result = check(few, reference, "few", "old", "few")
    assert (result.level, result.n_cells) == ("ok", 0)
    assert "49 rows" in result.detail
    after = world(rng, first_day=11, n_days=1, batch="next", n=60)
    both = check(pa.concat_tables([few, after]), reference, "next", "old", "few", "next")
    assert both.n_cells == 1


def test_no_new_rows(world: World, check: Callable[..., DriftResult]) -> None:
    reference = world(np.random.default_rng(17), first_day=0, n_days=10, batch="old", n=200)
    result = check(reference, reference, "old", "old")
    assert (result.level, result.n_cells) == ("ok", 0)


def test_rewards_that_mature_under_a_later_batch_are_judged(
    world: World, contract: Contract, actions: tuple[str, ...]
) -> None:
    # a window of three days; from day 10 on every reward is 0, and the first of them is final on day 13
    rng = np.random.default_rng(19)
    window = timedelta(days=3)
    days = [world(rng, first_day=d, n_days=1, n=2000) for d in range(18)]
    silent = [d if i < 10 else _without_rewards(d) for i, d in enumerate(days)]
    reference = _as_of(pa.concat_tables(silent[:10]), 10, window)
    levels = {}
    for last in range(10, 18):
        result = check_drift(
            _as_of(pa.concat_tables(silent[: last + 1]), last + 1, window),
            reference,
            reference_name="reference",
            contract=contract,
            actions=actions,
            batch_order=tuple(f"day {d:03d}" for d in range(last + 1)),
            newest_batch=f"day {last:03d}",
            attribution_window=window,
        )
        levels[last] = result.level
        assert {a.group for a in result.alarms} <= {"reward"}
    # days 10 to 12 bring the last good rewards (of days 7 to 9), which were not final when the reference was taken
    assert [levels[d] for d in (10, 11, 12)] == ["ok"] * 3
    assert "warn" in [levels[d] for d in (13, 14)]


def test_a_reference_that_is_gone_lets_an_incident_close(world: World, check: Callable[..., DriftResult]) -> None:
    new = world(np.random.default_rng(20), first_day=0, n_days=2, batch="new", n=100)
    assert check(new, None, "new", "new").may_close
    reference = world(np.random.default_rng(21), first_day=0, n_days=10, batch="old", n=200)
    assert not check(reference, reference, "old", "old").may_close  # nothing new has been judged yet


def _without_rewards(table: pa.Table) -> pa.Table:
    return table.set_column(table.column_names.index("reward"), "reward", pa.array(np.zeros(table.num_rows)))


def _as_of(table: pa.Table, day: int, window: timedelta) -> pa.Table:
    """Rewards as they are known at the end of `day` days."""
    moment = np.datetime64("2026-01-01", "us") + np.timedelta64(day, "D")
    matured = table["occurred_at"].to_numpy() + np.timedelta64(window, "us") <= moment
    reward = pa.array(table["reward"].to_numpy(), mask=~matured)
    return table.set_column(table.column_names.index("reward"), "reward", reward).append_column(
        "matured", pa.array(matured)
    )
