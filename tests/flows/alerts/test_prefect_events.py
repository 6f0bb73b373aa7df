"""Inside a flow that a server runs, incidents are events of Prefect too; a plain run emits nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data_contracts.home import Home
from flows.alerts.incidents import open_incidents
from flows.alerts.prefect_events import emit_incidents
from tests.flows.alerts.small_incidents import finding, report


def test_an_incident_is_an_event_only_under_a_server(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import prefect.events
    from prefect.context import FlowRunContext
    from prefect.settings import PREFECT_API_URL, temporary_settings

    emitted: list[dict[str, Any]] = []
    monkeypatch.setattr(prefect.events, "emit_event", lambda **event: emitted.append(event) or event)
    report(home, finding())
    incidents = open_incidents(home)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert emit_incidents(incidents, change="opened") == 0, "no flow runs"
        with FlowRunContext.model_construct():
            assert emit_incidents(incidents, change="opened") == 1
    with temporary_settings(restore_defaults={PREFECT_API_URL}), FlowRunContext.model_construct():
        assert emit_incidents(incidents, change="opened") == 0, "no server"
    [event] = emitted
    assert event["event"] == "sluice.incident.opened"
    assert event["resource"]["prefect.resource.id"] == "sluice.incident.prod.shop_log.shop.expected_weight.1"
    assert event["resource"]["sluice.urgency"] == "page"
    assert event["payload"]["observed"] == "0.33"


def test_a_plain_report_loads_neither_prefect_nor_a_client() -> None:
    program = """
import sys, tempfile
from pathlib import Path
from tests.flows.alerts.small_incidents import finding, report
from data_contracts.home import Home
from flows.alerts.incidents import open_incidents
from flows.alerts.prefect_events import emit_incidents
home = Home(Path(tempfile.mkdtemp()))
report(home, finding())
assert emit_incidents(open_incidents(home), change="opened") == 0
assert not {"prefect", "apprise", "pagerduty", "httpx"} & sys.modules.keys()
"""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
