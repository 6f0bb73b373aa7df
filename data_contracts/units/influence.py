"""The section of a validation on influence: is the log in few hands, and do units push an action in concert?"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.checks import CheckResult, FactTable, Section
from data_contracts.sampling import sampling_weights
from data_contracts.units.concentration import Concentration, largest_top, measure_concentration
from data_contracts.units.coordination import (
    FALSE_ALARMS,
    FEWEST_ROWS,
    FEWEST_UNITS,
    MATERIAL,
    Push,
    find_pushes,
)
from data_contracts.units.influence_settings import InfluenceSettings
from data_contracts.units.unit_caps import cap_unit_weights, capped_share

TITLE: Final = "Influence of units"
SHOWN: Final = 10  # actions in the table of habits
WORDS: Final = {"up": "reward it highest", "down": "reward it lowest"}


def influence_section(rows: pa.Table, *, actions: tuple[str, ...], settings: InfluenceSettings) -> Section:
    """Checks `concentration` and `coordination` on the accepted `rows` (n,), with the tables people read.

    Concentration is of the weight as logged, before any cap: more than `alarm_share` of it in the top 1 % of units
    fails. Coordination (`find_pushes`) reads rows with a known reward. Where every row is its own unit, neither can be
    judged, and a note says so. `rows` has the columns of interaction_schema; `reward` is null where not yet known.
    """
    if not rows.num_rows:
        return Section("influence", TITLE, (), notes=("No rows: nothing to judge.",))
    unit = _codes(rows["unit_id"])
    weight = sampling_weights(rows)
    found = measure_concentration(weight, unit)
    pushes = _pushes(rows, unit, actions)
    return Section(
        "influence",
        TITLE,
        checks=(_concentration(found, settings, n_rows=rows.num_rows), _coordination(pushes, actions, settings, rows)),
        tables=(_shares(found, weight, unit, settings), *_habits(pushes, actions)),
        notes=_notes(found, pushes, rows),
    )


def _pushes(rows: pa.Table, unit: NDArray[np.int64], actions: tuple[str, ...]) -> tuple[Push, ...]:
    action = pc.fill_null(pc.index_in(rows["action"], pa.array(actions, pa.string())), -1).to_numpy().astype(np.int64)
    reward = rows["reward"].cast(pa.float64()).to_numpy()  # nulls become NaN
    used = np.flatnonzero(np.isfinite(reward) & (action >= 0))
    used = used[np.argsort(rows["occurred_at"].to_numpy()[used], kind="stable")]
    return find_pushes(unit[used], action[used], reward[used], n_actions=len(actions))


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """(n,) a code for each text, from 0."""
    return np.asarray(column.combine_chunks().dictionary_encode().indices.to_numpy(), np.int64)


def _concentration(found: Concentration, settings: InfluenceSettings, *, n_rows: int) -> CheckResult:
    limit = largest_top(found, alarm_share=settings.alarm_share)
    return CheckResult(
        rule="concentration",
        column="unit_id",
        level=settings.severity,
        passed=found.top <= limit,
        observed=f"{found.top:.1%} of the weight in {found.n_top:,} of {found.n_units:,} units",
        limit=f"at most {min(limit, 1.0):.0%} in the top 1 % of units (one, where they are fewer than 100)",
        n_rows=n_rows,
        description="The log is not in few hands: the top 1 % of units do not carry too much of its weight.",
    )


def _coordination(
    pushes: tuple[Push, ...], actions: tuple[str, ...], settings: InfluenceSettings, rows: pa.Table
) -> CheckResult:
    alarming = sorted((push for push in pushes if push.alarming), key=lambda push: -push.habits.log_ratio)
    worst = {(push.action, push.direction): push for push in alarming[::-1]}  # of several borders the clearest
    observed = "; ".join(_in_words(push, actions) for push in [*worst.values()][::-1][:3])
    if not pushes:
        observed = f"not judged: no action has {FEWEST_UNITS} units with {FEWEST_ROWS} rows or more"
    return CheckResult(
        rule="coordination",
        column="reward",
        level=settings.severity,
        passed=not alarming,
        observed=observed or f"none among {len({push.action for push in pushes})} actions",
        limit=f"below {MATERIAL:.0%} of units beyond tastes, at a false-alarm rate of {FALSE_ALARMS:.1%}",
        n_rows=rows.num_rows,
        description="No group of units always gives one action the same extreme reward.",
    )


def _in_words(push: Push, actions: tuple[str, ...]) -> str:
    return (
        f"{push.habits.always:.1%} of {push.n_units:,} units on action {actions[push.action]} always "
        f"{WORDS[push.direction]} ({push.expected:.1%} expected)"
    )


def _shares(
    found: Concentration, weight: NDArray[np.float64], unit: NDArray[np.int64], settings: InfluenceSettings
) -> FactTable:
    """As logged, and within the limits that training keeps."""
    share = settings.max_weight_share_per_unit
    capped = measure_concentration(cap_unit_weights(weight, unit, share=share), unit)
    sizes = np.bincount(unit)
    n_over = 0 if settings.max_rows_per_unit is None else int((sizes - settings.max_rows_per_unit).clip(min=0).sum())
    return FactTable(
        title="Who the log consists of",
        columns=("", "as logged", "within the limits"),
        rows=(
            ("units", f"{found.n_units:,}", f"{capped.n_units:,}"),
            ("effective units", f"{found.effective_units:,.1f}", f"{capped.effective_units:,.1f}"),
            (f"weight of the top {found.n_top:,}", f"{found.top:.2%}", f"{capped.top:.2%}"),
            ("weight of the largest unit", f"{found.largest:.2%}", f"{capped.largest:.2%}"),
            (
                "limit of one unit's weight",
                "",
                f"{capped_share(found.n_units, share):.2%}",
            ),
            ("rows beyond the limit of a unit", "", f"{n_over:,}"),
        ),
    )


def _habits(pushes: tuple[Push, ...], actions: tuple[str, ...]) -> tuple[FactTable, ...]:
    worst = sorted(pushes, key=lambda push: (-push.habits.log_ratio, push.action))[:SHOWN]
    table = FactTable(
        title="Units that always answer alike, action by action",
        columns=("action", "always rewarded", "units", "share", "expected", "chance if honest"),
        rows=tuple(
            (
                actions[push.action],
                f"{push.border:g} or {'more' if push.direction == 'up' else 'less'}",
                f"{push.n_units:,}",
                f"{push.habits.always:.1%}",
                f"{push.expected:.1%}",
                f"{push.p_value:.2g}",
            )
            for push in worst
        ),
    )
    return (table,) if worst else ()


def _notes(found: Concentration, pushes: tuple[Push, ...], rows: pa.Table) -> tuple[str, ...]:
    if pc.all(pc.equal(rows["unit_id"], rows["interaction_id"])).as_py():
        return (
            "Units are not known: every row is its own unit. Rows of one person count as independent, no cap can bind, "
            "and a campaign cannot be told from honest rows. Log `unit_id`.",
        )
    notes = [f"One unit of fewer than 100 is {1 / found.n_units:.0%} of them."] if found.n_units < 100 else []
    if not pushes:
        notes.append(
            f"Coordination cannot be judged: no action has {FEWEST_UNITS} units with {FEWEST_ROWS} rows or more on it."
        )
    return tuple(notes)
