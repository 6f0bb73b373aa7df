"""Feedback loop: a deployed policy writes its own next training set; does that set still hold alternatives?

Exploration is the mean of 1 - propensity of the logged action. Its expectation is 1 - sum_a p_a^2, the chance that a
second decision on the same observation takes another action, whatever the policy; so the logged propensity is enough.
Everything here warns: a loop that closes costs future evidence, and makes no decision of today wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from data_contracts.checks import CheckResult, Section
from data_contracts.feedback.feedback_parts import Part, by_version, by_week, version_table, week_table
from data_contracts.feedback.feedback_settings import FeedbackSettings
from data_contracts.feedback.feedback_tally import CERTAIN, FeedbackTally
from data_contracts.feedback.segment_coverage import coverage_checks

ERRORS: Final = 3.0  # standard errors of doubt in favor of the log


@dataclass(frozen=True, slots=True)
class Certainty:
    """The champion's own distribution on n observations of the log: on `n_certain` it never explores."""

    n: int
    n_certain: int


def feedback_section(
    tally: FeedbackTally,
    *,
    champion: str | None,
    lineage: frozenset[str],
    actions: tuple[str, ...],
    settings: FeedbackSettings,
    certainty: Certainty | None = None,
) -> Section:
    """Judge the loop.

    Args:
        tally: all rows of the training set to date.
        champion: the version that decides now.
        lineage: the champion, the champions before it and what they were trained on from.
        actions: the declared actions.
        certainty: the champion evaluated on logged observations; without it the champion's own rows stand in.
    """
    weeks, versions = by_week(tally.decisions), by_version(tally.decisions)
    judged = [part for _, part in sorted(weeks.items()) if part.n >= settings.min_rows]
    checks = [
        *_own_data(versions, lineage, settings),
        *_exploration(judged, settings),
        *_concentration(judged, settings),
        *_unexplored(versions.get(champion) if champion else None, certainty, champion, settings),
    ]
    coverage, tables = coverage_checks(
        tally.levels, min_rows=settings.min_segment_rows, max_uncovered=settings.max_uncovered
    )
    return Section(
        name="feedback_loop",
        title="Feedback loop",
        checks=(*checks, *coverage),
        tables=(version_table(versions, lineage), week_table(weeks, len(actions)), *tables),
        notes=_notes(judged, settings),
    )


def _own_data(
    versions: Mapping[str | None, Part], lineage: frozenset[str], settings: FeedbackSettings
) -> list[CheckResult]:
    total = sum(part.n for part in versions.values())
    own = [part for name, part in versions.items() if name in lineage]
    if not total:
        return []
    n_own = sum(part.n for part in own)
    known = [(part.n, part.exploration) for part in own if part.exploration is not None]
    explored = sum(n * e for n, e in known) / sum(n for n, _ in known) if known else 0.0
    return [
        _check(
            "own_data_share",
            passed=n_own <= settings.max_own_share * total or explored >= settings.min_exploration,
            observed=f"{n_own / total:.1%} of the rows{f', exploring {explored:.2%}' if known else ''}",
            limit=f"at most {settings.max_own_share:.0%}, unless they explore {settings.min_exploration:.1%}",
            n_rows=total,
            description="the champion's line did not write its own training set without alternatives",
        )
    ]


def _exploration(weeks: Sequence[Part], settings: FeedbackSettings) -> list[CheckResult]:
    known = [(part.exploration, part.error, part.n) for part in weeks if part.exploration is not None]
    if not known:
        return []
    now, error, n = known[-1]
    past = [exploration for exploration, _, _ in known[:-1]]
    usual = float(np.median(past)) if past else None
    limit = max(settings.min_exploration, settings.exploration_drop * (usual or 0.0))
    before = f", {usual:.2%} in the weeks before" if usual is not None else ""
    return [
        _check(
            "exploration",
            passed=now + ERRORS * error >= limit,
            observed=f"{now:.2%} in the newest week{before}",
            limit=f"at least {limit:.2%}",
            n_rows=n,
            description="another action is tried now and then",
        )
    ]


def _concentration(weeks: Sequence[Part], settings: FeedbackSettings) -> list[CheckResult]:
    if not weeks:
        return []
    now, past = weeks[-1], [part.effective_actions for part in weeks[:-1]]
    usual = float(np.median(past)) if past else None
    fewest = settings.effective_actions_drop * (usual or 0.0)
    before = f", {usual:.3g} in the weeks before" if usual is not None else ""
    return [
        _check(
            "action_concentration",
            passed=now.effective_actions >= fewest and now.top <= settings.max_top_share,
            observed=f"{now.effective_actions:.3g} effective actions{before}; one action has {now.top:.1%}",
            limit=f"at least {fewest:.3g}, and one action at most {settings.max_top_share:.0%}",
            n_rows=now.n,
            description="decisions do not narrow down to a few actions",
        )
    ]


def _unexplored(
    own: Part | None, certainty: Certainty | None, champion: str | None, settings: FeedbackSettings
) -> list[CheckResult]:
    if certainty is not None and certainty.n:
        n, share, how = certainty.n, certainty.n_certain / certainty.n, "observations of the log"
    elif own is not None and own.certain is not None and own.n >= settings.min_rows:
        n, share, how = own.n, own.certain, "its own rows"
    else:
        return []
    return [
        _check(
            "unexplored_observations",
            passed=share <= settings.max_unexplored,
            observed=f"{share:.1%} of {n:,} {how} leave champion {champion} no second action",
            limit=f"at most {settings.max_unexplored:.0%}",
            n_rows=n,
            description=f"the champion keeps more than {1 - CERTAIN:.0%} for other actions",
        )
    ]


def _check(rule: str, *, passed: bool, observed: str, limit: str, n_rows: int, description: str) -> CheckResult:
    return CheckResult(rule, None, "warn", passed, observed, limit, n_rows, description)


def _notes(weeks: Sequence[Part], settings: FeedbackSettings) -> tuple[str, ...]:
    if not weeks:
        return (f"No week has {settings.min_rows:,} rows yet: exploration and concentration are not judged.",)
    if all(part.exploration is None for part in weeks):
        return ("Exploration is not known: no row has a propensity.",)
    return ()
