"""What deployed policies wrote into the log, counted by week: memory grows with weeks, actions and levels, not rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

COLUMNS: Final = ("occurred_at", "action", "policy_version", "propensity")  # needed, and the segment columns
OPTIONAL: Final = ("sampling_rate",)
CERTAIN: Final = 0.99  # an action this likely leaves nothing to explore
MONDAY: Final = 3  # 1970-01-01 was a Thursday
MAX_LEVELS: Final = 1000  # of a segment column; the rarest beyond are counted together
OTHER: Final = "(other)"

DECISIONS: Final = pa.schema(
    [
        ("week", pa.int64()),  # weeks since Monday 1969-12-29
        ("policy_version", pa.string()),
        ("action", pa.string()),
        ("n", pa.int64()),
        ("weight", pa.float64()),  # 1 / sampling_rate, summed
        ("n_known", pa.int64()),  # rows with a propensity; the rest is of them
        ("weight_known", pa.float64()),
        ("other", pa.float64()),  # sum of weight (1 - propensity)
        ("other_squares", pa.float64()),  # sum of weight^2 (1 - propensity)^2
        ("certain", pa.float64()),  # sum of weight 1{propensity >= CERTAIN}
    ]
)
DECISION_KEYS: Final = ("week", "policy_version", "action")
SEGMENTS: Final = pa.schema(
    [("column", pa.string()), ("level", pa.string()), ("action", pa.string()), ("n", pa.int64())]
)
SEGMENT_KEYS: Final = ("column", "level", "action")


@dataclass(frozen=True, slots=True, repr=False)
class FeedbackTally:
    """Counts of all rows added so far, whatever their order and their chunks."""

    segments: tuple[str, ...]  # names of the segment columns
    decisions: pa.Table  # of DECISIONS
    levels: pa.Table  # of SEGMENTS

    @classmethod
    def empty(cls, segments: tuple[str, ...]) -> FeedbackTally:
        return cls(segments, DECISIONS.empty_table(), SEGMENTS.empty_table())

    def add(self, rows: pa.Table) -> FeedbackTally:
        """Also count `rows`, with COLUMNS, the segment columns and any of OPTIONAL."""
        levels = [self.levels, *(_levels(rows, name) for name in self.segments)]
        return self._merged([self.decisions, _decisions(rows)], levels)

    def merge(self, other: FeedbackTally) -> FeedbackTally:
        return self._merged([self.decisions, other.decisions], [self.levels, other.levels])

    def _merged(self, decisions: list[pa.Table], levels: list[pa.Table]) -> FeedbackTally:
        return FeedbackTally(
            self.segments,
            _summed(pa.concat_tables(decisions), DECISIONS, DECISION_KEYS),
            _bounded(_summed(pa.concat_tables(levels), SEGMENTS, SEGMENT_KEYS)),
        )

    @property
    def n(self) -> int:
        return int(pc.sum(self.decisions["n"]).as_py() or 0)

    def __repr__(self) -> str:
        return f"FeedbackTally(n={self.n}, segments={self.segments})"


def _decisions(rows: pa.Table) -> pa.Table:
    """One cell per row, still to be summed."""
    n = rows.num_rows
    occurred = rows["occurred_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    week = (occurred // 86_400_000_000 + MONDAY) // 7
    propensity = pc.fill_null(rows["propensity"], np.nan).to_numpy()
    known = np.isfinite(propensity)
    weight = np.ones(n)
    if "sampling_rate" in rows.column_names:
        weight = 1 / pc.fill_null(rows["sampling_rate"], 1.0).to_numpy()
    other = np.where(known, weight * (1 - np.where(known, propensity, 1.0)), 0.0)
    return pa.table(
        [
            pa.array(week),
            rows["policy_version"],
            rows["action"].cast(pa.string()),
            pa.array(np.ones(n, np.int64)),
            pa.array(weight),
            pa.array(known.astype(np.int64)),
            pa.array(np.where(known, weight, 0.0)),
            pa.array(other),
            pa.array(other**2),
            pa.array(np.where(propensity >= CERTAIN, weight, 0.0)),
        ],
        schema=DECISIONS,
    )


def _levels(rows: pa.Table, column: str) -> pa.Table:
    level = rows[column].cast(pa.string())
    cells = [pa.repeat(column, rows.num_rows), level, rows["action"].cast(pa.string())]
    return pa.table([*cells, pa.array(np.ones(rows.num_rows, np.int64))], schema=SEGMENTS)


def _summed(cells: pa.Table, schema: pa.Schema, keys: tuple[str, ...]) -> pa.Table:
    values = [name for name in schema.names if name not in keys]
    grouped = cells.group_by(list(keys), use_threads=False).aggregate([(name, "sum") for name in values])
    return grouped.rename_columns([c.removesuffix("_sum") for c in grouped.column_names]).select(schema.names)


def _bounded(levels: pa.Table) -> pa.Table:
    """At most MAX_LEVELS levels a column: the rarest so far become OTHER."""
    sizes = levels.group_by(["column", "level"], use_threads=False).aggregate([("n", "sum")])
    if sizes.num_rows <= MAX_LEVELS:
        return levels
    kept: list[pa.Table] = []
    for column in pc.unique(levels["column"]).to_pylist():
        mine, size = (t.filter(pc.equal(t["column"], column)) for t in (levels, sizes))
        largest = size.sort_by([("n_sum", "descending"), ("level", "ascending")])["level"].slice(0, MAX_LEVELS)
        inside = pc.is_in(mine["level"], largest.combine_chunks())
        kept.append(mine.set_column(1, "level", pc.if_else(inside, mine["level"], OTHER)))
    return _summed(pa.concat_tables(kept), SEGMENTS, SEGMENT_KEYS)
