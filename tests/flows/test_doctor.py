"""`doctor` names the part that is broken (that every part boots is shown end to end)."""

from __future__ import annotations

import pytest

from flows import doctor


def test_a_broken_part_is_named_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise ImportError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor, "CHECKS", {"store": broken, "contracts": doctor.CHECKS["contracts"]})
    store, contracts = doctor.examine()
    assert (store.part, store.ok) == ("store", False)
    assert "libgomp" in store.detail
    assert contracts.ok
