"""Whether the alert routes of the store's tasks could deliver, without sending anything."""

from __future__ import annotations

import warnings
from pathlib import Path

from data_contracts.errors import ConfigurationError
from data_contracts.home import Home
from flows.alerts.sinks.made import unset_variables
from flows.champion import known_tasks
from flows.tasks import load_task


def boot_routes(home: Home | None) -> str:
    """The clients import, and every variable that a route names is set. Raises ConfigurationError naming those that
    are not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # apprise 1.13.1 imports imghdr
        import apprise
        import pagerduty
    tasks = known_tasks(home) if home is not None else []
    missing = {str(file): unset for file in tasks if (unset := _unset(file))}
    if missing:
        named = "; ".join(f"{', '.join(unset)} ({file})" for file, unset in missing.items())
        raise ConfigurationError(
            f"unset environment variables of alert routes: expected a key or URLs in each, got none in {named}. "
            "Set them where runs and the monitor start; until then incidents wait in the outbox."
        )
    return f"pagerduty {pagerduty.__version__}, apprise {apprise.__version__}, {len(tasks)} routes complete"


def _unset(file: Path) -> tuple[str, ...]:
    return unset_variables(load_task(file)[0].alerts)
