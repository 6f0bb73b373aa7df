"""A few rows that stand for many: where no witness breaks an expectation, no row does.

A number or a time is witnessed by its least and its largest value, text by each of its different values, and a null
by a null. An aggregate that says what it depends on (`Need`) is 0 over the rows if it is 0 over their witnesses; where
it is not, the rows themselves are asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal

import pyarrow as pa

from data_contracts.column_notes import Note

Need = Literal["presence", "extremes", "values"]  # which rows have one; least and largest; every single one
MOST_VALUES: Final = 4096  # more different values are not worth a list
SAMPLES: Final[dict[str, object]] = {"string": "", "bool": False, "list<item: double>": [], "list<element: double>": []}


def stronger(a: Need, b: Need) -> Need:
    """What serves both needs: among all values are the extremes, and either shows whether there is one at all."""
    return max(a, b, key=("presence", "extremes", "values").index)


def witness(found: Note, kind: pa.DataType, *, need: Need, values: Collection[object] | None = None) -> pa.Array | None:
    """Witnesses of one column for `need`; None when what is known of it does not give them.

    Args:
        values: all its values (it may be more), where they are known.
    """
    if found.is_empty:
        told: list[object] = []
    elif need == "values":
        if values is None:
            return None
        told = sorted(values, key=str)
    elif found.order:
        numbers = [found.least, found.largest]
        return pa.array([*numbers, *_null(found)], pa.int64() if pa.types.is_timestamp(kind) else kind).cast(kind)
    elif need == "presence" and str(kind) in SAMPLES:
        told = [SAMPLES[str(kind)]]
    else:
        return None
    array = pa.array([*told, *_null(found)], kind)
    return array if len(array) else None


def as_table(columns: Mapping[str, pa.Array]) -> pa.Table:
    """Witnesses of several columns side by side, each repeated until all are of one length."""
    n = max(map(len, columns.values()), default=0)
    return pa.table({name: column.take([i % len(column) for i in range(n)]) for name, column in columns.items()})


def _null(found: Note) -> list[object]:
    return [None] if found.n_nulls else []
