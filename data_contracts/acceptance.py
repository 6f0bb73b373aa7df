"""One block of a log, judged: complete rows for the store's table, and lines for the quarantine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.interactions import interaction_schema, outcome_schema
from data_contracts.log_columns import EVENT_TIME, Kind, LogColumn, columns_of, own_types
from data_contracts.readers.block import Block, Rejected
from data_contracts.row_digest import row_digests
from data_contracts.row_rules import broken_rows


@dataclass(frozen=True, slots=True)
class Standard:
    """What rows of one batch are judged by."""

    kind: Kind
    contract_version: str
    columns: tuple[LogColumn, ...]
    actions: tuple[str, ...]
    channels: tuple[str, ...]  # that outcomes may name; the first is of those that name none
    batch_id: str
    schema: pa.Schema  # of the store's table


def standard_of(
    contract: Contract, kind: Kind, *, actions: tuple[str, ...], channels: tuple[str, ...], batch_id: str
) -> Standard:
    """What the contract, the declared actions and the declared channels make of it."""
    columns = columns_of(contract, kind)
    if kind == "outcomes":
        columns = tuple(replace(c, valid_values=channels) if c.name == "channel" else c for c in columns)
    schema = outcome_schema() if kind == "outcomes" else interaction_schema(own_types(contract))
    return Standard(kind, contract.version, columns, actions, channels, batch_id, schema)


def judge(block: Block, standard: Standard) -> tuple[pa.Table, NDArray[np.int64], list[Rejected]]:
    """Accepted rows (m rows, the store's schema), their row numbers in the block (m,), and the rejected lines."""
    table = _with_channel(block.table, standard) if standard.kind == "outcomes" else block.table
    broken = broken_rows(table, standard.columns, actions=standard.actions)
    rejected = [
        *block.rejected,
        *(Rejected(int(block.line[i]), int(block.offset[i]), block.raw(i), why) for i, why in broken.items()),
    ]
    rows = np.setdiff1d(np.arange(table.num_rows), np.fromiter(broken, np.int64, len(broken)))
    good = table.take(pa.array(rows)) if broken else table
    return _complete(good, standard), rows, rejected


def _with_channel(table: pa.Table, standard: Standard) -> pa.Table:
    if "channel" not in table.column_names:
        return table.append_column("channel", pa.repeat(standard.channels[0], table.num_rows))
    filled = pc.fill_null(table["channel"], standard.channels[0])
    return table.set_column(table.column_names.index("channel"), "channel", filled)


def _complete(table: pa.Table, standard: Standard) -> pa.Table:
    """Rows in the store's schema: absent columns null, and the columns that Sluice adds."""
    n = table.num_rows
    digested = [c.name for c in standard.columns if c.name != "contract_version"]
    cells = {name: table[name] for name in table.column_names}
    cells["row_digest"] = row_digests(table, digested)
    cells["batch_id"] = pa.repeat(standard.batch_id, n)
    cells["day"] = pc.cast(table[EVENT_TIME[standard.kind]], pa.date32(), safe=False)
    if standard.kind == "interactions":
        version = cells.get("contract_version", pa.nulls(n, pa.string()))
        cells["contract_version"] = pc.fill_null(version, standard.contract_version)
    columns = [cells[f.name].cast(f.type) if f.name in cells else pa.nulls(n, f.type) for f in standard.schema]
    return pa.table(columns, schema=standard.schema)
