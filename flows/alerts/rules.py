"""What may open an incident: one dict of rules, and the finding that a check hands in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

Urgency = Literal["page", "ticket"]  # page: a person must act now; ticket: in working hours

RUNBOOK = "infra/RUNBOOK.md"


@dataclass(frozen=True, slots=True)
class Rule:
    """`effect` says what stopped and what keeps working; the runbook has one entry per rule."""

    urgency: Urgency
    effect: str


RULES: dict[str, Rule] = {
    "contract": Rule("page", "Nothing was trained on this data; the champion keeps serving."),
    "drift": Rule("ticket", "The champion keeps serving; its evidence comes from a world that has moved."),
    "run_failed": Rule("ticket", "This run stopped; the champion keeps serving, and the next run takes over."),
    "stale": Rule("page", "No new policy can come; the champion keeps serving and ages."),
    "gate_refused": Rule("ticket", "The challenger cannot be evaluated and was not promoted; the champion serves."),
    "integrity": Rule("page", "Stored bytes do not match their hash; what they prove is open until they are restored."),
    "test": Rule("ticket", "Nothing is wrong; somebody tries whether alerts arrive."),
}


class Finding(BaseModel):
    """One thing that is wrong, in the words of the person who is called; `rule` is a key of RULES."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    urgency: Urgency
    summary: str
    observed: str
    limit: str
    scope: str  # which data, version or run
    effect: str
    owner: str  # whom to call
    runbook: str
    links: tuple[str, ...] = ()  # where to look
    next_command: str

    @classmethod
    def of_rule(
        cls,
        rule: str,
        *,
        summary: str,
        observed: str,
        limit: str,
        scope: str,
        owner: str,
        next_command: str,
        effect: str | None = None,
        links: tuple[str, ...] = (),
    ) -> Finding:
        """A finding with the urgency and the runbook entry of its rule, and its effect unless one is given."""
        return cls(
            rule=rule,
            urgency=RULES[rule].urgency,
            summary=summary,
            observed=observed,
            limit=limit,
            scope=scope,
            effect=effect or RULES[rule].effect,
            owner=owner,
            runbook=f"{RUNBOOK}#{rule}",
            links=links,
            next_command=next_command,
        )

    @field_validator("rule")
    @classmethod
    def _known(cls, rule: str) -> str:
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r}: expected one of {', '.join(RULES)}")
        return rule


def stale_finding(
    last_success: datetime | None,
    *,
    task: str,
    now: datetime,
    stale_after_hours: float,
    owner: str,
    known_since: datetime | None = None,
) -> Finding | None:
    """The finding when no run of the task has succeeded within its SLA, else None.

    A task that never succeeded counts from `known_since`; without both there is nothing to be late for.
    """
    since = last_success or known_since
    if since is None:
        return None
    hours = (now - since).total_seconds() / 3600
    if hours <= stale_after_hours:
        return None
    last = f"the last at {last_success.isoformat()}" if last_success else "none so far"
    return Finding.of_rule(
        "stale",
        summary=f"{task} has had no successful run for {hours:.0f} hours",
        observed=f"{hours:.1f} hours, {last}",
        limit=f"{stale_after_hours:g} hours",
        scope=f"runs of {task}",
        owner=owner,
        next_command=f"sluice status {task}",
    )
