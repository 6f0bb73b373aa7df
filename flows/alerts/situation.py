"""What every finding of one check says alike: whom to call, what keeps working, what to type, where to look."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from data_contracts.errors import SluiceError
from flows.alerts.findings import Finding
from flows.alerts.masking import mask_text
from flows.alerts.rules import RULES, RUNBOOK, Urgency
from flows.context import Context
from flows.tasks import SHIPPED
from policies.registry import aliases, read_version, resting_version


@dataclass(frozen=True, slots=True)
class Situation:
    """Words for the findings of one task at one moment."""

    task: str
    argument: str  # TASK, as the command line takes it
    owner: str
    champion: str  # e.g. "champion version 12 keeps serving, its data is 31 h old"
    links: tuple[str, ...]

    def finding(
        self,
        rule: str,
        summary: str,
        *,
        observed: str,
        limit: str,
        scope: str = "",
        urgency: Urgency | None = None,
        blocks: bool = False,
        rows: tuple[dict[str, str], ...] = (),
    ) -> Finding:
        """A finding in this situation; texts that may hold values of the log are masked."""
        return Finding.of_rule(
            rule,
            summary=mask_text(summary),
            observed=mask_text(observed),
            limit=mask_text(limit),
            scope=scope or f"task {self.task}",
            owner=self.owner,
            next_command=self.command(rule),
            urgency=urgency,
            effect=self.effect(rule, blocks=blocks),
            links=self.links,
            blocks=blocks,
            rows=rows,
        )

    def command(self, rule: str) -> str:
        return RULES[rule].command.format(task=self.argument)

    def effect(self, rule: str, *, blocks: bool) -> str:
        waits = " Nothing is trained on these data." if blocks else ""
        return f"{RULES[rule].effect}{waits} The {self.champion}."


def situation_of(context: Context, *, now: datetime, links: tuple[str | None, ...] = ()) -> Situation:
    """`links` to files that are there, beside the contract's own runbook."""
    own = context.contract.runbook
    there = (*(link for link in links if link is not None), *([own] if own not in ("", RUNBOOK) else []))
    return Situation(
        task=context.name,
        argument=_argument(context),
        owner=f"{context.contract.owner}, {context.contract.support}",
        champion=_champion(context, now),
        links=there,
    )


def report_link(folder: Path) -> str | None:
    """The Reward Report of a run, if it was written."""
    path = folder / "report.html"
    return str(path) if path.exists() else None


def _argument(context: Context) -> str:
    """A shipped task by its name, any other by the path of its file."""
    file = context.task.file
    return context.name if file.parent == SHIPPED else shlex.quote(str(file))


def _champion(context: Context, now: datetime) -> str:
    try:
        version = aliases(context.home, context.name)["champion"]
        if version is None:
            return "declared champion keeps serving"
        rest = resting_version(context.home, context.name, version)
        until = read_version(context.home, context.name, rest).trained_until
    except SluiceError as error:  # an alert about a damaged store must not fail on it
        return f"champion cannot be read ({type(error).__name__})"
    age = f", its data is {(now - until).total_seconds() / 3600:.0f} h old" if until is not None else ", as declared"
    return f"champion version {version} keeps serving{age}"
