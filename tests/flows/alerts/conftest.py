from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_contracts.home import Home
from tests.flows.alerts.receivers import Receiver, listening


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)
