"""The arms of a canary or a holdback, compared by unit from a snapshot: everything is computed anew, nothing kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.amendments.erased_folder import read_erased
from data_contracts.errors import UsageError
from data_contracts.rewards.outcomes import utc64
from data_contracts.rewards.reward_settings import reward_bounds
from data_contracts.snapshot import load_snapshot
from data_contracts.storage import canonical_json
from flows.behavior import behavior_policies
from flows.context import Context
from flows.stages import COMPARISON
from policies.gate.arms.after_promotion import HorizonFound
from policies.gate.arms.arm_looks import arm_looks_of
from policies.gate.arms.arm_schedule import look_of_units, looks_taken
from policies.gate.arms.arms import ArmsJudged, arms_plan, judge_arms
from policies.gate.arms.before_stage import BeforeStage, look_back, outcome_variance, predict_outcomes
from policies.gate.arms.stage_settings import ArmComparison
from policies.gate.arms.unit_outcomes import ArmRows, UnitOutcomes, outcome_bounds, unit_outcomes
from policies.registry import history, list_versions, read_version
from policies.stage import ByUnit, Canary, Holdback, challenger_units


@dataclass(frozen=True, slots=True)
class ArmsOfStage:
    """A staged version whose arms are compared, and since when."""

    version: int
    stage: ByUnit
    comparison: ArmComparison
    started_at: datetime
    first_at: datetime  # when any stage of this challenger began: before it nobody's past knows an arm


@dataclass(frozen=True, slots=True)
class Compared:
    """What the planned looks up to the snapshot's moment have shown."""

    found: tuple[HorizonFound, ...]
    numbers: dict[str, Any]  # by horizon in days; JSON-ready
    interaction_id: NDArray[np.str_]  # rows of the stage that were read

    @property
    def looks_taken(self) -> tuple[int, ...]:
        return tuple(h.looks_taken for h in self.found)


def arms_of(context: Context, version: int) -> ArmsOfStage:
    """Raises UsageError for a version whose units are not drawn, or that never served."""
    manifest = read_version(context.home, context.name, version)
    stage = manifest.stage
    moves = [m for m in history(context.home, context.name) if m.alias == "champion"]
    begun = [m.at for m in moves if m.version == version]
    if not isinstance(stage, Canary | Holdback) or not begun:
        raise UsageError(
            f"no arms in version {version} of {context.name}: expected a canary or a holdback that serves, got another."
        )
    return ArmsOfStage(
        version=version,
        stage=stage,
        comparison=ArmComparison.model_validate(manifest.settings[COMPARISON]),
        started_at=begun[0],
        first_at=min(m.at for m in moves if _serves(context, m.version, stage.challenger)),
    )


def compare_arms(context: Context, arms: ArmsOfStage, *, snapshot_id: str) -> Compared:
    """All planned looks up to the snapshot's moment at all horizons, from its rows; the same snapshot, the same answer.

    Rows of units whose time has not passed are not read. Caveat: rows are taken as logged; where a log was sampled
    down by reward, outcomes of units are those of the sample.
    """
    snapshot, table = load_snapshot(context.home, context.name, snapshot_id)
    as_of, bounds = utc64(snapshot.as_of), reward_bounds(context.contract, context.task.reward)
    rows, ids = _arm_rows(context, arms, table)
    past = table.filter(pc.less(table["occurred_at"], pa.scalar(arms.first_at, table["occurred_at"].type)))
    before = look_back(*_columns(past))
    n_planned = _expected_units(past, arms)
    found: list[HorizonFound] = []
    numbers: dict[str, Any] = {}
    last_read = np.datetime64(0, "us")
    for horizon in arms.comparison.horizons:
        taken, units, look = _looks(context, arms, rows, horizon=horizon, as_of=as_of)
        judged = _judge(arms, units, look, taken, before=before, horizon=horizon, bounds=bounds, n_planned=n_planned)
        found.append(_found(arms, horizon, taken, judged))
        numbers[str(horizon.days)] = None if judged is None else asdict(judged)
        if units.n:
            last_read = max(last_read, units.complete_at.max())
    return Compared(tuple(found), numbers, ids[rows.occurred_at < last_read])


def verify_arm_looks(context: Context) -> list[str]:
    """Problems in words: looks at arms whose numbers do not follow from their snapshot. One whose snapshot was erased
    in part, or is not in this store any more, cannot be recomputed and is passed over."""
    problems = []
    for manifest in list_versions(context.home, context.name):
        for look in arm_looks_of(context.home, context.name, manifest.version):
            folder = context.home.snapshots(context.name) / look.snapshot_id
            if not folder.is_dir() or read_erased(folder) is not None:
                continue
            compared = compare_arms(context, arms_of(context, look.version), snapshot_id=look.snapshot_id)
            if canonical_json(compared.numbers) != canonical_json(look.numbers):
                problems.append(
                    f"other numbers in look {look.index} at the arms of version {look.version} of {context.name}: "
                    f"expected those of snapshot {look.snapshot_id[:12]}, got others. Restore the store from a backup."
                )
    return problems


