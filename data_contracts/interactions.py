"""THE schema: names and types of the interaction and outcome records, in one place.

An interaction is one logged decision. Tables of the store hold the reserved columns below, the
task's own columns (observation, segment, extra), and two columns that Sluice adds at ingest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")

# Reserved columns of an interaction, in the order of the store's table.
RESERVED: Final[dict[str, pa.DataType]] = {
    "interaction_id": pa.string(),
    "unit_id": pa.string(),
    "occurred_at": TIMESTAMP,
    "action": pa.string(),  # always text in the store, also where the log has numbers
    "policy_version": pa.string(),
    "propensity": pa.float64(),  # of the logged action under the behavior policy, in (0, 1]
    "action_probabilities": pa.list_(pa.float64()),  # whole distribution, in the order of the task's actions
    "reward": pa.float64(),  # an outcome observed at occurred_at
    "arm": pa.string(),
    "sampling_rate": pa.float64(),
    "episode_id": pa.string(),
    "step": pa.int64(),
    "terminated": pa.bool_(),
    "truncated": pa.bool_(),
    "contract_version": pa.string(),
}
REQUIRED: Final = ("interaction_id", "unit_id", "occurred_at", "action", "policy_version")

# Columns that Sluice adds to every accepted row.
ADDED: Final[dict[str, pa.DataType]] = {
    "batch_id": pa.string(),
    "day": pa.date32(),  # UTC day of occurred_at; the table is partitioned by it
}

FORMER: Final = ("row_digest",)  # that earlier stores have in their tables, and nobody reads
TAKEN: Final = (*ADDED, *FORMER)  # names that a contract cannot give

OUTCOME: Final[dict[str, pa.DataType]] = {
    "interaction_id": pa.string(),
    "channel": pa.string(),
    "value": pa.float64(),
    "observed_at": TIMESTAMP,
}

QUARANTINE: Final[dict[str, pa.DataType]] = {
    "batch_id": pa.string(),
    "kind": pa.string(),  # interactions | outcomes
    "file": pa.string(),  # base name of the source file
    "file_sha256": pa.string(),
    "line": pa.int64(),  # 1-based line (or row of a Parquet file)
    "offset": pa.int64(),  # byte offset of the line in the (decompressed) file; -1 for Parquet
    "raw": pa.binary(),  # the bytes as they came (a Parquet row as JSON)
    "reason": pa.string(),
    "quarantined_at": TIMESTAMP,
    "header": pa.binary(),  # first line of a CSV file, without which a line of it says nothing; else null
}

# logicalType of an ODCS property -> type in the store
LOGICAL_TYPES: Final[dict[str, pa.DataType]] = {
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": TIMESTAMP,
    "array": pa.list_(pa.float64()),  # of numbers; only action_probabilities
}


def content_names(names: Iterable[str]) -> list[str]:
    """Those of a table's columns that say what was logged, and not how or when it came into the store.

    Names with a colon are of rows on their way there.
    """
    return [name for name in names if name not in (*TAKEN, "contract_version") and ":" not in name]


def interaction_schema(columns: dict[str, pa.DataType]) -> pa.Schema:
    """Schema of a task's interaction table; `columns` are the task's own (observation, segment, extra)."""
    return pa.schema([*RESERVED.items(), *columns.items(), *ADDED.items()])


def outcome_schema() -> pa.Schema:
    """Schema of a task's outcome table."""
    return pa.schema([*OUTCOME.items(), *ADDED.items()])


def quarantine_schema() -> pa.Schema:
    """Schema of a task's quarantine table."""
    return pa.schema(list(QUARANTINE.items()))
