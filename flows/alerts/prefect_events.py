"""The same news as events of Prefect, for its automations: only inside a flow that a server runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flows.alerts.incident import Incident


def emit_incidents(incidents: Sequence[Incident], *, change: str) -> int:
    """Emit `sluice.incident.CHANGE` for each incident; returns how many. A plain run emits none and loads nothing.

    Prefect sends them from a thread of its own, so a slow server delays no run.
    """
    if not incidents or not _under_a_server():
        return 0
    from prefect.events import emit_event

    sent = [
        emit_event(
            event=f"sluice.incident.{change}",
            resource={
                "prefect.resource.id": f"sluice.incident.{incident.incident_id}",
                "prefect.resource.name": incident.summary,
                "sluice.task": incident.task,
                "sluice.rule": incident.rule,
                "sluice.urgency": incident.urgency,
                "sluice.environment": incident.environment,
            },
            payload=incident.to_json(),
        )
        for incident in incidents
    ]
    return sum(event is not None for event in sent)


def _under_a_server() -> bool:
    """Whether this code runs in a flow or task run whose server has an address; asks without importing Prefect."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext, TaskRunContext
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value()) and bool(FlowRunContext.get() or TaskRunContext.get())
