"""The tables that people read beside the checks of propensity health."""

from __future__ import annotations

from typing import Final

import numpy as np

from data_contracts.checks import FactTable
from data_contracts.propensities.propensity_calibration import N_BINS, bin_name
from data_contracts.propensities.propensity_evidence import action_deviations
from data_contracts.propensities.propensity_health import WeightHealth
from data_contracts.propensities.propensity_tally import VersionPropensities

N_ACTIONS_SHOWN: Final = 5  # of each version


def versions_table(judged: list[tuple[VersionPropensities, WeightHealth | None]]) -> FactTable:
    columns = ("version", "rows", "propensities from", "missing", "least", "largest", "mean weight", "interval")
    return FactTable("Propensities by policy version", columns, tuple(_version_row(*pair) for pair in judged))


def _version_row(found: VersionPropensities, health: WeightHealth | None) -> tuple[str, ...]:
    sources = ", ".join(f"{name} ({n:,})" for name, n in found.sources.items()) or "nothing"
    start = (found.version, f"{found.n:,}", sources, f"{found.n_missing:,}")
    if health is None:
        return (*start, "-", "-", "-", "-")
    interval = f"{health.lower:.4g} to {health.upper:.4g}"
    return (*start, f"{found.least.min():.4g}", f"{found.largest.max():.4g}", f"{health.mean:.4g}", interval)


def detail_tables(judged: list[VersionPropensities]) -> tuple[FactTable, ...]:
    actions = [row for found in judged if found.n_known for row in _action_rows(found)]
    bins = [row for found in judged for row in _bin_rows(found)]
    tables = []
    if actions:
        columns = ("version", "action", "rows", "mean of 1 / propensity where taken", "standard errors from 1")
        tables.append(FactTable("Actions whose propensities fit least", columns, tuple(actions)))
    if bins:
        columns = ("version", "probability", "expected", "taken", "standard deviations")
        tables.append(FactTable("Actions taken, by the probability they had", columns, tuple(bins)))
    return tuple(tables)


def _action_rows(found: VersionPropensities) -> list[tuple[str, ...]]:
    means, deviations = action_deviations(found)
    worst = np.argsort(-np.abs(deviations), kind="stable")[:N_ACTIONS_SHOWN]
    counts = np.bincount(found.action[found.action >= 0], weights=found.counts[found.action >= 0])
    return [
        (found.version, found.actions[a], f"{int(counts[a]):,}", f"{means[a]:.4g}", f"{deviations[a]:+.1f}")
        for a in worst
    ]


def _bin_rows(found: VersionPropensities) -> list[tuple[str, ...]]:
    bins = found.bins
    if bins is None:
        return []
    return [
        (found.version, bin_name(b), f"{bins.expected[b]:,.1f}", f"{bins.taken[b]:,}", f"{bins.deviations[b]:+.1f}")
        for b in range(N_BINS)
        if bins.expected[b] > 0 or bins.taken[b] > 0
    ]
