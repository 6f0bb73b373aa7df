"""One block of a log, judged: complete rows for the store's table, and lines for the quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.amendments.tombstones import ERASED, Tombstones
from data_contracts.contract import Contract, Fill
from data_contracts.interactions import interaction_schema, outcome_schema
from data_contracts.log_columns import EVENT_TIME, Kind, LogColumn, columns_of, own_types
from data_contracts.readers.block import Block, Rejected, reason
from data_contracts.row_digest import row_digests
from data_contracts.row_rules import broken_rows


@dataclass(frozen=True, slots=True)
class Standard:
    """What rows of one batch are judged by."""

    kind: Kind
    contract_version: str
    columns: tuple[LogColumn, ...]  # as the log writes them
    actions: tuple[str, ...]
    channels: tuple[str, ...]  # that outcomes may name; the first is of those that name none
    batch_id: str
    schema: pa.Schema  # of the store's table
    erased: Tombstones | None = None  # whose rows are refused

    @property
    def judged(self) -> tuple[LogColumn, ...]:
        """The columns in the store's types."""
        return tuple(replace(c, type=self.schema.field(c.name).type) for c in self.columns)


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
    table = _in_store_form(block.table, standard)
    if standard.kind == "outcomes":
        table = _with_channel(table, standard)
    broken = broken_rows(table, standard.judged, actions=standard.actions)
    broken |= _of_another_major(table, standard)
    if standard.erased is not None:
        broken |= dict.fromkeys(np.flatnonzero(standard.erased.erased_rows(table)).tolist(), ERASED)
    rejected = [
        *block.rejected,
        *(Rejected(int(block.line[i]), int(block.offset[i]), block.raw(i), why) for i, why in broken.items()),
    ]
    if standard.erased is not None:
        rejected = standard.erased.without(rejected, standard.columns)
    rows = np.delete(np.arange(table.num_rows), np.fromiter(broken, np.int64, len(broken)))
    good = table.take(pa.array(rows)) if broken else table
    return _complete(good, standard), rows, rejected


def _in_store_form(table: pa.Table, standard: Standard) -> pa.Table:
    """Rewards written as true and false as 1 and 0, and a value where the contract says what fills a gap."""
    cells = {name: table[name] for name in table.column_names}
    for column in standard.judged:
        if column.name in cells and cells[column.name].type != column.type:
            cells[column.name] = cells[column.name].cast(column.type)
    for column in standard.columns:
        if column.fill is not None:
            found = cells.get(column.name, pa.nulls(table.num_rows, column.type))
            cells[column.name] = pc.coalesce(found, _filling(column.fill, cells, table.num_rows, standard))
    return pa.table(cells)


def _of_another_major(table: pa.Table, standard: Standard) -> dict[int, str]:
    """Rows that name a contract of another major version: their columns may mean something else."""
    if "contract_version" not in table.column_names:
        return {}
    versions = table["contract_version"]
    major = standard.contract_version.partition(".")[0]
    other = pc.invert(pc.or_(pc.starts_with(versions, f"{major}."), pc.equal(versions, major)))
    rows = np.flatnonzero(pc.fill_null(other, False).to_numpy(zero_copy_only=False))
    rule = f"major version {major}, under which this file is ingested"
    return {int(i): reason("contract_version", versions[int(i)].as_py(), rule) for i in rows}


def _filling(
    fill: Fill, cells: Mapping[str, pa.ChunkedArray], n: int, standard: Standard
) -> pa.Array | pa.ChunkedArray:
    """(n,) what stands where the log has no value."""
    if fill.way == "constant":
        return pa.repeat(fill.value, n)
    if fill.way == "copy":
        return cells.get(fill.value, pa.nulls(n, pa.string()))
    logged = [c.name for c in standard.columns if c.name in cells and c.fill is None]
    return row_digests(pa.table({name: cells[name] for name in logged}), logged)


def _with_channel(table: pa.Table, standard: Standard) -> pa.Table:
    if "channel" not in table.column_names:
        return table.append_column("channel", pa.repeat(standard.channels[0], table.num_rows))
    filled = pc.fill_null(table["channel"], standard.channels[0])
    return table.set_column(table.column_names.index("channel"), "channel", filled)


def _complete(table: pa.Table, standard: Standard) -> pa.Table:
    """Rows in the store's schema: absent columns null, and the columns that Sluice adds."""
    n = table.num_rows
    cells = {name: table[name] for name in table.column_names}
    cells["batch_id"] = pa.repeat(standard.batch_id, n)
    cells["day"] = pc.cast(table[EVENT_TIME[standard.kind]], pa.date32(), safe=False)
    if standard.kind == "interactions":
        version = cells.get("contract_version", pa.nulls(n, pa.string()))
        cells["contract_version"] = pc.fill_null(version, standard.contract_version)
    columns = [cells[f.name].cast(f.type) if f.name in cells else pa.nulls(n, f.type) for f in standard.schema]
    return pa.table(columns, schema=standard.schema)
