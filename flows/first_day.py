"""A report-only run: no policy is trained, the verdict is `refuse`, and the report says what the log lacks."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.checks import FactTable, Section
from data_contracts.draws import draw
from data_contracts.errors import DegenerateData
from data_contracts.rewards.reward_settings import reward_bounds
from data_contracts.row_source import Rows, StoredRows
from flows.context import Context
from flows.records import Step
from policies.encoding import encode, fit_encoding
from policies.first_day import FIELDS, FirstDay, first_day, reward_facts
from policies.propensity_estimates import MOST_ROWS, EstimatedPropensities, estimate_propensities

MICROSECONDS_A_DAY: Final = 86_400_000_000
NEEDED: Final = ("action", "occurred_at", "reward")


class FirstDayFound(Step):
    """What a report-only run ends with."""

    verdict: Literal["refuse"] = "refuse"
    reasons: list[str]
    first_day: dict[str, Any]
    lines: tuple[str, ...] = ()  # the same for a terminal
    estimated: tuple[dict[str, Any], ...] = ()  # by policy version: how it seems to have decided

    def section(self) -> dict[str, Any]:
        """The same as a section of the report's data health."""
        day = self.first_day
        lift = f"a lift of {day['minimum_lift']:.0%}"
        actions = tuple((action, f"{n:,}") for action, n in day["rows_per_action"].items())
        lacking = tuple((field, FIELDS[field]) for field in day["lacking"])
        tables = (
            FactTable("Rows per action", ("Action", "Rows"), actions),
            FactTable(f"Until {lift} would be seen", ("Exploring", "Rows", "Days"), tuple(map(_option, day["days"]))),
            FactTable("Add to the logging service", ("Field", "What for"), lacking),
            FactTable(
                "Rows per action", ("Action", "Rows"), tuple((a, f"{n:,}") for a, n in day["rows_per_action"].items())
            ),
            FactTable(f"Until {lift} would be seen", ("Exploring", "Rows", "Days"), tuple(map(_option, day["days"]))),
            FactTable(
                "Add to the logging service", ("Field", "What for"), tuple((f, FIELDS[f]) for f in day["lacking"])
            ),
            FactTable(
                "How each version seems to decide (estimated; never used by the gate)",
                ("Version", "Rows", "Exploration", "Calibration error"),
                tuple(map(_version, self.estimated)),
            ),
        )
        return asdict(Section("first_day", "What the log can tell so far", (), tables))


def _option(option: dict[str, Any]) -> tuple[str, ...]:
    rows, days = option["rows"], option["days"]
    return (f"{option['rate']:.0%}", "never" if rows is None else f"{rows:,}", "–" if days is None else f"{days:.3g}")


def _version(found: dict[str, Any]) -> tuple[str, ...]:
    numbers = (found["exploration"], found["calibration_error"])
    return (found["policy_version"], f"{found['n']:,}", *(f"{number:.3g}" for number in numbers))


def report_first_day(context: Context, *, as_of: datetime) -> FirstDayFound:
    """The step of a run whose task says `report_only: true`."""
    rows = StoredRows(context.home, context.name, context.contract, context.task.reward, as_of)
    day = first_day_of(context, rows)
    estimated = tuple(asdict(found) for found in estimated_versions(context, rows))
    lines = tuple(day.text().splitlines()[1:])  # the first is the reason
    return FirstDayFound(reasons=[day.reason], first_day=day.to_json(), lines=lines, estimated=estimated)


def first_day_of(context: Context, rows: Rows) -> FirstDay:
    """Count all rows of the task, in chunks."""
    actions: Counter[str] = Counter()
    n_rewards, total, squares = 0, 0.0, 0.0
    present: set[str] = set()
    moments: list[int] = []
    columns = [name for name in dict.fromkeys((*NEEDED, *FIELDS)) if name in rows.schema.names]
    for chunk in rows.chunks(columns):
        for entry in pc.value_counts(chunk["action"].drop_null()).to_pylist():
            actions[entry["values"]] += entry["counts"]
        rewards = chunk["reward"].drop_null().to_numpy()
        n_rewards, total = n_rewards + len(rewards), total + float(rewards.sum())
        squares += float((rewards**2).sum())
        present |= {name for name in columns if chunk[name].null_count < chunk.num_rows}
        if chunk.num_rows:
            moments += pc.min_max(chunk["occurred_at"].cast(pa.int64())).as_py().values()
    low, high = reward_bounds(context.contract, context.task.reward)
    return first_day(
        rows_per_action=actions,
        actions=context.actions,
        n_days=(max(moments) - min(moments)) / MICROSECONDS_A_DAY if moments else 0.0,
        reward=reward_facts(n=n_rewards, total=total, squares=squares, minimum=low, maximum=high),
        present=present,
        settings=context.task.gate,
    )


def estimated_versions(context: Context, rows: Rows) -> list[EstimatedPropensities]:
    """How every policy version seems to have decided, from a sample of the log; versions of one action are left out."""
    columns = ["interaction_id", "action", "policy_version", *(c.name for c in context.contract.observation)]
    sample: pa.Table | None = None
    for chunk in rows.chunks(columns):
        sample = draw(chunk, limit=MOST_ROWS, before=sample)
    if sample is None or not sample.num_rows:
        return []
    versions = sorted(v for v in pc.unique(sample["policy_version"]).to_pylist() if v is not None)
    found = [_estimate(context, sample.filter(pc.equal(sample["policy_version"], v)), v) for v in versions]
    return [estimated for estimated in found if estimated is not None]


def _estimate(context: Context, rows: pa.Table, version: str) -> EstimatedPropensities | None:
    action = pc.fill_null(pc.index_in(rows["action"], pa.array(context.actions)), -1).to_numpy()
    declared = rows.filter(pa.array(action >= 0))
    try:
        features = encode(fit_encoding(declared, columns=context.contract.observation), declared)
        return estimate_propensities(
            features.astype(np.float64),
            action[action >= 0].astype(np.int64),
            actions=context.actions,
            policy_version=version,
        )
    except DegenerateData:
        return None  # nothing to learn from; the report does without
