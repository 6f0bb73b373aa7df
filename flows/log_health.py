"""Sections `propensities` and `feedback_loop` of a validation, from one pass over the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa

from data_contracts.checks import Section
from data_contracts.draws import draw
from data_contracts.feedback import feedback_tally
from data_contracts.feedback.feedback_loop import Certainty, feedback_section
from data_contracts.feedback.feedback_tally import CERTAIN, FeedbackTally
from data_contracts.propensities import propensity_tally, serving_skew
from data_contracts.propensities.live_versions import LiveVersions, live_versions_check
from data_contracts.propensities.propensity_section import TITLE, propensity_section
from data_contracts.propensities.propensity_sources import fill_propensities
from data_contracts.propensities.propensity_tally import PropensityTally
from data_contracts.propensities.serving_skew import ServedSample
from data_contracts.row_source import Rows
from flows.behavior import propensity_sources
from flows.context import Context
from flows.serving_skew import empty_live_versions, empty_sample, judge_sample
from flows.versions import policy_of
from policies.history import read_state
from policies.registry import list_versions
from policies.staged import complete_probabilities

CHUNK_ROWS: Final = 200_000
N_OBSERVED: Final = 20_000  # rows on which the champion is asked whether it explores
COLUMNS: Final = (
    *serving_skew.NEEDED,
    *feedback_tally.COLUMNS,
    *propensity_tally.OPTIONAL,
    "arm",
    "unit_id",  # versions drawn by unit are evaluated by it
)


@dataclass(frozen=True, slots=True, repr=False)
class _Counted:
    """All that both sections need, of the rows so far."""

    propensities: PropensityTally
    feedback: FeedbackTally
    served: ServedSample
    live: LiveVersions
    observed: pa.Table | None


def log_health(context: Context, rows: Rows, *, as_of: datetime) -> tuple[Section, ...]:
    """Propensity health with serving skew, and the feedback loop, of all `rows`.

    Memory does not grow with the rows where they come in chunks. Rows without the columns that the schema promises
    are not judged: the contract's check `schema` blocks them.
    """
    segments = tuple(c.name for c in context.contract.columns if "segment" in c.roles)
    observation = tuple(c.name for c in context.contract.observation)
    wanted = dict.fromkeys((*COLUMNS, *segments, *observation))
    missing = {*wanted} - {*rows.schema.names} - {*propensity_tally.OPTIONAL, "arm", "unit_id"}
    if missing:
        names = ", ".join(sorted(missing))
        return (Section("propensities", TITLE, (), (), (f"Not judged: the rows have no column {names}.",)),)
    counted = _count(context, rows, [name for name in wanted if name in rows.schema.names], segments, as_of)
    return (_propensities(context, counted), _feedback(context, counted))


def _count(context: Context, rows: Rows, columns: list[str], segments: tuple[str, ...], as_of: datetime) -> _Counted:
    sources = propensity_sources(context)
    counted = _Counted(
        PropensityTally.empty(context.actions),
        FeedbackTally.empty(segments),
        empty_sample(context),
        empty_live_versions(context, as_of=as_of),
        None,
    )
    for chunk in _pieces(rows, columns):
        filled = fill_propensities(chunk, sources=sources, actions=context.actions)
        counted = _Counted(
            counted.propensities.add(filled.table, distribution=filled.distribution),
            counted.feedback.add(filled.table),
            counted.served.add(chunk),
            counted.live.add(chunk),
            draw(chunk, limit=N_OBSERVED, before=counted.observed),
        )
    return counted


def _pieces(rows: Rows, columns: list[str]) -> Iterator[pa.Table]:
    for chunk in rows.chunks(columns):
        for start in range(0, chunk.num_rows, CHUNK_ROWS):
            yield chunk.slice(start, CHUNK_ROWS)


def _propensities(context: Context, counted: _Counted) -> Section:
    skew, tables = judge_sample(context, counted.served)
    return propensity_section(
        counted.propensities,
        contract=context.contract,
        settings=context.task.propensities,
        served=(*skew, live_versions_check(counted.live)),
        tables=tables,
    )


def _feedback(context: Context, counted: _Counted) -> Section:
    state = read_state(context.home, context.name)
    return feedback_section(
        counted.feedback,
        champion=None if state.champion is None else str(state.champion),
        lineage=_lineage(context, state.champions),
        actions=context.actions,
        settings=context.task.feedback,
        certainty=_certainty(context, state.champion, counted.observed),
    )


def _lineage(context: Context, champions: tuple[int, ...]) -> frozenset[str]:
    """Every champion so far and what it was trained on from, under all names that the log may use."""
    versions = list_versions(context.home, context.name)
    parents = {m.version: m.parent for m in versions}
    parts = [m.stage.challenger for m in versions if m.stage is not None and m.version in champions]
    line: set[int] = set()
    for version in (*champions, *parts):
        ancestor: int | None = version
        while ancestor is not None and ancestor not in line:
            line.add(ancestor)
            ancestor = parents.get(ancestor)
    named = {name for name, policy in context.task.behavior_policies.items() if policy.version in line}
    return frozenset({*map(str, line), *named})


def _certainty(context: Context, champion: int | None, observed: pa.Table | None) -> Certainty | None:
    """The champion on a sample of the log's observations."""
    if champion is None or observed is None or not observed.num_rows:
        return None
    policy = policy_of(context, champion)
    likeliest = complete_probabilities(policy, observed).max(axis=1)
    return Certainty(n=int(np.isfinite(likeliest).sum()), n_certain=int((likeliest >= CERTAIN).sum()))
