"""A slot always closes: a stage at the last look is a canary whose arms decide, or the slot is exhausted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows import promote
from flows.context import Context
from flows.loop import retrain
from flows.promote import act_on_verdict
from flows.records import Looked
from policies.gate.looks.ledger import looks_of
from policies.registry import aliases, history, read_version
from policies.stage import Canary, Patch
from tests.flows.test_slots_and_looks import open_task
from tests.tiny_task import rows, write_jsonl
from tests.worlds.email_task import ALWAYS, NEVER, email_task, look_at_challenger, moment

ROW = {"stage": {"by": "row", "carry_over": "none"}}
PATCH = {"column": "hour", "values": ["8"]}


def _looked(context: Context, *, look: int, patch: dict[str, Any] | None = None) -> Looked:
    evidence_id = look_at_challenger(context, "stage", patch=patch)
    return Looked(
        version=ALWAYS, champion=NEVER, verdict="stage", reasons=["because"], evidence_id=evidence_id, look=look,
        n_looks=5, final=False,
    )  # fmt: skip


def _act(context: Context, looked: Looked) -> str:
    return act_on_verdict(context, looked, may_promote=True, now=moment(1)).note


def test_a_canary_by_unit_keeps_its_slot_until_its_arms_decide(tmp_path: Path) -> None:
    context = email_task(tmp_path)
    _act(context, _looked(context, look=5))
    now = aliases(context.home, context.name)
    assert now["challenger"] == ALWAYS
    assert isinstance(read_version(context.home, context.name, now["champion"] or 0).stage, Canary)


def test_what_no_arm_can_decide_is_exhausted_at_the_last_look(tmp_path: Path) -> None:
    context = email_task(tmp_path, gate=ROW)
    assert _act(context, _looked(context, look=5)).endswith("is closed: exhausted")
    assert aliases(context.home, context.name) == {"champion": NEVER, "challenger": None}


def test_a_patch_serves_while_looks_remain_and_gives_way_to_a_canary_at_the_last(tmp_path: Path) -> None:
    for look, kind in ((4, Patch), (5, Canary)):
        context = email_task(tmp_path / str(look))
        _act(context, _looked(context, look=look, patch=PATCH))
        champion = aliases(context.home, context.name)["champion"] or 0
        assert isinstance(read_version(context.home, context.name, champion).stage, kind)


def test_a_spent_slot_is_no_error_and_is_acted_on_once_promotion_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look, a promote verdict, and promotion frozen: later runs wait, and the first after `resume` promotes."""
    gate = "{looks: 1, min_rows_per_look: 200, close_on_days: null, holdback: 0, fragility: {least_seeds: 1}}"
    context = open_task(tmp_path, gate, steps=300)
    log = [write_jsonl(tmp_path / f"log-{i}.jsonl", rows(2500, seed=i, day=9 * i, days=9)) for i in range(3)]
    monkeypatch.setattr(promote, "is_frozen", lambda home, task: True)
    days = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3)]
    first = retrain(context, paths=log[:1], now=days[0])
    assert first.verdict == "promote"
    version = first.looked.version if first.looked else 0

    second = retrain(context, paths=log[1:2], now=days[1])
    assert len(looks_of(context.home, context.name, version)) == 1
    assert aliases(context.home, context.name)["challenger"] == version
    assert second.moved is not None
    assert "frozen" in second.moved.note

    monkeypatch.undo()
    retrain(context, paths=log[2:], now=days[2])  # promotes the one that waited, then trains the next
    assert aliases(context.home, context.name)["champion"] == version
    assert "promote" in [m.action for m in history(context.home, context.name)]
