"""One incident per root cause: what another break explains is told with it, and many rules at once are one incident."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from flows.alerts.findings import Finding
from flows.alerts.incident import Incident
from flows.alerts.rules import GROUP, GROUPED, RULES, RUNBOOK, Urgency, explains

MOST_APART: Final = 5  # rules of one contract that have incidents of their own; more of them are one


@dataclass(frozen=True, slots=True)
class Causes:
    """`roots` may open incidents; `explained` only keep open those that their rules have already."""

    roots: tuple[Finding, ...]
    explained: tuple[Finding, ...]


def find_causes(findings: Sequence[Finding]) -> Causes:
    """Split findings of one check into root causes and what these explain; a cause is as urgent as what it explains."""
    explained = [f for f in findings if any(_explains(other, f) for other in findings)]
    roots = [_with_consequences(f, findings) for f in findings if f not in explained]
    return Causes(tuple(roots), tuple(explained))


def assign(roots: Sequence[Finding], open_incidents: Sequence[Incident]) -> tuple[Finding, ...]:
    """The findings that have, or get, an incident each, given those of the same contract that are open.

    A rule with an open incident keeps it. When more than five rules of the contract are broken, those that have none
    become one finding of rule GROUP. An open group takes in every further rule of the contract until none of its own is
    broken, so that a group that shrinks or grows stays one incident; only a page never joins a group of tickets.
    """
    own = {incident.rule for incident in open_incidents if not incident.is_group}
    group = next((incident for incident in open_incidents if incident.is_group), None)
    broken = [f for f in roots if RULES[f.rule].family in GROUPED]
    new = [f for f in broken if f.rule not in own]
    members = new if len(broken) > MOST_APART else []
    if group is not None:
        members = [f for f in new if group.urgency == "page" or f.urgency == "ticket"]
    apart = tuple(f for f in roots if f not in members)
    return (*apart, group_finding(members)) if members else apart


def group_finding(members: Sequence[Finding]) -> Finding:
    """One finding for the rules of `members` (at least one), the most urgent first."""
    ordered = sorted(members, key=lambda f: f.urgency != "page")
    first, names = ordered[0], [f.rule for f in ordered]
    return first.model_copy(
        update={
            "rule": GROUP,
            "urgency": _worst(f.urgency for f in members),
            "summary": f"{len(names)} rule{'s' if len(names) > 1 else ''} of the contract broken: {', '.join(names)}",
            "observed": "; ".join(f"{f.rule}: {f.observed}" for f in ordered),
            "limit": "; ".join(f"{f.rule}: {f.limit}" for f in ordered),
            "runbook": f"{RUNBOOK}#{GROUP}",
            "links": tuple(dict.fromkeys(link for f in ordered for link in f.links)),
            "blocks": any(f.blocks for f in members),
            "rules": tuple(names),
            "consequences": tuple(text for f in ordered for text in f.consequences),
            "rows": next((f.rows for f in ordered if f.rows), ()),
        }
    )


def _explains(cause: Finding, finding: Finding) -> bool:
    return explains(cause.rule, finding.rule, blocks=cause.blocks)


def _with_consequences(root: Finding, findings: Sequence[Finding]) -> Finding:
    mine = [f for f in findings if _explains(root, f)]
    if not mine:
        return root
    texts = tuple(f"{f.rule}: {f.observed}, expected {f.limit}" for f in mine)
    worst = _worst([root.urgency, *(f.urgency for f in mine)])
    return root.model_copy(
        update={"consequences": texts, "urgency": worst, "blocks": any(f.blocks for f in (root, *mine))}
    )


def _worst(urgencies: Iterable[Urgency]) -> Urgency:
    return "page" if "page" in urgencies else "ticket"