def _serves(context: Context, version: int, challenger: int) -> bool:
    stage = read_version(context.home, context.name, version).stage
    return stage is not None and stage.challenger == challenger


def _arm_rows(context: Context, arms: ArmsOfStage, table: pa.Table) -> tuple[ArmRows, NDArray[np.str_]]:
    """Rows that the stage decided since it began, under any name that the log may use for it, and their ids."""
    names = [name for name, policy in behavior_policies(context).items() if policy.version == arms.version]
    mine = table.filter(
        pc.and_(
            pc.is_in(table["policy_version"], pa.array(names, pa.string())),
            pc.greater_equal(table["occurred_at"], pa.scalar(arms.started_at, table["occurred_at"].type)),
        )
    )
    unit_id, occurred_at, reward = _columns(mine)
    rows = ArmRows(unit_id, challenger_units(arms.stage, unit_id), occurred_at, reward)
    return rows, np.asarray(mine["interaction_id"].to_pylist(), np.str_)


def _columns(table: pa.Table) -> tuple[NDArray[np.str_], NDArray[np.datetime64], NDArray[np.float64]]:
    return (
        np.asarray(table["unit_id"].to_pylist(), np.str_),
        table["occurred_at"].cast(pa.int64()).to_numpy().astype("datetime64[us]"),
        pc.fill_null(table["reward"], np.nan).to_numpy().astype(np.float64),
    )


def _expected_units(past: pa.Table, arms: ArmsOfStage) -> int:
    """Units that all looks together will read, if as many come as did in as long a time before the stage."""
    span = arms.comparison.look_every * arms.comparison.looks
    since = pa.scalar(arms.first_at.astimezone(UTC) - span, past["occurred_at"].type)
    n = pc.count_distinct(past.filter(pc.greater_equal(past["occurred_at"], since))["unit_id"]).as_py()
    return max(int(n), arms.comparison.min_units_per_look * arms.comparison.looks)


def _looks(
    context: Context, arms: ArmsOfStage, rows: ArmRows, *, horizon: timedelta, as_of: np.datetime64
) -> tuple[int, UnitOutcomes, NDArray[np.int64]]:
    """Planned looks taken by `as_of`, the units that they read, and which of them read each."""
    settings, window = arms.comparison, context.task.reward.longest_window
    started_at = utc64(arms.started_at)
    taken = looks_taken(
        as_of,
        started_at=started_at,
        horizon=horizon,
        attribution_window=window,
        every=settings.look_every,
        n_looks=settings.looks,
    )
    units = unit_outcomes(
        rows,
        horizon=horizon,
        attribution_window=window,
        as_of=as_of,
        kind=settings.outcome,
        max_rows=settings.max_rows_per_unit,
    )
    look = look_of_units(
        units.complete_at,
        started_at=started_at,
        horizon=horizon,
        attribution_window=window,
        every=settings.look_every,
    )
    return taken, units.select(look <= taken), look[look <= taken]


def _judge(
    arms: ArmsOfStage,
    units: UnitOutcomes,
    look: NDArray[np.int64],
    taken: int,
    *,
    before: BeforeStage | None,
    horizon: timedelta,
    bounds: tuple[float, float],
    n_planned: int,
) -> ArmsJudged | None:
    """None before the first look. The error of a regression is divided evenly among the horizons."""
    if not taken:
        return None
    settings, share = arms.comparison, arms.stage.challenger_share
    kind, max_rows, days = settings.outcome, settings.max_rows_per_unit, float(horizon.days)
    of_unit = outcome_bounds(bounds, kind=kind, max_rows=max_rows)
    variance = outcome_variance(before, kind=kind, horizon_days=days, max_rows=max_rows, bounds=of_unit)
    return judge_arms(
        units,
        predict_outcomes(before, units.unit_id, kind=kind, horizon_days=days, max_rows=max_rows),
        look=look,
        looks_taken=taken,
        share=share,
        plan=arms_plan(share=share, n_planned=n_planned, variance=variance, bounds=of_unit),
        alpha_harm=settings.alpha / len(settings.horizons_days),
        alpha_lift=settings.alpha,
        n_looks=settings.looks,
        min_units=settings.min_units_per_look,
    )


def _found(arms: ArmsOfStage, horizon: timedelta, taken: int, judged: ArmsJudged | None) -> HorizonFound:
    return HorizonFound(
        horizon_days=horizon.days,
        looks_taken=taken,
        n_looks=arms.comparison.looks,
        better=judged is not None and judged.better,
        worse=judged is not None and judged.worse,
        balanced=judged is None or judged.balance.passed,
        lift=0.0 if judged is None else judged.numbers.lift,
    )
