"""What was served against what is registered: recomputed propensities, and whether it is the champion who decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.checks import CheckResult, FactTable
from data_contracts.propensities.live_versions import LiveVersions, tenures
from data_contracts.propensities.propensity_sources import PropensitySource
from data_contracts.propensities.serving_skew import ServedSample, skew_check
from flows.behavior import behavior_policies, propensity_sources
from flows.context import Context
from policies.history import history


def empty_sample(context: Context) -> ServedSample:
    """To be filled with the rows of every version that can be evaluated without the log."""
    return ServedSample.empty(frozenset(propensity_sources(context)), limit=context.task.serving.sample)


def judge_sample(context: Context, sample: ServedSample) -> tuple[tuple[CheckResult, ...], tuple[FactTable, ...]]:
    """One check `serving_skew` per version in the sample, and the rows that differ most."""
    results = [
        skew_check(
            sample.rows[version],
            _recomputed(context.actions, source, sample.rows[version]),
            version=version,
            n_rows=sample.n_rows[version],
            tolerance=context.task.gate.propensity_tolerance,
        )
        for version, source in sorted(propensity_sources(context).items())
        if version in sample.rows
    ]
    return tuple(check for check, _ in results), tuple(table for _, table in results if table is not None)


def empty_live_versions(context: Context, *, as_of: datetime) -> LiveVersions:
    """To be filled with all rows.

    A declared policy that is no version of the registry decides beside the champion by declaration; one that names a
    version is expected while that version is champion.
    """
    names = {name: policy.version for name, policy in behavior_policies(context).items()}
    moves = [(str(m.version), m.at) for m in history(context.home, context.name) if m.alias == "champion"]
    return LiveVersions(
        tenures=tuple(
            replace(tenure, version=name)
            for tenure in tenures(moves)
            for name, version in names.items()
            if str(version) == tenure.version
        ),
        elsewhere=frozenset(name for name, version in names.items() if version is None),
        settings=context.task.serving,
        as_of=as_of,
    )


def _recomputed(actions: tuple[str, ...], source: PropensitySource, rows: pa.Table) -> NDArray[np.float64]:
    """(n,) probability that the source gives to each logged action; NaN where it does not know."""
    distribution = source.distribution(rows)
    action = pc.fill_null(pc.index_in(rows["action"], pa.array(actions)), -1).to_numpy()
    return np.where(action >= 0, distribution[np.arange(rows.num_rows), action], np.nan)
