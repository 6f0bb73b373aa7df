"""What happened shortly before a drift began: candidates for a person to look at, never proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

WEEK: Final = timedelta(days=7)
DAY: Final = timedelta(days=1)  # the first cell of a drift is known to the day

CauseKind = Literal["own_promotion", "policy_version", "contract_version", "superseding_batch", "peer_promotion"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version of a task became its champion, by promotion or by rollback."""

    task: str
    version: int
    moment: datetime


@dataclass(frozen=True, slots=True)
class Superseded:
    """A batch replaced another one."""

    batch_id: str
    replaced: str
    moment: datetime


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that happened within a week before the drift began, or on its first day."""

    kind: CauseKind
    moment: datetime
    text: str


def possible_causes(
    since: datetime,
    *,
    task: str,
    promotions: Iterable[Promotion],
    policy_versions: Mapping[str, datetime],
    contract_versions: Mapping[str, datetime],
    superseded: Iterable[Superseded],
) -> tuple[Cause, ...]:
    """What happened in (since - 7 days, since + 1 day), the nearest to `since` first.

    Several live policies shape one another's data: a peer task that promotes changes what this task's units have
    seen, so every task's promotions count.

    Args:
        since: start of the drift's first UTC day, with a time zone.
        task: the task that drifted; promotions of others are peers'.
        policy_versions: first interaction of each policy version in the log.
        contract_versions: first ingest under each contract version.
    """
    found = [_promotion(p, task) for p in promotions]
    found += [
        Cause("policy_version", moment, f"policy version {version} appears in the log for the first time")
        for version, moment in _later(policy_versions)
    ]
    found += [
        Cause("contract_version", moment, f"rows are read by contract version {version} from here on")
        for version, moment in _later(contract_versions)
    ]
    found += [
        Cause("superseding_batch", s.moment, f"batch {s.batch_id} replaced batch {s.replaced}") for s in superseded
    ]
    near = [cause for cause in found if since - WEEK < cause.moment < since + DAY]
    return tuple(sorted(near, key=lambda cause: (abs(cause.moment - since), cause.kind, cause.text)))


def _promotion(promotion: Promotion, task: str) -> Cause:
    if promotion.task == task:
        text = f"version {promotion.version} became champion of this task"
        return Cause("own_promotion", promotion.moment, text)
    text = f"version {promotion.version} became champion of {promotion.task}, which may share units with this task"
    return Cause("peer_promotion", promotion.moment, text)


def _later(first_seen: Mapping[str, datetime]) -> list[tuple[str, datetime]]:
    """All but the earliest, with which the log begins."""
    begin = min(first_seen.values(), default=None)
    return [(name, moment) for name, moment in first_seen.items() if moment != begin]
