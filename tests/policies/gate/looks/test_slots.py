"""Slots in the ledger: frozen before the first look, spent for good, recomputable; and every other use of rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_contracts.errors import BudgetSpent, Busy, IntegrityError, UsageError
from data_contracts.home import Home
from data_contracts.storage import append_chain
from policies.gate.looks.alpha import LedgerSettings
from policies.gate.looks.ledger import LookEntry, all_looks, record_look, record_use, row_ids_sha256, uses_of
from policies.gate.looks.ledger_entries import SlotEntry
from policies.gate.looks.slots import (
    all_slots,
    ledger_problems,
    loss_charges,
    next_slot,
    open_in_ledger,
    require_slot,
    slot_of,
)
from policies.gate.records import GateRows
from policies.gate.refresh import LossCharge

MakeRows = Callable[..., GateRows]
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def _open(home: Home, challenger: int, **changes: Any) -> SlotEntry:
    facts: dict[str, Any] = {
        "artifact_sha256": f"artifact-{challenger}",
        "settings": LedgerSettings(slots=3),
        "alpha": 0.05,
        "settings_sha256": "settings",
        "actor": "test",
        "now": NOW,
    }
    return open_in_ledger(home, "shop", challenger=challenger, **{**facts, **changes})


def _look(home: Home, challenger: int, look: int, rows: GateRows, **changes: Any) -> LookEntry:
    facts: dict[str, Any] = {
        "champion": 1,
        "evidence_id": f"{challenger}-{look}",
        "verdict": "hold",
        "actor": "test",
        "run_id": "run",
        "now": NOW,
    }
    return record_look(home, "shop", challenger=challenger, look=look, rows=rows, **{**facts, **changes})


def test_a_slot_holds_its_alpha_and_what_it_froze(home: Home) -> None:
    foreseen = next_slot(home, "shop", settings=LedgerSettings(slots=3), alpha=0.05, now=NOW)
    slot = _open(home, 2)
    assert slot.allocated == foreseen
    assert (slot.artifact_sha256, slot.settings_sha256, slot.claim, slot.margin) == (
        "artifact-2",
        "settings",
        "lift",
        None,
    )
    assert slot_of(home, "shop", 2) == slot
    assert slot_of(home, "shop", 3) is None
    assert all_looks(home, "shop") == []


def test_a_rerun_spends_nothing_more_and_other_bytes_are_refused(home: Home) -> None:
    assert _open(home, 2) == _open(home, 2, now=NOW + timedelta(days=1))
    assert len(all_slots(home, "shop")) == 1
    with pytest.raises(IntegrityError, match="version 2 of shop is not what its slot froze"):
        _open(home, 2, artifact_sha256="other")


def test_withdrawn_challengers_count(home: Home) -> None:
    """No look was taken at any of them; the fourth has to wait for the next period."""
    for challenger in (2, 3, 4):
        _open(home, challenger)
    with pytest.raises(BudgetSpent, match="no slot left"):
        _open(home, 5)
    with pytest.raises(BudgetSpent):
        next_slot(home, "shop", settings=LedgerSettings(slots=3), alpha=0.05, now=NOW)
    assert _open(home, 5, now=NOW + timedelta(days=365)).slot_number == 1


def test_a_promote_verdict_buys_the_next_slot_a_lower_e_value(home: Home, make_rows: MakeRows) -> None:
    first = _open(home, 2)
    _look(home, 2, 1, make_rows(5))
    assert _open(home, 3).anytime == first.anytime
    _look(home, 2, 2, make_rows(5, start=5), verdict="promote")
    third = _open(home, 4)
    assert (third.n_promoted_before, third.anytime, third.planned) == (1, 2 * first.anytime, first.planned)


def test_no_look_before_a_slot(home: Home, make_rows: MakeRows) -> None:
    _open(home, 2)
    _look(home, 2, 1, make_rows(5))
    with pytest.raises(UsageError, match="no look at version 3 of shop: expected a slot"):
        _look(home, 3, 1, make_rows(5))
    with pytest.raises(UsageError, match="no look at version 3"):
        require_slot(home, "shop", challenger=3, artifact_sha256="artifact-3")
    with pytest.raises(IntegrityError, match="is not what its slot froze"):
        require_slot(home, "shop", challenger=2, artifact_sha256="other")
    assert require_slot(home, "shop", challenger=2, artifact_sha256="artifact-2") == slot_of(home, "shop", 2)
    assert [look.challenger for look in all_looks(home, "shop")] == [2]


def test_no_slot_after_a_look(home: Home, make_rows: MakeRows) -> None:
    """Whoever was looked at without a slot cannot buy one afterwards."""
    _look(home, 2, 1, make_rows(5))
    with pytest.raises(Busy, match="no second slot for version 2"):
        _open(home, 2)


def test_a_store_from_before_slots_stays_readable_and_ends_its_looks(home: Home, make_rows: MakeRows) -> None:
    """Entries are byte for byte what older releases wrote: a look has no kind."""
    old = _look(home, 2, 1, make_rows(5))
    stored = json.loads((home.ledger("shop") / "00000001.json").read_bytes())
    assert "kind" not in stored
    assert set(stored) == set(LookEntry.model_fields)
    assert require_slot(home, "shop", challenger=2, artifact_sha256="any") is None
    _look(home, 2, 2, make_rows(5, start=5))
    _open(home, 3)
    assert all_looks(home, "shop")[0] == old
    assert ledger_problems(home, "shop") == []
    assert uses_of(home, "shop", 2)[0].row_ids_sha256 == old.row_ids_sha256


def test_every_use_of_rows_is_found(home: Home, make_rows: MakeRows) -> None:
    _open(home, 2)
    rows = make_rows(5)
    _look(home, 2, 1, rows)
    weighed: dict[str, Any] = {"challenger": 2, "decision": "drift-7", "actor": "test", "now": NOW}
    use = record_use(home, "shop", purpose="relevance", interaction_id=rows.interaction_id[1:4], **weighed)
    again = record_use(home, "shop", purpose="relevance", interaction_id=rows.interaction_id[1:4], **weighed)
    record_use(home, "shop", purpose="holdback", interaction_id=rows.interaction_id, **{**weighed, "challenger": 3})
    assert (use.n_rows, use.first_interaction_id, use.last_interaction_id) == (3, "row-000001", "row-000003")
    assert use.row_ids_sha256 == row_ids_sha256(np.array(["row-000001", "row-000002", "row-000003"]))
    assert again == use
    assert [(u.purpose, u.n_rows) for u in uses_of(home, "shop", 2)] == [("look", 5), ("relevance", 3)]
    assert [u.purpose for u in uses_of(home, "shop")] == ["look", "relevance", "holdback"]
    assert uses_of(home, "shop", 2)[0].decision == "2-1"


def test_a_use_of_no_rows_is_one_too(home: Home) -> None:
    use = record_use(
        home,
        "shop",
        purpose="canary",
        challenger=2,
        decision="day-1",
        interaction_id=np.array([], np.str_),
        actor="test",
        now=NOW,
    )
    assert (use.n_rows, use.first_interaction_id) == (0, None)


def test_a_claim_and_its_margin_belong_together(home: Home) -> None:
    assert _open(home, 2, claim="refresh", margin=0.01).margin == 0.01
    for changes in ({"claim": "refresh"}, {"margin": 0.01}, {"claim": "refresh", "margin": 0.0}):
        with pytest.raises(UsageError, match="no slot for version 3"):
            _open(home, 3, **changes)


def test_promoted_refreshes_are_charged_once_at_their_look(home: Home, make_rows: MakeRows) -> None:
    _open(home, 2, claim="refresh", margin=0.01)
    _open(home, 3, claim="refresh", margin=0.005)
    _open(home, 4)
    _look(home, 2, 1, make_rows(5))
    assert loss_charges(home, "shop") == []
    for challenger, look, days in ((2, 2, 7), (2, 3, 14), (4, 1, 20)):
        rows = make_rows(5, start=10 * look)
        _look(home, challenger, look, rows, verdict="promote", now=NOW + timedelta(days=days))
    assert loss_charges(home, "shop") == [LossCharge(NOW + timedelta(days=7), 0.01)]


def _forge(home: Home, change: dict[str, Any]) -> None:
    """Append a copy of the last slot with other numbers and a valid seal: only its content can tell."""
    last = all_slots(home, "shop")[-1].model_dump(mode="json")
    fields = {name: v for name, v in last.items() if name not in ("index", "previous", "seal")}
    append_chain(home.ledger("shop"), lambda _: {**fields, **change})


def test_forged_slots_are_found(home: Home, make_rows: MakeRows) -> None:
    _open(home, 2)
    assert ledger_problems(home, "shop") == []
    honest = all_slots(home, "shop")[0].planned
    _forge(home, {"challenger": 3, "slot_number": 2, "planned": 0.05})
    _forge(home, {"challenger": 2, "slot_number": 3, "planned": honest})
    found = ledger_problems(home, "shop")
    assert len(found) == 2
    assert "ledger entry 2 of shop spends another alpha than its period allows" in found[0]
    assert "ledger entry 3 of shop is a second slot of version 2" in found[1]
    _forge(home, {"challenger": 5, "slot_number": 4})
    assert "ledger entry 4 of shop should not be there: no slot left" in ledger_problems(home, "shop")[2]


def test_a_look_without_a_slot_is_found_in_the_chain(home: Home, make_rows: MakeRows) -> None:
    _open(home, 2)
    look = _look(home, 2, 1, make_rows(5)).model_dump(mode="json")
    fields = {name: v for name, v in look.items() if name not in ("index", "previous", "seal")}
    append_chain(home.ledger("shop"), lambda _: {**fields, "challenger": 9})
    assert ledger_problems(home, "shop") == [
        "ledger entry 3 of shop is a look at version 9, for which no slot was opened before"
    ]
