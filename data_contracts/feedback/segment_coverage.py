"""Segment coverage: can every level of a segment say something about every action that is commonly taken?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.checks import CheckResult, FactTable

COMMON: Final = 0.1  # an action is common when it is taken at least this often, relative to 1 / (number of actions)
LEVELS_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, repr=False)
class Coverage:
    """One segment column: L levels, and rows (L, A) of each of its A common actions."""

    column: str
    levels: tuple[str | None, ...]
    actions: tuple[str, ...]
    n: NDArray[np.int64]  # (L,) rows of a level, of all actions
    counts: NDArray[np.int64]  # (L, A)

    def uncovered(self, min_rows: int) -> NDArray[np.bool_]:
        """(L,) levels in which some common action has fewer than `min_rows` rows."""
        return np.asarray((self.counts < min_rows).any(axis=1), np.bool_)


def coverage_checks(
    cells: pa.Table, *, min_rows: int, max_uncovered: float
) -> tuple[tuple[CheckResult, ...], tuple[FactTable, ...]]:
    """Rule `segment_coverage` for every column of `cells` (column, level, action, n), and the thinnest levels.

    A level is covered when every common action has `min_rows` rows in it; a check fails when more than `max_uncovered`
    of the rows lie in levels that are not.
    """
    columns = sorted(pc.unique(cells["column"]).to_pylist())
    coverages = [coverage_of(cells.filter(pc.equal(cells["column"], name)), column=name) for name in columns]
    checks = tuple(_check(coverage, min_rows, max_uncovered) for coverage in coverages)
    thin = tuple(row for coverage in coverages for row in _thin_levels(coverage, min_rows))
    if not thin:
        return checks, ()
    table = FactTable("Segments with too few rows", ("segment", "level", "rows", "rarest action", "its rows"), thin)
    return checks, (table,)


def coverage_of(cells: pa.Table, *, column: str) -> Coverage:
    """Counts of one column's cells (level, action, n)."""
    cells = cells.sort_by([("level", "ascending"), ("action", "ascending")])
    level = cells["level"].combine_chunks().dictionary_encode(null_encoding="encode")
    action = pc.fill_null(cells["action"], "").combine_chunks().dictionary_encode()
    levels, actions = level.dictionary.to_pylist(), action.dictionary.to_pylist()
    counts = np.zeros((len(levels), len(actions)), np.int64)
    at = (level.indices.to_numpy(), action.indices.to_numpy())
    np.add.at(counts, at, cells["n"].to_numpy())
    by_action = counts.sum(axis=0)
    common = by_action * len(actions) >= COMMON * by_action.sum()
    names = tuple(np.array(actions, object)[common].tolist())
    return Coverage(column, tuple(levels), names, counts.sum(axis=1), counts[:, common])


def _check(coverage: Coverage, min_rows: int, max_uncovered: float) -> CheckResult:
    uncovered = coverage.uncovered(min_rows)
    n, total = int(coverage.n[uncovered].sum()), int(coverage.n.sum())
    return CheckResult(
        rule="segment_coverage",
        column=coverage.column,
        level="warn",
        passed=n <= max_uncovered * total,
        observed=f"{n / total:.1%} of the rows, in {int(uncovered.sum()):,} of {len(uncovered):,} levels, are thin",
        limit=f"at most {max_uncovered:.0%}",
        n_rows=total,
        description=f"every level has {min_rows} rows of each of {len(coverage.actions)} common actions",
    )


def _thin_levels(coverage: Coverage, min_rows: int) -> list[tuple[str, ...]]:
    """The largest levels that are not covered."""
    thin = np.flatnonzero(coverage.uncovered(min_rows))
    largest = thin[np.argsort(-coverage.n[thin], kind="stable")][:LEVELS_SHOWN]
    rarest = coverage.counts.argmin(axis=1)
    return [
        (
            coverage.column,
            str(coverage.levels[i]),
            f"{coverage.n[i]:,}",
            coverage.actions[rarest[i]],
            f"{coverage.counts[i, rarest[i]]:,}",
        )
        for i in largest
    ]
