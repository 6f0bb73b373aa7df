"""Slots are paid before a row is read, looks wait for whole periods, and a refresh charges what it may lose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data_contracts.errors import BudgetSpent, UsageError
from data_contracts.home import Home
from flows.context import Context, open_context
from flows.ingest import ingest_files
from flows.look import look_now, take_look
from flows.snapshot import take_snapshot
from flows.status import task_status
from flows.training import open_if_free, require_free_slot, train
from flows.unread import unread_rows
from flows.verify import verify_task
from policies.gate.evidence import load_evidence
from policies.gate.looks.ledger import looks_of
from policies.gate.looks.slots import loss_charges, slot_of
from policies.registry import close_challenger
from tests.tiny_task import rows, write_jsonl, write_task

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def open_task(folder: Path, gate: str, *, head: str = "", steps: int = 60) -> Context:
    path = write_task(folder / "task", steps=steps)
    text = path.read_text()
    line = next(line for line in text.splitlines() if line.startswith("gate: "))
    text = text.replace(line, f"gate: {gate}").replace("  seeds: [0]\n", f"  seeds: [0]\n{head}")
    path.write_text(text)
    (folder / "home").mkdir()
    return open_context(path, home=Home(folder / "home"), actor="test")


def _ingest(context: Context, folder: Path, *, n: int, seed: int, day: int, days: float) -> str:
    log = write_jsonl(folder / f"log-{seed}.jsonl", rows(n, seed=seed, day=day, days=days))
    assert ingest_files(context, [log], outcomes=False, now=NOW).n_quarantined == 0
    return take_snapshot(context, as_of=None, now=NOW).snapshot_id


def _open(context: Context, snapshot_id: str) -> int:
    version = train(context, snapshot_id, now=NOW).version
    assert open_if_free(context, version, now=NOW)
    return version


def test_a_look_waits_for_a_whole_week_and_reads_no_half_one(tmp_path: Path) -> None:
    gate = "{looks: 3, min_rows_per_look: 200, first_look_waits: true, holdback: 0, fragility: {least_seeds: 1}}"
    context = open_task(tmp_path, gate)
    version = _open(
        context, _ingest(context, tmp_path, n=3000, seed=1, day=0, days=12)
    )  # the window is its last 4.8 days
    with pytest.raises(UsageError, match="looks close on whole periods of 7 days: expected the one that ends"):
        look_now(context, now=NOW)
    assert looks_of(context.home, context.name, version) == []
    shown = task_status(context, now=NOW)
    assert "next look: looks close on whole periods of 7 days" in shown.text
    assert shown.payload["challenger"]["looks_taken"] == 0

    snapshot_id = _ingest(context, tmp_path, n=2000, seed=2, day=12, days=8)
    due = unread_rows(context, version=version, snapshot_id=snapshot_id)
    assert due.next.ready
    assert due.next.closes_at is not None
    assert due.rows.n < due.n_waiting, "the days after the week stay unread"
    looked = take_look(context, version=version, snapshot_id=snapshot_id, now=NOW, run_id="one")
    read = load_evidence(context.home, context.name, looked.evidence_id)
    assert read.rows.day.max() < due.next.closes_at.date()
    assert (read.rows.day.max() - read.rows.day.min()).astype(int) == 6
    assert read.decision.evidence["inputs"]["slot"]["slot_number"] == 1
    assert verify_task(context).problems == ()


def test_a_first_look_at_a_shorter_window_says_so_and_the_next_waits(tmp_path: Path) -> None:
    context = open_task(tmp_path, "{looks: 3, min_rows_per_look: 200, holdback: 0, fragility: {least_seeds: 1}}")
    snapshot_id = _ingest(context, tmp_path, n=1500, seed=6, day=0, days=12)
    version = _open(context, snapshot_id)
    due = unread_rows(context, version=version, snapshot_id=snapshot_id)
    assert (due.next.ready, due.next.closes_at, due.rows.n) == (True, None, due.n_waiting)
    looked = take_look(context, version=version, snapshot_id=snapshot_id, now=NOW, run_id="one")
    assert any("not of a whole period of 7: days weigh unevenly" in reason for reason in looked.reasons)
    later = _ingest(context, tmp_path, n=300, seed=7, day=12, days=1)
    again = unread_rows(context, version=version, snapshot_id=later)
    assert not again.next.ready
    assert "looks close on whole periods of 7 days" in (again.next.why_not or "")


def test_every_slot_costs_and_the_last_one_is_not_trained_for(tmp_path: Path) -> None:
    gate = "{looks: 3, min_rows_per_look: 200, close_on_days: null, ledger: {slots: 1}, fragility: {least_seeds: 1}}"
    context = open_task(tmp_path, gate)
    require_free_slot(context, now=NOW)
    version = _open(context, _ingest(context, tmp_path, n=1500, seed=3, day=0, days=12))
    slot = slot_of(context.home, context.name, version)
    assert slot is not None
    assert (slot.slot_number, slot.planned + slot.anytime) == (1, pytest.approx(0.05))
    close_challenger(
        context.home, context.name, version=version, outcome="withdrawn", reason="a test", actor="test", now=NOW
    )
    with pytest.raises(BudgetSpent, match="no slot left in the ledger's period"):
        require_free_slot(context, now=NOW + timedelta(days=30))
    require_free_slot(context, now=NOW + timedelta(days=366))


def test_a_refresh_of_a_bounded_head_is_promoted_and_charged(tmp_path: Path) -> None:
    """A challenger that may be at most 1.2 times as eager as the champion, and loses at most a quarter of its value."""
    gate = (
        "{claim: refresh, refresh: {margin: 0.25, yearly_loss_budget: 0.3, largest_ratio: 1.2}, looks: 3, "
        "min_rows_per_look: 200, close_on_days: null, holdback: 0, fragility: {least_seeds: 1}, ledger: {slots: 1}}"
    )
    context = open_task(tmp_path, gate, head="  head: {bound: 1.2}\n")
    snapshot_id = _ingest(context, tmp_path, n=3000, seed=4, day=0, days=12)
    version = _open(context, snapshot_id)
    slot = slot_of(context.home, context.name, version)
    assert slot is not None
    assert (slot.claim, slot.margin) == ("refresh", 0.25)
    looked = take_look(context, version=version, snapshot_id=snapshot_id, now=NOW, run_id="one")
    assert looked.verdict == "promote", looked.reasons
    evidence = load_evidence(context.home, context.name, looked.evidence_id).decision.evidence
    assert evidence["inputs"]["margin"] == pytest.approx(0.25 * 0.4, rel=0.15)  # a uniform champion earns .4
    assert {c["name"]: c["passed"] for c in evidence["conditions"]}["bounded_head"]
    assert [charge.margin for charge in loss_charges(context.home, context.name)] == [0.25]
