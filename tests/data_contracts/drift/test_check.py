"""False alarms of clean months, delay of detection, and the level of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from data_contracts.drift.cells import reference_cells
from data_contracts.drift.check import Walk, check_drift, walk_cells
from data_contracts.drift.records import DriftResult

World = Callable[..., pa.Table]
DAYS, ONSET, N = 30, 10, 2000


@pytest.fixture
def walk(world: World, contract: Contract, actions: tuple[str, ...]) -> Callable[..., Walk]:
    def run(seed: int, tau: float, shift: str = "none", *, n_after: int = DAYS - ONSET) -> Walk:
        rng = np.random.default_rng(seed)
        reference = world(rng, first_day=0, n_days=DAYS, n=N, tau=tau)
        clean = world(rng, first_day=DAYS, n_days=ONSET, n=N, tau=tau)
        later = world(rng, first_day=DAYS + ONSET, n_days=n_after, n=N, tau=tau, shift=shift)
        new = pa.concat_tables([clean, later])
        times = np.asarray(reference["occurred_at"].cast(pa.int64())).astype("datetime64[us]")
        cells = np.repeat(np.arange(ONSET + n_after), N)
        return walk_cells(reference, new, reference_cells(times), cells, contract=contract, actions=actions)

    return run


@pytest.mark.parametrize("tau", [0.0, 0.05])
def test_clean_months_raise_no_alarm(walk: Callable[..., Walk], tau: float) -> None:
    months = [walk(seed, tau) for seed in range(20)]
    # the budget is 5 % and 20 %: of 20 months, 4 blocks or 9 warnings would have probability < 2 % at the budget
    assert sum(bool(month.block.alarm.any()) for month in months) <= 3
    assert sum(bool(month.warn.alarm.any()) for month in months) <= 8


@pytest.mark.slow
@pytest.mark.parametrize("tau", [0.0, 0.05])
def test_clean_months_stay_within_the_budget(walk: Callable[..., Walk], tau: float) -> None:
    alarms = [bool(walk(1000 + seed, tau).block.alarm.any()) for seed in range(100)]
    assert np.mean(alarms) <= 0.05


@pytest.mark.parametrize("tau", [0.0, 0.05])
@pytest.mark.parametrize(("shift", "days"), [("mean", 5), ("rotation", 3), ("action", 5)])
def test_shifts_are_found_in_time(walk: Callable[..., Walk], shift: str, days: int, tau: float) -> None:
    delays = []
    for seed in range(5):
        alarm = np.flatnonzero(walk(seed, tau, shift, n_after=10).block.alarm)
        delays.append(int(alarm[0]) - ONSET + 1 if len(alarm) else 99)
    assert min(delays) >= 1
    assert np.median(delays) <= days


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
    assert {m.kind for m in found.top} <= {"action", "reward"}


def test_missing_values_are_seen(world: World, check: Callable[..., DriftResult]) -> None:
    rng = np.random.default_rng(13)
    reference = world(rng, first_day=0, n_days=10, batch="old", n=1000)
    new = world(rng, first_day=10, n_days=1, batch="new", n=1000)
    holes = np.where(np.arange(1000) % 10 == 0, np.nan, new["x6"].to_numpy())
    found = check(new.set_column(new.column_names.index("x6"), "x6", pa.array(holes)), reference, "new", "old", "new")
    assert found.level == "block"
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
