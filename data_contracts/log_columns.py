"""The columns a log file may carry, by either of two sets of words: the log's own or the store's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from data_contracts.contract import Column, Contract, Fill
from data_contracts.interactions import LOGICAL_TYPES, OUTCOME, RESERVED

Kind = Literal["interactions", "outcomes"]
Naming = Literal["source", "store"]

EVENT_TIME: dict[Kind, str] = {"interactions": "occurred_at", "outcomes": "observed_at"}
EXPECTED: dict[pa.DataType, str] = {
    pa.string(): "text",
    pa.float64(): "a finite number",
    pa.int64(): "an integer",
    pa.bool_(): "true or false",
    LOGICAL_TYPES["timestamp"]: "an ISO 8601 timestamp with an offset",
    pa.list_(pa.float64()): "a list of numbers",
}


@dataclass(frozen=True, slots=True)
class LogColumn:
    """One column as the readers and the row rules need it; `type` is what the log writes.

    `declared` is False for reserved columns that the contract does not name: they may come, never must.
    """

    name: str  # in the store
    source_name: str  # in the log
    type: pa.DataType
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    valid_values: tuple[str, ...] | None = None
    declared: bool = True
    integers: bool = False  # text that the log may write as an integer
    zone: str | None = None  # of times without an offset; None: they are refused
    fill: Fill | None = None  # what stands where the log has no value

    @property
    def expected(self) -> str:
        """The type in words, for messages."""
        if self.integers:
            return "text or an integer"
        return "an ISO 8601 timestamp" if self.zone is not None else EXPECTED[self.type]

    @property
    def must_come(self) -> bool:
        """Whether a file without the column cannot be read."""
        return self.required and self.fill is None


def columns_of(contract: Contract, kind: Kind) -> tuple[LogColumn, ...]:
    """Declared columns in the contract's order, then the reserved ones it leaves out."""
    if kind == "outcomes":
        return _outcome_columns(contract)
    declared = tuple(_column(c, RESERVED.get(c.name, LOGICAL_TYPES[c.logical_type])) for c in contract.columns)
    return (*declared, *_undeclared(RESERVED, declared))


def own_types(contract: Contract) -> dict[str, pa.DataType]:
    """Store types of the task's own columns."""
    return {c.name: LOGICAL_TYPES[c.logical_type] for c in contract.own_columns}


def by_word(columns: Iterable[LogColumn], naming: Naming) -> dict[str, LogColumn]:
    """Word in the file -> column; a declared column wins over a reserved one of the same word."""
    found: dict[str, LogColumn] = {}
    for column in columns:
        found.setdefault(column.source_name if naming == "source" else column.name, column)
    return found


def detect_naming(columns: Sequence[LogColumn], words: Iterable[str]) -> Naming:
    """Which set of words a file uses: the one that knows more of `words`; the log's own on a tie."""
    source, store = by_word(columns, "source"), by_word(columns, "store")
    surplus = sum((word in store) - (word in source) for word in words)
    return "store" if surplus > 0 else "source"


def _column(column: Column, type_: pa.DataType) -> LogColumn:
    as_boolean = pa.types.is_floating(type_) and column.logical_type == "boolean"
    return LogColumn(
        name=column.name,
        source_name=column.source_name,
        type=pa.bool_() if as_boolean else type_,
        required=column.required,
        minimum=column.minimum,
        maximum=column.maximum,
        valid_values=column.valid_values,
        integers=column.name == "action" or (pa.types.is_string(type_) and column.logical_type == "integer"),
        zone=column.zone,
        fill=column.fill,
    )


def _outcome_columns(contract: Contract) -> tuple[LogColumn, ...]:
    declared = tuple(_column(c, OUTCOME[c.name]) for c in contract.outcome_columns if c.name in OUTCOME)
    missing = set(OUTCOME) - {c.name for c in declared}
    reward = contract.column("reward")
    bounds = (reward.minimum, reward.maximum) if reward else (None, None)
    defaults = tuple(
        LogColumn(
            name=name,
            source_name=name,
            type=type_,
            required=name != "channel",
            minimum=bounds[0] if name == "value" else None,
            maximum=bounds[1] if name == "value" else None,
        )
        for name, type_ in OUTCOME.items()
        if name in missing
    )
    return (*declared, *defaults)


def _undeclared(reserved: dict[str, pa.DataType], declared: Sequence[LogColumn]) -> tuple[LogColumn, ...]:
    names = {c.name for c in declared}
    return tuple(
        LogColumn(name=name, source_name=name, type=type_, declared=False, integers=name == "action")
        for name, type_ in reserved.items()
        if name not in names
    )
