from __future__ import annotations

from pathlib import Path

import pytest

from data_contracts.errors import ConfigurationError
from data_contracts.home import Home
from flows.alerts.doctor import boot_routes
from flows.champion import remember_task
from flows.context import open_context
from tests.tiny_task import write_task


def test_the_doctor_names_the_variables_that_are_missing(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert boot_routes(None).endswith("0 routes complete")
    task = write_task(tmp_path / "task")
    route = "{pagerduty: {routing_key_env: TINY_PAGER_KEY}, apprise: {urls_env: TINY_ROOMS}}"
    task.write_text(task.read_text().replace("alerts: {webhooks: []}", f"alerts: {route}"))
    remember_task(open_context(task, home=home, actor="ada"))
    with pytest.raises(ConfigurationError, match="TINY_PAGER_KEY, TINY_ROOMS"):
        boot_routes(home)
    monkeypatch.setenv("TINY_PAGER_KEY", "key")
    monkeypatch.setenv("TINY_ROOMS", "json://localhost/")
    assert boot_routes(home).endswith("1 routes complete")
