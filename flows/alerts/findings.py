"""What a check hands to the alerts: one thing that is wrong, in the words of the person who is called."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, field_validator

from flows.alerts.rules import RULES, RUNBOOK, Urgency


class Finding(BaseModel):
    """One thing that is wrong; `rule` is a key of RULES. Stored in the chain: it holds no unmasked row."""

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
    blocks: bool = False  # nothing is trained while it lasts
    rules: tuple[str, ...] = ()  # of a group: those that it stands for
    consequences: tuple[str, ...] = ()  # what else is broken because of it
    rows: tuple[dict[str, str], ...] = ()  # at most five, masked

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
        urgency: Urgency | None = None,
        effect: str | None = None,
        links: tuple[str, ...] = (),
        blocks: bool = False,
        rows: tuple[dict[str, str], ...] = (),
    ) -> Finding:
        """A finding with the runbook entry of its rule, and its urgency and effect unless others are given."""
        return cls(
            rule=rule,
            urgency=urgency or RULES[rule].urgency,
            summary=summary,
            observed=observed,
            limit=limit,
            scope=scope,
            effect=effect or RULES[rule].effect,
            owner=owner,
            runbook=f"{RUNBOOK}#{rule}",
            links=links,
            next_command=next_command,
            blocks=blocks,
            rows=rows,
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
    effect: str | None = None,
    next_command: str | None = None,
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
        effect=effect,
        next_command=next_command or f"sluice status {task}",
    )


def fresh_finding(
    newest: datetime | None,
    *,
    task: str,
    now: datetime,
    freshness_hours: float,
    owner: str,
    next_command: str,
    effect: str | None = None,
    urgency: Urgency | None = None,
) -> Finding | None:
    """The finding when the newest logged decision is older than the contract's SLA allows, else None.

    A task without any row has nothing that could be late.
    """
    if newest is None:
        return None
    hours = (now - newest).total_seconds() / 3600
    if hours <= freshness_hours:
        return None
    return Finding.of_rule(
        "freshness",
        summary=f"{task} has logged no decision for {hours:.0f} hours: it stopped, or nobody sees what it does",
        observed=f"{hours:.1f} hours, the newest at {newest.isoformat()}",
        limit=f"{freshness_hours:g} hours",
        scope=f"the log of {task}",
        owner=owner,
        effect=effect,
        urgency=urgency,
        next_command=next_command,
    )


def refused_in_a_row(verdicts: list[str]) -> int:
    """How many of the newest verdicts (oldest first) are refusals without another one between."""
    n = 0
    for verdict in reversed(verdicts):
        if verdict != "refuse":
            break
        n += 1
    return n
