"""A run's record: committed steps are not repeated, and a run that was cut off is taken over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data_contracts.home import Home
from flows.records import Slot
from flows.runs import Run, begin_run, call_directly, last_success, list_runs

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def begin(home: Home, *, hour: int = 0, as_of: str | None = None) -> Run:
    now = NOW + timedelta(hours=hour)
    return begin_run(home, "tiny", command="retrain", request={"as_of": as_of}, now=now, call=call_directly)


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    home, calls = Home(tmp_path), []

    def slot(champion: int) -> Slot:
        calls.append(champion)
        return Slot(champion=champion, challenger=None)

    def die() -> Slot:
        raise KeyboardInterrupt

    cut_off = begin(home)
    cut_off.step("first", Slot, lambda: slot(1))
    with pytest.raises(KeyboardInterrupt):
        cut_off.step("second", Slot, die)
    resumed = begin(home, hour=5)
    assert resumed.record.run_id == cut_off.record.run_id
    assert resumed.record.moment == NOW, "its moment is the one it began with"
    assert resumed.step("first", Slot, lambda: slot(99)).champion == 1
    assert resumed.step("second", Slot, lambda: slot(2)).champion == 2
    assert calls == [1, 2]
    resumed.finish("finished", now=NOW + timedelta(hours=6))
    assert last_success(home, "tiny") == NOW + timedelta(hours=6)
    assert begin(home, hour=7).record.run_id != cut_off.record.run_id


def test_another_request_is_another_run(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first, second = begin(home), begin(home, hour=1, as_of="2026-10-01")
    assert first.record.run_id != second.record.run_id
    assert [r.run_id for r in list_runs(home, "tiny")] == [first.record.run_id, second.record.run_id]


def test_a_failed_run_is_no_success_and_is_not_taken_over(tmp_path: Path) -> None:
    home = Home(tmp_path)
    failed = begin(home)
    failed.finish("failed", now=NOW, error="StoreError: …")
    assert last_success(home, "tiny") is None
    assert begin(home, hour=1).record.run_id != failed.record.run_id
