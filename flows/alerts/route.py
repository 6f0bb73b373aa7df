"""Where a task's incidents go, and how often they are said again: part of the task file."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PagerDutyRoute(_Strict):
    """Events API v2. The routing key is a secret: the file names the environment variable that holds it."""

    routing_key_env: VariableName
    url: str | None = Field(None, description="base URL of the Events API; default: PagerDuty's own, in the US")


class AlertmanagerRoute(_Strict):
    """API v2; every member of a cluster is told. An alert ends on its own when nothing repeats it for `hold`."""

    urls: tuple[str, ...] = Field(min_length=1)
    hold: timedelta = Field(timedelta(days=2), gt=timedelta(0))


class AppriseRoute(_Strict):
    """Slack, e-mail, Teams and whatever else Apprise reaches. Its URLs hold tokens: the file names the environment
    variable that holds them, apart by spaces or commas."""

    urls_env: VariableName


class Repeat(_Strict):
    """After how long an open incident is said again, by its urgency; an acknowledged page as a ticket is, an
    acknowledged ticket not at all."""

    page: timedelta = Field(timedelta(hours=1), gt=timedelta(0))
    ticket: timedelta = Field(timedelta(days=1), gt=timedelta(0))


class AlertRoute(_Strict):
    """Where incidents go, beside the log on disk and stderr."""

    webhooks: tuple[str, ...] = ()
    pagerduty: PagerDutyRoute | None = None
    alertmanager: AlertmanagerRoute | None = None
    apprise: AppriseRoute | None = None
    repeat: Repeat = Repeat()
    resolve_after: int = Field(1, ge=1, description="checks in a row that must pass before an incident is over")
    refusals: int = Field(3, ge=1, description="so many challengers in a row that cannot be evaluated are an incident")
    quarantined_share: float = Field(0.5, gt=0, le=1, description="share of a delivery's lines that may be rejected")
