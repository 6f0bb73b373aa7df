"""Observations to decide on, in the words of the log or of the store; only the observation columns must be there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from data_contracts.contract import Contract
from data_contracts.errors import InputError
from data_contracts.log_columns import columns_of
from data_contracts.readers.block import Rejected
from data_contracts.readers.log_file import read_blocks
from data_contracts.row_rules import broken_rows


def read_observations(path: Path, contract: Contract) -> pa.Table:
    """(n rows) observation columns, and segments, `unit_id` and `interaction_id` where the file has them; others are
    ignored.

    Raises InputError that names the file, up to five lines and what was expected there: a decision on a
    row that breaks its contract would be logged as if it were sound.
    """
    observation = [c.name for c in contract.observation]
    required = {c.name for c in contract.observation if c.required}
    optional = [*(c.name for c in contract.columns if "segment" in c.roles), "unit_id", "interaction_id"]
    columns = tuple(replace(c, required=c.name in required) for c in columns_of(contract, "interactions"))
    kept = tuple(c for c in columns if c.name in observation)
    tables: list[pa.Table] = []
    rejected: list[Rejected] = []
    for block in read_blocks(path, columns):
        broken = broken_rows(_only(block.table, observation), kept, actions=())
        rejected += block.rejected
        rejected += [Rejected(int(block.line[i]), int(block.offset[i]), b"", why) for i, why in broken.items()]
        tables.append(_only(block.table, list(dict.fromkeys([*observation, *optional]))))
    if rejected:
        first = "; ".join(f"line {r.line}: {r.reason}" for r in sorted(rejected, key=lambda r: r.line)[:5])
        raise InputError(
            f"bad observations in {path}: expected rows of contract {contract.id}, got {len(rejected):,} others "
            f"({first}). Nothing was decided; mend or remove these lines.",
            path=str(path),
        )
    return pa.concat_tables(tables, promote_options="permissive")


def _only(table: pa.Table, names: list[str]) -> pa.Table:
    return table.select([name for name in names if name in table.column_names])
